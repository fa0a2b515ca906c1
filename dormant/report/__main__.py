"""`python -m dormant.report DIR`."""

import sys

from dormant.report.command_line import main

if __name__ == "__main__":
    sys.exit(main())
