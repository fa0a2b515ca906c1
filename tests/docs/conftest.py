# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the site is made with, as modules that need no Sphinx."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def site_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    yield
    for name in ("entries", "links", "notebooks"):
        sys.modules.pop(name, None)
