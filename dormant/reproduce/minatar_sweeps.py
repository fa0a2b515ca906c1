# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Experiments of our own, on gymnax's MinAtar: the paper's questions for two CPU cores."""

import functools

from dormant.reproduce.experiments import Bindings, Experiment, Variant
from dormant.reproduce.families import DEVICE_FILE, minatar, quickstart
from dormant.reproduce.methods import (
    ORDERS,
    PRUNE,
    REDO,
    REDO_AT_DEFAULT,
    RESET,
    WEIGHT_DECAY,
    end_step,
    fixed_budget,
    sweep,
)

# At replay ratio 0.25 the 30 000 agent steps of `mini` have but 7 250 gradient steps.
_PERIOD = "250"
_REDO = {**REDO_AT_DEFAULT, "ReDo.period": _PERIOD}


def _at_default(method: str, bindings: Bindings) -> Variant:
    return Variant(method, DEVICE_FILE, bindings={"Tracker.tracking_period": _PERIOD, **bindings})


_of_minatar = functools.partial(Experiment, families=minatar())

EXPERIMENTS = (
    _of_minatar(
        name="minatar_replay_ratio",
        title="Figures 1 and 10 on MinAtar: replay ratios of DQN: plain, ReDo, reset, weight decay",
        expected="If the paper's findings hold: plain DQN falls as the replay ratio grows, ReDo"
        " does not.",
        variants=(
            *sweep(Variant("DQN", DEVICE_FILE)),
            *sweep(Variant("DQN + ReDo", DEVICE_FILE, bindings=REDO), redo=True),
            *sweep(Variant("DQN + reset", DEVICE_FILE, bindings=RESET)),
            *sweep(Variant("DQN + weight decay", DEVICE_FILE, bindings=WEIGHT_DECAY)),
        ),
        shows=("iqm", "return", "dormant_percent", "overlap"),
        setting_name="replay ratio",
    ),
    _of_minatar(
        name="minatar_fixed_budget",
        title="Figure 15 on MinAtar: a fixed budget of lowest, random or highest score is recycled",
        expected="If the paper's findings hold: lowest learns, random and highest collapse.",
        variants=(
            _at_default("DQN", {}),
            *(
                _at_default(name, {**fixed_budget(order), "FixedBudget.period": _PERIOD})
                for name, order in ORDERS.items()
            ),
        ),
        extra={"paper": end_step(248_750), "mini": end_step(7_250), "smoke": end_step(450)},
    ),
    _of_minatar(
        name="minatar_utility",
        title="Figure 25 on MinAtar: ReDo by continual backpropagation's utility",
        expected="If the paper's findings hold: similar or worse than by the dormancy score.",
        variants=(
            _at_default("DQN + ReDo", _REDO),
            _at_default("DQN + ReDo by utility", {**_REDO, "ReDo.score": "'contribution_utility'"}),
        ),
    ),
    _of_minatar(
        name="minatar_prune",
        title="Figure 6 on MinAtar: dormant neurons are pruned for good",
        expected="If the paper's findings hold: the return is that of the unpruned agent.",
        variants=(
            _at_default("DQN", {}),
            _at_default("DQN + pruning", {**PRUNE, "Prune.period": _PERIOD}),
        ),
    ),
    Experiment(
        name="minatar_quickstart",
        title="DQN and DQN + ReDo on MinAtar's Space Invaders, at a low and a high replay ratio",
        expected="At replay ratio .25 return 16 and dormant 27 %, with ReDo 13 and 10; at replay"
        " ratio 2 return 25 and 19 %, with ReDo 26 and 5 (measured, not the paper's).",
        notes="It takes 4 minutes on 2 CPU cores, and is whole unless --scale=smoke is asked for.",
        variants=tuple(
            cell
            for method in (
                Variant("DQN", "vectorized/quickstart.gin"),
                Variant("DQN + ReDo", "vectorized/quickstart.gin", bindings=REDO),
            )
            for cell in sweep(method, ratios=("0.25", "2"))
        ),
        families=quickstart(),
        shows=("return", "dormant_percent"),
        setting_name="replay ratio",
        default_scale="mini",
    ),
)
