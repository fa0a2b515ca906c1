# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.probe RUN_OR_CHECKPOINT`."""

import sys

from dormant.interruption import end_at_once
from dormant.probe.command_line import main

if __name__ == "__main__":
    end_at_once()
    sys.exit(main())
