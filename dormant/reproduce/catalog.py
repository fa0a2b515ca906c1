"""All experiments by name."""

import difflib

from dormant.reproduce import (
    dormancy_figures,
    minatar_sweeps,
    replay_ratio_figures,
    sac_figures,
    searches,
)
from dormant.reproduce.experiments import Experiment, NotAvailable

NOT_AVAILABLE = (
    NotAvailable(
        "fig3",
        "CIFAR-10 with fixed labels and with labels that are shuffled",
        "Dormant 10 to 2 %; with shuffled labels up to 30-40 % (read off the figure).",
        "no image data set comes with this package; examples/supervised_flax.py is the experiment"
        " in miniature",
    ),
    NotAvailable(
        "fig4",
        "Offline DQN on the DQN replay data",
        "DemonAttack 20 to 33 %, with random targets 22; Asterix 10 to 50, 20 (read off).",
        "the agents here train online; the data set is 50M frames for each game",
    ),
    NotAvailable(
        "fig8",
        "A strong DQN distilled into a network trained at replay ratio 1 and into a fresh one",
        "The first gets worse and its dormant % climbs; the second improves.",
        "there is no distillation loss among the learners",
    ),
)


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
      ValueError: there is none, with the names that come close, or it cannot be run here.
    """
    by_name = {known: each for each in EXPERIMENTS for known in (each.name, *each.aliases)}
    if name in by_name:
        return by_name[name]
    for each in NOT_AVAILABLE:
        if each.name == name:
            raise ValueError(f"{name} cannot be run: {each.reason}")
    close = difflib.get_close_matches(name, by_name, n=3)
    suggestion = f"; did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(
        f"the experiment must be one of those that --list shows{suggestion}; got {name!r}"
    )
