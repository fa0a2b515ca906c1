# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""All experiments by name."""

import difflib

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


def find(name: str | None) -> Experiment:
    """The experiment of a name or alias.

    Raises:
      ValueError: there is none, with the names that come close.
    """
    by_name = {known: each for each in EXPERIMENTS for known in (each.name, *each.aliases)}
    close = difflib.get_close_matches(name or "", by_name, n=3)
    suggestion = f"; did you mean {' or '.join(close)}?" if close else ""
    check(name in by_name, "name", f"an experiment that --list shows{suggestion}", name)
    return by_name[name or ""]
