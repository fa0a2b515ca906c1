# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every public name has an entry on the site and a docstring; nothing else has an entry."""

import ast
import dataclasses
import importlib
import inspect
import pydoc
import re
from pathlib import Path

import flax.linen
import pytest

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api"
# The modules of the core, which import without any extra.
MODULES = (
    "dormant",
    "dormant.interventions",
    "dormant.layers",
    "dormant.learners",
    "dormant.measures",
    "dormant.parts",
    "dormant.regularizers",
    "dormant.vectorized",
)


def public():
    """The full name of everything that the package exports."""
    for module in MODULES:
        yield from (f"{module}.{name}" for name in importlib.import_module(module).__all__)
    for module in ("dormant.layers.linen", "dormant.layers.nnx"):
        members = vars(importlib.import_module(module)).items()
        yield from (
            f"{module}.{name}"
            for name, value in members
            if inspect.isclass(value) and value.__module__ == module
        )


def gin_names():
    """The names that gin knows of ours, without their modules."""
    config = pytest.importorskip("gin.config", reason="gin is not installed")
    pytest.importorskip("gymnax", reason="gymnax is not installed")
    for package in ("runs", "vectorized", "studies"):
        for path in sorted((ROOT / "dormant" / package).glob("*.py")):
            if "gin." in path.read_text("utf-8"):
                importlib.import_module(f"dormant.{package}.{path.stem}")
    names = [name for name, _ in config._REGISTRY.items()]
    known = {name.rpartition(".")[2] for name in names if name.startswith("dormant.")}
    # Those of the agents, whose modules take Dopamine and half a minute to import.
    return known.union(*map(decorated, (ROOT / "dormant" / "agents").glob("*.py")))


def decorated(path):
    """What a file's text registers in gin."""
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        for decorator in getattr(node, "decorator_list", ())
        if ast.unparse(decorator).startswith("gin.configurable")
    }


def entries(*pages):
    from entries import BLOCK, documented

    if not pages:
        return set(documented(API))
    found = [BLOCK.findall((API / page).read_text("utf-8")) for page in pages]
    return {name for blocks in found for _, lines in blocks for name in lines.split()}


def test_every_public_name_has_an_entry():
    assert not set(public()) - entries()


def test_every_entry_stands_for_something_that_is_there():
    # Those of gin's page need the extras; the test below has them.
    names = {name for name in entries() if ".agents." not in name and ".studies." not in name}
    assert len(names) > 150 and not [name for name in names if pydoc.locate(name) is None]


def test_every_public_name_has_a_docstring_of_its_own():
    def described(name):
        value = pydoc.locate(name)
        if not (inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)):
            return True  # data, which its entry describes
        text = inspect.getdoc(value) or ""
        # NamedTuples and dataclasses without a docstring get their signature for one.
        return len(text) > 10 and not text.startswith(f"{name.rpartition('.')[2]}(")

    assert not [name for name in public() if not described(name)]


def test_every_field_of_a_public_named_tuple_or_dataclass_is_described():
    """In the class's own docstring, which its entry shows, or in that of a public base."""
    pytest.importorskip("gin", reason="gin is not installed")
    pytest.importorskip("gymnax", reason="gymnax is not installed")
    found = {name: pydoc.locate(name) for name in entries() if ".agents." not in name}
    classes = [value for value in found.values() if inspect.isclass(value) and fields_of(value)]
    assert len(classes) > 60
    undescribed = {
        f"{each.__name__}.{field}"
        for each in classes
        for field in fields_of(each)
        if not any(described(base, field) for base in each.__mro__ if base in classes)
    }
    assert not undescribed


def fields_of(kind):
    """The names of a NamedTuple's or a dataclass's fields, but for those that Flax adds."""
    if not dataclasses.is_dataclass(kind):
        return getattr(kind, "_fields", ())
    added = ("parent", "name") if issubclass(kind, flax.linen.Module) else ()
    return [field.name for field in dataclasses.fields(kind) if field.name not in added]


def described(kind, field):
    attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    return re.search(rf"^  (?:\w+, )*{field}(?:, \w+)*: .", attributes, re.MULTILINE)


def test_every_name_in_gin_has_an_entry_and_nothing_else_has():
    elsewhere = {"cosine_fraction"}  # of `dormant` itself
    assert entries("gin.md") | elsewhere == gin_names() | elsewhere


def test_no_name_is_listed_twice_on_one_page():
    from entries import BLOCK

    for page in API.glob("*.md"):
        blocks = BLOCK.findall(page.read_text("utf-8"))
        names = [f"{module}.{name}" for module, lines in blocks for name in lines.split()]
        assert len(names) == len(set(names)), page.name


PAGES = sorted(page.name for page in API.glob("*.md") if page.name != "index.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_a_page_has_an_example_on_it(page):
    from entries import examples, names_on

    text = (API / page).read_text("utf-8")
    shown = {name for names in examples(text).values() for name in names}
    assert not set(names_on(text)) - shown


@pytest.mark.parametrize("page", PAGES)
def test_headings_of_a_page_with_examples_differ_so_that_links_find_them(page):
    text = re.sub(r"^```.*?^```$", "", (API / page).read_text("utf-8"), flags=re.M | re.S)
    found = [heading.lower() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    assert len(found) == len(set(found)) > 3
