# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The examples as users start them, each as a script in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def output(name, *arguments, quiet=True):
    """What a script prints; it must end well and, if `quiet`, have nothing to complain of."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or not quiet
    return done.stdout
