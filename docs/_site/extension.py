# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What Sphinx is told beyond conf.py: the block `{public} dormant.parts`, a table of the names in
it and then each in full; docstrings as they are written here; relative links; wide figures."""

import functools
import inspect
import os
import pydoc
import re
from pathlib import Path

import jax
import optax
from docutils import nodes
from docutils.parsers.rst import directives
from entries import EXAMPLE, documented, examples, home
from links import INCLUDE, rewritten
from sphinx.util import inspect as sphinx_inspect
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import stringify_annotation

from dormant import parts

ALIASES = tuple(  # (a type as Sphinx writes it out, its name), the longest first
    (stringify_annotation(kind, mode="smart", short_literals=False), name)
    for kind, name in (
        (optax.Schedule, "optax.Schedule"),
        (optax.Params, "optax.Params"),
        (jax.typing.ArrayLike, "jax.typing.ArrayLike"),
        (parts.ScoreFunction, "dormant.parts.ScoreFunction"),
        (parts.When, "dormant.parts.When"),
    )
)
FIELD = type(parts.Score.measure)  # that of a NamedTuple
DATA = re.compile(r"^(```\{py:data\} (\S+)\n:module: (\S+)\n(?:.*\n)*?)(?=```$)", re.MULTILINE)
# What a signature shows of a default that Python cannot write out, of Flax's own fields, and of a
# type that says nothing.
SHORTER = (
    (re.compile(r"<(?:[^<>]|<[^<>]*>)+>"), "..."),
    (re.compile(r", parent: [^=]+ = \.\.\., name: [^=]+ = None\)$"), ")"),
    (re.compile(r": ~?(?:typing\.)?Any(?=,| =|\))"), ""),
)
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(?=(\w?))|[|]|[*](?=\w)")


class Public(SphinxDirective):
    """A block with one name of a module a line."""

    required_arguments = 1
    has_content = True
    option_spec = {"members": directives.flag}

    def run(self) -> list[nodes.Node]:
        (module,) = self.arguments
        listed = [f"{module}.{name}" for line in self.content for name in line.split()]
        # What is public in two places by one name has its entry in the upper one.
        others = [names_of(self.env.srcdir).get(home(name), name) for name in listed]
        public = [
            other if other.endswith("." + name.rpartition(".")[2]) else name
            for name, other in zip(listed, others, strict=True)
        ]
        table = [".. currentmodule:: None", ""]
        if len(public) > 1 or public != listed:
            table += [".. autosummary::", "   :nosignatures:", ""]
            table += [f"   ~{name}" for name in public]
        entries = [
            line
            for name, other in zip(listed, public, strict=True)
            if name == other
            for line in self.entry(name)
        ]
        text = "\n".join(["```{eval-rst}", *table, "", *entries, "```"])
        return self.parse_text_to_nodes(text)

    def entry(self, name: str) -> list[str]:
        value = pydoc.locate(name)
        if not inspect.isclass(value):
            return [f".. autofunction:: {name}", "", *self.example(name)]
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        members = ["   :members:"] if "members" in self.options else []
        return [f".. {kind}:: {name}", *members, "", *self.example(name)]

    def example(self, name: str) -> list[str]:
        """A link to the first example of the page that shows the name."""
        shown = examples(Path(self.env.doc2path(self.env.docname)).read_text("utf-8"))
        heading = first_example(name, shown)
        link = f"   `Example: {heading} <#{nodes.make_id(heading)}>`__"
        return [link, ""] if heading else []


def first_example(name: str, shown: dict[str, list[str]]) -> str:
    """The heading of the first of a page's examples that shows a name; "" for none."""
    return next((heading for heading, names in shown.items() if name in names), "")


