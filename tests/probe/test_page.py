# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The page in headless Chromium, opened from disk without a network."""

import numpy as np
import pytest

from dormant.probe.page import line_chart
from tests.probe.commands import QUICK

HOSTILE = "<img src=x onerror=document.title='harm'>"


@pytest.fixture(scope="module")
def page_file(checkpoint, tmp_path_factory):
    """Of a checkpoint whose name is hostile."""
    from dormant.probe.command_line import main

    folder = tmp_path_factory.mktemp("page")
    named = folder / f"{HOSTILE}.msgpack"
    named.write_bytes((checkpoint / "net.msgpack").read_bytes())
    arguments = ["--network=tests.probe.small_network:module", f"--inputs={checkpoint / 'x.npz'}"]
    assert main([str(named), *arguments, *QUICK, f"--html={folder / 'page.html'}"]) == 0
    return folder / "page.html"


def test_the_page_loads_nothing_and_runs_nothing(page_file, browser):
    problems, asked = [], []
    page = browser.new_page(viewport={"width": 1000, "height": 800}, offline=True)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    assert page.title().endswith(f"{HOSTILE}.msgpack, Flax msgpack")
    assert page.locator("svg polyline").count() == 2 + 2 * 2  # layers, then fits of two kinds
    assert page.locator("table").count() == 3 and page.locator("img, script").count() == 0
    assert "dormant at tau 0.1" in page.locator("#verdict").inner_text()
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    page.close()
    assert problems == [] and asked == [page_file.as_uri()] and not wide


def test_a_chart_leaves_out_what_is_not_finite():
    drawn = line_chart("a<b", {"one": (np.arange(3), np.array([1.0, np.nan, 3.0]))}, "x", "y")
    assert drawn.count("<polyline") == 1 and "nan" not in drawn and "a&lt;b" in drawn
    assert line_chart("a", {"one": ([0], [np.nan])}, "x", "y") == ""
