# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The methods that several experiments compare, and how a smoke run on the device says them."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

from dormant.reproduce.experiments import Bindings, Variant

REPLAY_RATIO = "LearnerOptions.replay_ratio"
_RATIO = "replay ratio"  # as settings call it
REPLAY_RATIOS = ("0.25", "0.5", "1", "2")
TAU, TAU_AT_DEFAULT = "0.1", "0.025"

REDO = {"LearnerOptions.intervention": "@ReDo()"}
RESET = {"LearnerOptions.intervention": "@Reset()"}
WEIGHT_DECAY = {"LearnerOptions.weight_decay": "1e-5"}
PRUNE = {"LearnerOptions.intervention": "@Prune()", "Prune.tau": "0.0"}
REDO_AT_DEFAULT = {**REDO, "ReDo.tau": TAU_AT_DEFAULT}
AT_RATIO_1 = {REPLAY_RATIO: "1"}
# {what a method is called that recycles by an order of scores: the order}
ORDERS = {"lowest score": "lowest", "random": "random", "highest score": "highest"}


def fixed_budget(order: str) -> Bindings:
    """What recycles by order, a budget that falls on a cosine from a tenth to nothing."""
    return {
        "LearnerOptions.intervention": "@FixedBudget()",
        "FixedBudget.order": f"'{order}'",
        "FixedBudget.fraction": "@dormant.cosine_fraction()",
        "dormant.cosine_fraction.initial": "0.1",
    }


def end_step(gradient_steps: int) -> Bindings:
    """Where the cosine of a fixed budget ends: with the run."""
    return {"dormant.cosine_fraction.end_step": str(gradient_steps)}


def at_each(cell: Variant, name: str, parameter: str, values: Sequence[str]) -> tuple[Variant, ...]:
    """A method at each value of a parameter, as gin writes it, which the setting calls by a name.

    It is bound after what `cell` binds itself.
    """
    return tuple(
        dataclasses.replace(
            cell,
            bindings={**cell.bindings, parameter: value},
            setting=f"{name} {value}",
            value=json.loads(value),
        )
        for value in values
    )


def at_ratio(ratio: str) -> str:
    """The setting of the cells of a sweep at a replay ratio."""
    return f"{_RATIO} {ratio}"


def at_rate(rate: str, ratio: str) -> str:
    """The setting of the cells of `minatar_rates` at a learning rate and a replay ratio."""
    return f"learning rate {rate}, {at_ratio(ratio)}"


def sweep(
    cell: Variant, ratios: Sequence[str] = REPLAY_RATIOS, redo: bool = False
) -> tuple[Variant, ...]:
    """A method at each replay ratio, as gin writes it, of which the first is its default.

    `redo` says that tau goes with the replay ratio: it is lower at the default one (paper).
    """
    cells = at_each(cell, _RATIO, REPLAY_RATIO, ratios)
    if not redo:
        return cells
    return tuple(
        dataclasses.replace(each, bindings={**each.bindings, "ReDo.tau": tau})
        for each, tau in zip(cells, (TAU_AT_DEFAULT, *[TAU] * len(ratios)), strict=False)
    )


# Parameters of these mean the same on the device.
_SHARED = ("LearnerOptions", "ReDo", "Reset", "Prune", "FixedBudget", "dormant")
# {parameter of a Dopamine agent: what says its value on the device}. The learning rate of the agent
# there is four times as high, the smoke runs' layer has 32 neurons.
_TRANSLATED: Mapping[str, Callable[[str], Bindings]] = {
    "JaxDQNAgent.update_horizon": lambda value: {"VectorizedDQN.update_horizon": value},
    "create_optimizer.learning_rate": lambda value: {
        "VectorizedDQN.learning_rate": f"{4 * float(value):g}"
    },
    "DormantDQNAgent.width": lambda value: {"VectorizedDQN.dense": f"({32 * int(value)},)"},
    "SCORE_BATCH": lambda value: {"ReDo.score_batch": value, "Tracker.score_batch": value},
}


def on_device(variant: Variant) -> Bindings | None:
    """What a variant of the paper's DQN is on the device; None where it cannot be said there.

    Periods are left out: a smoke run is too short for the paper's and has its own.
    """
    said: dict[str, str] = {}
    for parameter, value in {**variant.stated, **variant.bindings}.items():
        owner, _, name = parameter.partition(".")
        if parameter in _TRANSLATED:
            said |= _TRANSLATED[parameter](value)
        elif owner not in _SHARED:
            return None
        elif name != "period":
            said[parameter] = value
    return said
