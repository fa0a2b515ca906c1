# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The pages hang together: all are in the tree, local links lead somewhere, notebooks are those of
their text, and the repository has one address."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("[!_]*/*.md"))]
BESIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")]
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
ADDRESS = re.search(r'^REPOSITORY = "(.+)"$', (ROOT / "setup.py").read_text("utf-8"), re.MULTILINE)
CODE = re.compile(r"^(```+).*?^\1`*$", re.MULTILINE | re.DOTALL)


def in_tree(page):
    """The pages that a page's tables of contents lead to, with itself."""
    yield page
    for block in TOCTREE.findall(page.read_text("utf-8")):
        for line in block.splitlines():
            if line and not line.startswith(":") and (page.parent / f"{line}.md").is_file():
                yield from in_tree(page.parent / f"{line}.md")


def anchors(path):
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower().strip() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def test_every_page_is_in_the_tree_once():
    listed = [*in_tree(DOCS / "index.md")]
    assert sorted(listed) == sorted(PAGES)


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=lambda path: str(path.relative_to(ROOT)))
def test_local_links_lead_to_files_and_headings_that_are_there(page):
    from links import LINK

    missing = []
    for _, _, target, anchor in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        path = Path(os.path.normpath(page.parent / target))
        if not path.exists() or (
            anchor and path.suffix == ".md" and anchor[1:] not in anchors(path)
        ):
            missing.append(target + anchor)
    assert not missing


def test_a_link_out_of_docs_leads_to_the_repository_and_a_missing_one_is_told():
    from links import rewritten

    told = []
    text = (
        "[a](../setup.py) [b](ray.md#x) [c](../dormant) ![d](../results/x.png) [e](https://a.b)"
        " [f](../CHANGELOG.md)"
    )
    shown = rewritten(text, DOCS, DOCS / "api" / "index.md", DOCS, "https://host/repo", told.append)
    assert shown == (
        "[a](https://host/repo/blob/main/setup.py) [b](../ray.md#x)"
        " [c](https://host/repo/tree/main/dormant) ![d](../../results/x.png)"
        " [e](https://a.b) [f](../changelog.md)"
    )
    assert told == ["a link to results/x.png, which is not there"]


def test_notebooks_for_colab_are_those_of_their_text():
    from notebooks import notebooks

    made = notebooks()
    assert len(made) >= 3
    for path, content in made.items():
        assert path.read_text("utf-8") == content, f"{path.name} is old: run `make notebooks`"
        cells = json.loads(content)["cells"]
        assert any("google.colab" in line for line in cells[1]["source"])
        assert not any(cell.get("outputs") for cell in cells)
        assert all(cell["source"] for cell in cells)


def test_the_repository_has_one_address():
    named = re.compile(
        r"github\.com/[\w.-]+/dormant|colab\.research\.google\.com/github/([\w./-]+)"
    )
    here = ADDRESS[1].removeprefix("https://")
    for page in [*PAGES, *BESIDE, ROOT / "CITATION.cff", ROOT / "setup.py"]:
        for match in named.finditer(page.read_text("utf-8")):
            address = match[0].replace("colab.research.google.com/github", "github.com")
            assert address.startswith(here), f"{page.name}: {match[0]}"


def test_examples_of_the_pages_are_run_by_pytest():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    options = settings["tool"]["pytest"]["ini_options"]
    assert {"docs", "README.md", "dormant"} <= set(options["testpaths"])
    assert {"--doctest-glob=*.md", "--doctest-modules"} <= set(options["addopts"])
    prompts = [page for page in PAGES if ">>> " in page.read_text("utf-8")]
    for page in prompts:  # doctest would take the fence for an output
        assert not re.search(r"^(>>>|\.\.\.) .*\n```", page.read_text("utf-8"), re.MULTILINE)


def test_the_lines_that_stand_out_in_the_dqn_loop_are_those_of_dormant():
    text = (DOCS / "how-to" / "dqn-loop.md").read_text("utf-8")
    numbers, code = re.search(r":emphasize-lines: ([\d,]+)\n\n(.*?)\n```", text, re.DOTALL).groups()
    loop = [line for line in code.splitlines() if line.startswith((">>>", "..."))]
    marked = [str(n) for n, line in enumerate(loop, 1) if line.endswith("# dormant")]
    assert numbers.split(",") == marked
    assert len(loop) < 60


def test_external_links_can_be_listed():
    command = [sys.executable, str(DOCS / "_site" / "links.py")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "https://arxiv.org/abs/2302.12902" in listed
