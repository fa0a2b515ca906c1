# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which public names the pages of the API have an entry for. The pages are the one list: Sphinx
makes the entries of it, and tests/docs holds it against what the package exports."""

import pydoc
import re
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(r"^```\{public\} (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DATA = re.compile(r"^```\{py:data\} (\S+)\n:module: (\S+)\n+(?!```)(?=\S)", re.MULTILINE)
MODULE = re.compile(r"^.. automodule:: (\S+)$", re.MULTILINE)


def documented(folder: Path) -> Iterator[str]:
    """The full name of everything that the pages of a folder have an entry for."""
    for page in sorted(folder.glob("*.md")):
        text = page.read_text("utf-8")
        for module, lines in BLOCK.findall(text):
            names = [line for line in lines.split() if not line.startswith(":")]
            yield from (f"{module}.{name}" for name in names)
        yield from (f"{module}.{name}" for name, module in DATA.findall(text))
        yield from MODULE.findall(text)


def home(name: str) -> str:
    """A full name by the module that defines what it stands for."""
    value = pydoc.locate(name)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', name)}"
