# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Options of a function of the core as a frozen dataclass with a name in gin."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gin

REQUIRED = dataclasses.MISSING  # in the place of a default


def registered(
    name: str,
    base: type,
    options: Mapping[str, Any],
    described: Callable[..., Any],
    **attributes: Callable[..., Any] | None,
) -> type:
    """Registers a frozen dataclass in gin.

    Args:
      name: in gin.
      base: what it does with its options; the class lies in the base's module.
      options: {option: default, or `REQUIRED`}, the required ones first.
      described: whose docstring's first line is its own.
      **attributes: functions that are attributes of the class.
    """
    fields = [
        (option, Any) if default is REQUIRED else (option, Any, default)
        for option, default in options.items()
    ]
    summary = (described.__doc__ or "").partition("\n")[0]
    functions = {key: value and staticmethod(value) for key, value in attributes.items()}
    kind = dataclasses.make_dataclass(
        name,
        fields,
        bases=(base,),
        frozen=True,
        namespace={
            "__doc__": f"{summary} `{name}.*` in gin; see `{base.__name__}`.",
            "__module__": base.__module__,
            **functions,
        },
    )
    return gin.configurable(kind, module=base.__module__)
