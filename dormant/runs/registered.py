# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Options of a function of the core as a frozen dataclass with a name in gin."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gin

REQUIRED = dataclasses.MISSING  # in the place of a default
_MEANINGS = re.compile(r"^(?:Args|Attributes):\n((?:  .*\n?)*)", re.MULTILINE)
_MEANING = re.compile(r"^  (\w+(?:, \w+)*): (.*(?:\n    .*)*)", re.MULTILINE)


def registered(
    name: str,
    base: type,
    options: Mapping[str, Any],
    described: Callable[..., Any],
    explained: Iterable[Callable[..., Any]],
    **attributes: Callable[..., Any] | None,
) -> type:
    """Registers a frozen dataclass in gin.

    Args:
      name: in gin.
      base: what it does with its options; the class lies in the base's module.
      options: {option: default, or `REQUIRED`}, the required ones first.
      described: whose docstring's first paragraph is its own.
      explained: whose docstrings say what the options mean, the first that knows one.
      **attributes: functions that are attributes of the class.
    """
    fields = [
        (option, Any) if default is REQUIRED else (option, Any, default)
        for option, default in options.items()
    ]
    summary = " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())
    meanings: dict[str, str] = {}
    for each in explained:
        meanings = meanings_of(each) | meanings
    told = "".join(f"  {option}: {meanings.get(option, '')}\n" for option in options)
    functions = {key: value and staticmethod(value) for key, value in attributes.items()}
    kind = dataclasses.make_dataclass(
        name,
        fields,
        bases=(base,),
        frozen=True,
        namespace={
            "__doc__": f"{summary} `{name}.*` in gin.\n\nAttributes:\n{told}",
            "__module__": base.__module__,
            **functions,
        },
    )
    return gin.configurable(kind, module=base.__module__)


def meanings_of(described: Callable[..., Any]) -> dict[str, str]:
    """`{argument or attribute: what the docstring says of it}`, with the lines' own indentation."""
    [section] = _MEANINGS.findall(inspect.getdoc(described) or "")[:1] or [""]
    entries = _MEANING.findall(section)
    return {name: text for names, text in entries for name in names.split(", ")}
