"""`python -m dormant.reproduce NAME`."""

import sys

from dormant.reproduce.command_line import main

if __name__ == "__main__":
    sys.exit(main())
