# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""All experiments by name, and those of other modules by module and name."""

import difflib
import importlib
import re

from dormant.checks import check
from dormant.reproduce import evidence, figures, minatar_sweeps, side_experiments
from dormant.reproduce.experiments import Experiment
from dormant.reproduce.interventions import INTERVENTIONS

EXPERIMENTS: tuple[Experiment, ...] = (
    *sorted(
        (*figures.FIGURES, *side_experiments.EXPERIMENTS),
        key=lambda each: (each.name[:3], int(each.name[3:])),
    ),
    *figures.SEARCHES,
    *minatar_sweeps.EXPERIMENTS,
    *evidence.EXPERIMENTS,
    INTERVENTIONS,
)


def find(name: str | None, option: str = "name") -> Experiment:
    """The experiment of a name or alias, or of "module:NAME", a constant of a module of anybody's.

    "fig06" is "fig6": gin files and pages are named so. `option` is what the name was given as.

    Raises:
      ValueError: there is none, with the names that come close.
    """
    module, colon, constant = (name or "").partition(":")
    if colon:
        return _of_module(module, constant)
    module = re.sub(
        r"^(fig|tab)0+(?=\d)", r"\1", module
    )  # "fig06", as gin files and pages are named
    by_name = {known: each for each in EXPERIMENTS for known in (each.name, *each.aliases)}
    close = difflib.get_close_matches(module, by_name, n=3)
    suggestion = f"; did you mean {' or '.join(close)}?" if close else ""
    allowed = f"an experiment that --list shows, or module:NAME of one of your own{suggestion}"
    check(module in by_name, option, allowed, name)
    return by_name[module]


def _of_module(module: str, constant: str) -> Experiment:
    name = f"{module}:{constant}"
    is_name = all(part.isidentifier() for part in module.split("."))
    check(is_name, "name", "an experiment, or module:NAME as Python writes a module's name", name)
    try:
        found = vars(importlib.import_module(module))
    except ImportError as error:
        raise ValueError(
            f"`name` must be of a module that can be imported; got {name!r}: {error}"
        ) from error
    ours = [key for key, value in found.items() if isinstance(value, Experiment)]
    allowed = f"that of an Experiment in {module}, which has {', '.join(ours) or 'none'}"
    check(constant in ours, "name", allowed, name)
    return found[constant]
