# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Relative links work on the site as they do on GitHub. One out of docs/ leads to the file in the
repository, or to the page that includes it. `python docs/_site/links.py` lists external links."""

import os
import re
from collections.abc import Callable
from pathlib import Path

LINK = re.compile(r"(!?)(\[[^\]]*\])\((?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?\)")
EXTERNAL = re.compile(r"https?://[^\s)>\"'`\]]+")
INCLUDE = re.compile(r"^```\{include\} (\S+)\n```$", re.MULTILINE)
PAGES = {  # {file beside docs/: the page that includes it}
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "results/README.md": "results.md",
}


def rewritten(
    text: str,
    folder: Path,
    page: Path,
    docs: Path,
    repository: str,
    warn: Callable[[str], None],
) -> str:
    """What a page shows of a text.

    Args:
      text: Markdown, whose links are relative to `folder`.
      folder: that of the file which the text stands in.
      page: the page, in `docs`, that shows it.
      docs: the folder docs/.
      repository: the address of the repository.
      warn: told of every link to a file that is not there.
    """
    root = docs.parent

    def link(match: re.Match) -> str:
        image, label, target, anchor = match[1], match[2], match[3], match[4] or ""
        path = Path(os.path.normpath(folder / target))
        inside = os.path.relpath(path, root)
        if not path.exists():
            warn(f"a link to {inside}, which is not there")
        path = docs / PAGES[inside] if inside in PAGES else path
        if image or docs in path.parents:
            return f"{image}{label}({os.path.relpath(path, page.parent)}{anchor})"
        kind = "tree" if path.is_dir() else "blob"
        return f"{label}({repository}/{kind}/main/{inside}{anchor})"

    return LINK.sub(link, text)


if __name__ == "__main__":
    pages = (Path(__file__).parents[1]).rglob("*.md")
    found = {link.rstrip(".,;:") for page in pages for link in EXTERNAL.findall(page.read_text())}
    print("\n".join(sorted(found)))
