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
EXAMPLE = re.compile(r"^### (.+)\n((?:(?!^##).*\n?)*)", re.MULTILINE)
PROMPT = re.compile(r"^(?:>>>|\.\.\.) (.*)$", re.MULTILINE)


def documented(folder: Path) -> Iterator[str]:
    """The full name of everything that the pages of a folder have an entry for."""
    for page in sorted(folder.glob("*.md")):
        text = page.read_text("utf-8")
        yield from names_on(text)
        yield from MODULE.findall(text)


def names_on(text: str) -> list[str]:
    """The full names that a page has an entry for, without modules."""
    blocks = [
        f"{module}.{name}"
        for module, lines in BLOCK.findall(text)
        for name in lines.split()
        if not name.startswith(":")
    ]
    return blocks + [f"{module}.{name}" for name, module in DATA.findall(text)]


def home(name: str) -> str:
    """A full name by the module that defines what it stands for."""
    value = pydoc.locate(name)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', name)}"


def examples(text: str) -> dict[str, list[str]]:
    """`{heading: full names}` of a page's examples: which names of the page each shows, written
    with their module, as `parts.budget`, or as gin has them, `@ReDo` or `ReDo.tau = 0.1`."""
    names = names_on(text)
    sections = EXAMPLE.findall(text.partition("\n## Examples\n")[2])
    codes = {heading: "\n".join(PROMPT.findall(section)) for heading, section in sections}
    return {
        heading: [name for name in names if _is_in(code, name, names)]
        for heading, code in codes.items()
    }


def _is_in(code: str, name: str, names: list[str]) -> bool:
    last = name.rpartition(".")[2]
    namesakes = [other for other in names if other.endswith(f".{last}") and other != name]
    alike = [name, *(other for other in namesakes if home(other) == home(name))]
    written = "|".join(re.escape(".".join(other.split(".")[-2:])) for other in alike)
    return re.search(rf"\b(?:{written})\b|@{last}\b|^{last}\.\w+ = ", code, re.M) is not None
