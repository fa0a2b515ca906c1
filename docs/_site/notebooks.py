# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`make notebooks`: docs/notebooks/*.md, which are edited and run, as .ipynb files, which Colab
opens. They have no outputs, so that a change of the text is all that a diff shows."""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def notebook(text: str, names: set[str]) -> str:
    """A notebook in text as the JSON of an .ipynb file; links between `names` stay among them."""
    text = HEADER.sub("", text)
    text = re.sub(
        r"\]\(([\w-]+)\.md\)",
        lambda match: f"]({match[1]}.ipynb)" if match[1] in names else match[0],
        text,
    )
    cells = []
    for index, part in enumerate(CELL.split(text)):
        source = part.strip("\n").splitlines(keepends=True)
        code = {"execution_count": None, "outputs": []} if index % 2 else {}
        if source:
            kind = "code" if index % 2 else "markdown"
            shared = {"cell_type": kind, "id": f"cell-{index}", "metadata": {}, "source": source}
            cells.append(shared | code)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def notebooks() -> dict[Path, str]:
    """{an .ipynb file: what it has to hold}."""
    sources = sorted(FOLDER.glob("*.md"))
    names = {path.stem for path in sources}
    return {
        path.with_suffix(".ipynb"): notebook(path.read_text("utf-8"), names) for path in sources
    }


if __name__ == "__main__":
    for path, content in notebooks().items():
        path.write_text(content, "utf-8")
