# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""One name for what sources spell differently, and a note that says so."""

from collections.abc import Callable, Iterable


def spelled(names: Iterable[str]) -> dict[str, str]:
    """{name: the same without spaces at its ends and with one between its words}."""
    return {name: " ".join(name.split()) for name in names}


def one_name(
    what: str, names: Iterable[str], of_each: Callable[[Iterable[str]], dict[str, str]]
) -> tuple[dict[str, str], list[str]]:
    """{name: the one name that it stands for}, and a note where several stand for one.

    Args:
      what: "method" or "game".
      names: as the source has them, in its order.
      of_each: what makes the names one.
    """
    found = of_each(dict.fromkeys(names))
    alike: dict[str, list[str]] = {}
    for name, one in found.items():
        alike.setdefault(one, []).append(name)
    notes = [
        f"{', '.join(map(repr, same))} are one {what}, called {one!r}"
        for one, same in alike.items()
        if len(same) > 1
    ]
    by_case: dict[str, list[str]] = {}
    for one in alike:
        by_case.setdefault(one.casefold(), []).append(one)
    notes += [
        f"{', '.join(map(repr, same))} differ in case alone and are several {what}s"
        for same in by_case.values()
        if len(same) > 1
    ]
    return found, notes