def with_links(text: str, docs: Path) -> str:
    """A page of the API with links from each of its examples to the entries of what it shows, and
    from the entries that are written out in it to their examples."""
    shown = examples(text)

    def with_example(match: re.Match) -> str:
        block, name, module = match.groups()
        heading = first_example(f"{module}.{name}", shown)
        link = f"\n[Example: {heading}](#{nodes.make_id(heading)})\n"
        return block + link if heading else block

    text = DATA.sub(with_example, text)
    before, title, after = text.partition("\n## Examples\n")

    def linked(match: re.Match) -> str:
        names = [names_of(docs).get(home(name), name) for name in shown[match[1]]]
        links = ", ".join(f"{{py:obj}}`~{name}`" for name in dict.fromkeys(names))
        return f"{match[0].rstrip()}\n\nShown: {links}.\n\n" if links else match[0]

    return before + title + EXAMPLE.sub(linked, after)


@functools.cache
def names_of(docs: Path) -> dict[str, str]:
    """{the name by the module that defines it: the public name}, of all that has an entry."""
    names = sorted(documented(Path(docs) / "api"), key=lambda name: -name.count("."))
    found = {home(name): name for name in names}
    return {key: name for key, name in found.items() if key.startswith("dormant.")}


def resolve(app, env, node, contnode):
    """The link of a name by its module; what is there but not public is shown without one."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = names_of(env.srcdir).get(target)
    if name is None:
        return contnode if pydoc.locate(target) is not None else None
    python = env.domains["py"]
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)


def docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Makes a docstring reStructuredText: `code` in it is code, and a full name of ours a link."""

    def code(match: re.Match) -> str:
        text, after = match.groups()
        if text is None:  # a bar or a star that is meant as one
            return "\\" + match[0]
        is_name = re.fullmatch(r"dormant(\.\w+)+", text)
        return (f":py:obj:`{text}`" if is_name else f"``{text}``") + ("\\ " if after else "")

    lines[:] = CODE.sub(code, "\n".join(lines)).split("\n")


def signature(app, what, name, obj, options, arguments: str, returned: str):
    """Writes types by their names that are there for being long, and defaults so that they can be
    read."""
    arguments, returned = (text and _readable(text) for text in (arguments, returned))
    if what == "class" and arguments == "(*args, **kwargs)":  # of nnx's metaclass
        own = sphinx_inspect.signature(obj.__init__, bound_method=True)
        arguments = _readable(
            sphinx_inspect.stringify_signature(
                own, show_return_annotation=False, unqualified_typehints=True
            )
        )
    return arguments, returned


def _readable(text: str) -> str:
    for written, name in ALIASES:
        text = text.replace(written, name)
    for pattern, shorter in SHORTER:
        text = pattern.sub(shorter, text)
    return text


def skipped(app, what, name, obj, skip: bool, options) -> bool | None:
    """Leaves out the fields of a NamedTuple, which its docstring describes."""
    return True if isinstance(obj, FIELD) else None


def links(app, docname: str, source: list[str]) -> None:
    """Puts the files in that a page includes, and mends the links of both."""
    page, docs = Path(app.env.doc2path(docname)), Path(app.srcdir)
    logger = logging.getLogger(__name__)

    def shown(text: str, file: Path) -> str:
        def warn(message: str) -> None:
            logger.warning(message, location=docname)

        return rewritten(text, file.parent, page, docs, app.config.repository, warn)

    def included(match: re.Match) -> str:
        file = Path(os.path.normpath(page.parent / match[1]))
        app.env.note_dependency(str(file))
        return shown(file.read_text("utf-8"), file)

    # What a doctest prints ends with an empty line, which is not part of the example.
    source[0] = INCLUDE.sub(included, shown(source[0], page)).replace("\n\n```\n", "\n```\n")
    if page.parent.name == "api":
        source[0] = with_links(source[0], docs)


def figures(app, doctree) -> None:
    """Tells the style sheet which pictures are rows of panels, much wider than high."""
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir) / image["uri"]
        header = path.read_bytes()[:24] if path.is_file() else b""
        width, height = (int.from_bytes(header[at : at + 4], "big") for at in (16, 20))
        if header.startswith(b"\x89PNG") and width > 2 * height:
            image["classes"].append("wide")


def setup(app):
    app.add_config_value("repository", "", "env", types=[str])
    app.add_directive("public", Public)
    app.connect("source-read", links)
    app.connect("doctree-read", figures)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skipped)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
