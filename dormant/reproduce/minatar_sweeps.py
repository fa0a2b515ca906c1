"""Experiments of our own, on gymnax's MinAtar: the paper's questions for two CPU cores."""

from dormant.reproduce.experiments import Experiment, Variant
from dormant.reproduce.families import minatar
from dormant.reproduce.methods import (
    DEVICE_FILE,
    PRUNE,
    REDO,
    RESET,
    TAU_AT_DEFAULT,
    WEIGHT_DECAY,
    end_step,
    fixed_budget,
    sweep,
)

# At replay ratio 0.25 the 30 000 agent steps of `mini` have but 7 250 gradient steps.
_PERIOD = "250"
_OFTEN = {"Tracker.tracking_period": _PERIOD}
_REDO = {**REDO, "ReDo.tau": TAU_AT_DEFAULT, "ReDo.period": _PERIOD}


def _scales():
    return {scale: {"": family} for scale, family in minatar().items()}


def _sweep(method: str, bindings, redo: bool = False) -> tuple[Variant, ...]:
    return tuple(
        Variant(
            each.method,
            each.gin_file,
            each.setting,
            each.value,
            {**bindings, **each.bindings},
            replay_ratio=each.replay_ratio,
        )  # fmt: skip
        for each in sweep(method, DEVICE_FILE, redo=redo)
    )


def _variant(method: str, bindings) -> Variant:
    return Variant(method, DEVICE_FILE, bindings={**_OFTEN, **bindings})


REPLAY_RATIO = Experiment(
    name="minatar_replay_ratio",
    title="Figures 1 and 10 on MinAtar: replay ratios of DQN: plain, ReDo, reset, weight decay",
    expected="If the paper's findings hold: plain DQN falls as the replay ratio grows, ReDo does"
    " not.",
    variants=(
        *_sweep("DQN", {}),
        *_sweep("DQN + ReDo", REDO, redo=True),
        *_sweep("DQN + reset", RESET),
        *_sweep("DQN + weight decay", WEIGHT_DECAY),
    ),
    scales=_scales(),
    shows=("iqm", "return", "dormant_percent", "overlap"),
    setting_name="replay ratio",
)
FIXED_BUDGET = Experiment(
    name="minatar_fixed_budget",
    title="Figure 15 on MinAtar: a fixed budget of lowest, random or highest score is recycled",
    expected="If the paper's findings hold: lowest learns, random and highest collapse.",
    variants=(
        _variant("DQN", {}),
        *(
            _variant(
                f"{order} score" if order != "random" else order,
                {**fixed_budget(order), "FixedBudget.period": _PERIOD},
            )
            for order in ("lowest", "random", "highest")
        ),
    ),
    scales=_scales(),
    extra={
        "paper": end_step(248_750),
        "mini": end_step(7_250),
        "smoke": end_step(450),
    },
)
UTILITY = Experiment(
    name="minatar_utility",
    title="Figure 25 on MinAtar: ReDo by continual backpropagation's utility",
    expected="If the paper's findings hold: similar or worse than by the dormancy score.",
    variants=(
        _variant("DQN + ReDo", _REDO),
        _variant("DQN + ReDo by utility", {**_REDO, "ReDo.score": "'contribution_utility'"}),
    ),
    scales=_scales(),
)
PRUNING = Experiment(
    name="minatar_prune",
    title="Figure 6 on MinAtar: dormant neurons are pruned for good",
    expected="If the paper's findings hold: the return is that of the unpruned agent.",
    variants=(
        _variant("DQN", {}),
        _variant("DQN + pruning", {**PRUNE, "Prune.period": _PERIOD}),
    ),
    scales=_scales(),
)

EXPERIMENTS = (REPLAY_RATIO, FIXED_BUDGET, UTILITY, PRUNING)
