# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How the commands that start no run parse their arguments: a mistake is one line on stderr."""

import argparse
from pathlib import Path
from typing import NoReturn


def path_of(text: str) -> Path:
    """The type of an argument that is a path: "", as of a shell variable that was not set, is no
    name of the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("must be a path; got ''")
    return Path(text)


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage. Options must be written in full."""

    def __init__(self, module: str, description: str | None):
        """Of `python -m module`."""
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False)
        self._module = module

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self._module}: {message}\n")
