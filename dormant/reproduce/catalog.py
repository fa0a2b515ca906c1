"""All experiments by name."""

import difflib

from dormant.reproduce import (
    dormancy_figures,
    minatar_sweeps,
    replay_ratio_figures,
    sac_figures,
    searches,
    side_experiments,
)
from dormant.reproduce.experiments import Experiment


def _number(name: str) -> tuple[str, int]:
    letters = name.rstrip("0123456789")
    return letters, int(name[len(letters) :] or 0)


EXPERIMENTS: tuple[Experiment, ...] = (
    tuple(
        sorted(
            (
                *replay_ratio_figures.EXPERIMENTS,
                *dormancy_figures.EXPERIMENTS,
                *sac_figures.EXPERIMENTS,
                *side_experiments.EXPERIMENTS,
            ),
            key=lambda experiment: _number(experiment.name),
        )
    )
    + searches.EXPERIMENTS
    + minatar_sweeps.EXPERIMENTS
)


def find(name: str) -> Experiment:
    """The experiment of a name or alias.

    Raises:
      ValueError: there is none, with the names that come close.
    """
    by_name = {known: each for each in EXPERIMENTS for known in (each.name, *each.aliases)}
    if name in by_name:
        return by_name[name]
    close = difflib.get_close_matches(name, by_name, n=3)
    suggestion = f"; did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(
        f"the experiment must be one of those that --list shows{suggestion}; got {name!r}"
    )
