"""`python -m dormant.reproduce NAME`."""

import signal
import sys

from dormant.reproduce.command_line import main


def _interrupt(*unused) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A scheduler that ends the sweep must end its runs too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
