# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The sweeps that docs/evidence.md rests on, which says beforehand what each is to show: gymnax's
MinAtar, ten seeds, long enough for neurons to fall dormant. Their scales `paper` and `mini` are the
same: the whole."""

import dataclasses
import functools

from dormant.reproduce.experiments import (
    STUDY,
    TRAIN_VECTORIZED,
    Bindings,
    Experiment,
    Families,
    Family,
    Variant,
)
from dormant.reproduce.families import (
    DEVICE_FILE,
    DEVICE_GAME,
    MINATAR,
    SMOKE_DEVICE,
    SMOKE_STUDY,
)
from dormant.reproduce.methods import (
    AT_RATIO_1,
    REDO,
    REPLAY_RATIO,
    RESET,
    WEIGHT_DECAY,
    at_each,
    at_rate,
    sweep,
)

_SEEDS = 10
_ASTERIX, _BREAKOUT, _FREEWAY, _SPACE_INVADERS = MINATAR
# What the sweeps are over; `hypotheses` compares their cells.
THREE_GAMES = (_ASTERIX, _BREAKOUT, _SPACE_INVADERS)
CONVOLUTION_GAMES = (_BREAKOUT, _FREEWAY, _SPACE_INVADERS)
LEARNING_RATES, RATIOS_OF_RATES = ("2.5e-4", "1e-3", "3e-3"), ("0.25", "1", "2")
WIDTHS = (64, 128, 256, 512)
TAUS, PERIODS = ("0.0", "0.01", "0.025", "0.1", "0.2"), ("100", "1000", "10000")
SEQUENCE = "SpaceInvaders-Asterix-Freeway-MinAtar"
# The same games from the second and from the third on.
FRESH_SEQUENCES = (
    "Asterix-Freeway-SpaceInvaders-MinAtar",
    "Freeway-SpaceInvaders-Asterix-MinAtar",
)
_SEQUENCE_FILE, _SEQUENCE_GAME = "vectorized/sequence.gin", "GameSequence.games"
_LEARNING_RATE, _DENSE = "VectorizedDQN.learning_rate", "VectorizedDQN.dense"
# The paper's best period of resets is this share of its run's gradient steps.
_RESET_SHARE = 0.04

_ONE_COUNT = REDO
_PER_ENTRY = {**REDO, "ReDo.adam_count": "'per_entry'"}
_DQN = Variant("DQN", DEVICE_FILE)
_REDO = Variant("DQN + ReDo", DEVICE_FILE, bindings=_PER_ENTRY)
_REDO_ONE_COUNT = Variant("DQN + ReDo, one step count", DEVICE_FILE, bindings=_ONE_COUNT)


def _iterations(number: int, agent_steps: int) -> Bindings:
    """So many iterations of so many agent steps, the last with an evaluation."""
    return {
        "VectorizedRun.num_iterations": str(number),
        "VectorizedRun.training_steps": str(agent_steps),
        "VectorizedRun.evaluation_episodes": "20",
        "VectorizedRun.evaluation_period": str(number),
    }


def minatar_families(
    games: tuple[str, ...], number: int, agent_steps: int, speed: str = "minatar mlp"
) -> Families:
    """Runs of so many iterations of so many agent steps."""
    bindings = _iterations(number, agent_steps)
    steps = number * agent_steps
    whole = Family(TRAIN_VECTORIZED, DEVICE_GAME, games, _SEEDS, steps, bindings, speed)
    smoke = dataclasses.replace(SMOKE_DEVICE, games=games[:1], gin_file="")
    return {"paper": whole, "mini": whole, "smoke": smoke}


def _sequences(games: tuple[str, ...], visits: int) -> Families:
    """Runs of so many visits of ten iterations."""
    number, agent_steps = 10 * visits, 20_000
    bindings = {"VectorizedRun.num_iterations": str(number)}
    of_games = functools.partial(Family, TRAIN_VECTORIZED, _SEQUENCE_GAME, games, replay_ratio=1)
    # The benchmark's observations are three fifths as large.
    whole = of_games(_SEEDS, number * agent_steps, bindings, "minatar mlp")
    shorter = {**SMOKE_DEVICE.bindings, "GameSequence.steps_of_each": "100"}
    smoke = dataclasses.replace(
        SMOKE_DEVICE, game_parameter=_SEQUENCE_GAME, games=games[:1], bindings=shorter, gin_file=""
    )
    return {"paper": whole, "mini": whole, "smoke": smoke}


def _resets(cell: Variant, agent_steps: int) -> tuple[Variant, ...]:
    """Resets at each replay ratio, as many of them in each run as in the paper's."""
    return tuple(
        dataclasses.replace(
            each,
            bindings={
                **each.bindings,
                "Reset.period": str(round(_RESET_SHARE * agent_steps * (each.value or 0))),
            },
        )
        for each in sweep(cell)
    )


def _at_each_width(cell: Variant) -> tuple[Variant, ...]:
    return tuple(
        dataclasses.replace(
            cell,
            bindings={**cell.bindings, **AT_RATIO_1, _DENSE: f"({width}, {width})"},
            setting=f"width {width}",
            value=width,
        )
        for width in WIDTHS
    )


def _at_each_rate(cell: Variant) -> tuple[Variant, ...]:
    """Each learning rate with each replay ratio."""
    return tuple(
        dataclasses.replace(
            cell,
            bindings={**cell.bindings, _LEARNING_RATE: rate, REPLAY_RATIO: ratio},
            setting=at_rate(rate, ratio),
        )
        for rate in LEARNING_RATES
        for ratio in RATIOS_OF_RATES
    )


def _of_tau(tau: str) -> tuple[Variant, ...]:
    """ReDo with a threshold, or with one that adapts, at each period."""
    method = "adaptive tau" if tau.startswith("@") else f"tau {tau}"
    bindings = {**_PER_ENTRY, **AT_RATIO_1, "ReDo.tau": tau}
    cell = Variant(f"DQN + ReDo, {method}", DEVICE_FILE, bindings=bindings)
    return at_each(cell, "period", "ReDo.period", PERIODS)


def _in_sequence(method: str, bindings: Bindings, families: Families | None = None) -> Variant:
    return Variant(method, _SEQUENCE_FILE, bindings=bindings, families=families)


def _of_digits(optimizer: str, bindings: Bindings) -> tuple[Variant, ...]:
    """A classifier with labels that stay and that are shuffled, and with ReDo."""
    methods = {
        "fixed labels": {"Supervised.labels": "'fixed'"},
        "shuffled labels": {},
        "shuffled labels + ReDo": REDO,
    }
    return tuple(
        Variant(
            method,
            "studies/digits.gin",
            bindings={**of_method, **bindings},
            setting=f"optimizer {optimizer}",
        )
        for method, of_method in methods.items()
    )


_SGD = {
    "Supervised.optimizer": "'sgd'",
    "Supervised.learning_rate": "0.01",
    "ReDo.adam_count": "'keep'",
}
_ONE_COUNT_OF_ADAM = Variant(
    "shuffled labels + ReDo, one step count",
    "studies/digits.gin",
    bindings={**REDO, "ReDo.adam_count": "'keep'"},
    setting="optimizer Adam",
)


def _digits(seeds: int) -> Families:
    of_digits = functools.partial(Family, STUDY, "Images.source", ("digits",), replay_ratio=1)
    whole = of_digits(seeds, 20 * 1_120, speed="digits")
    shorter = {
        "StudyRun.num_iterations": "3",
        "StudyRun.training_steps": "112",
        "Supervised.shuffle_every": "2",
    }
    return {"paper": whole, "mini": whole, "smoke": of_digits(1, 3 * 112, shorter)}


def _studies(iterations: int, gradient_steps: int, speed: str, smoke: Bindings) -> Families:
    """Fits on what online runs left: so many iterations of so many gradient steps."""
    of_games = functools.partial(Family, STUDY, DEVICE_GAME, replay_ratio=1)
    length = {
        "StudyRun.num_iterations": str(iterations),
        "StudyRun.training_steps": str(gradient_steps),
    }
    whole = of_games(THREE_GAMES, _SEEDS, iterations * gradient_steps, length, speed)
    shorter = {**SMOKE_STUDY, **smoke}
    return {"paper": whole, "mini": whole, "smoke": of_games(THREE_GAMES[:1], 1, 1_000, shorter)}


_TAUGHT = {
    "Distillation.teacher_steps": "300_000",
    "Distillation.student_steps": "300_000",
    "Distillation.student_replay_ratio": "2",
    **AT_RATIO_1,
}

_of_long_runs = functools.partial(
    Experiment,
    shows=("iqm", "return", "evaluation", "dormant_percent", "overlap", "rank"),
    setting_name="replay ratio",
)
_LONG_AGENT_STEPS = 300_000

EXPERIMENTS = (
    Experiment(
        name="quickstart",
        title="A classifier that learns label after label by heart, without and with ReDo",
        expected="H19 and H20 of docs/evidence.md, five seeds.",
        notes="It takes minutes on 2 CPU cores, and is whole unless --scale=smoke is asked for.",
        variants=tuple(
            dataclasses.replace(variant, setting="")
            for variant in _of_digits("Adam", {})
            if variant.method != "fixed labels"
        ),
        families=_digits(5),
        shows=("train_accuracy", "dormant_percent"),
        default_scale="mini",
    ),
    Experiment(
        name="digits",
        title="Figure 3 on scikit-learn's digits: labels fixed and shuffled every 20 of 400 epochs,"
        " by Adam and by SGD",
        expected="H18 to H21 of docs/evidence.md.",
        variants=(*_of_digits("Adam", {}), _ONE_COUNT_OF_ADAM, *_of_digits("SGD", _SGD)),
        families=_digits(_SEEDS),
        shows=("train_accuracy", "dormant_percent"),
        setting_name="optimizer",
    ),
    _of_long_runs(
        name="minatar_long",
        title="Figures 1, 2, 5, 7, 10 and 16 on MinAtar: replay ratios over 300 000 agent steps",
        expected="H1 to H8 of docs/evidence.md.",
        variants=(
            *sweep(_DQN),
            *sweep(_REDO, redo=True),
            *sweep(_REDO_ONE_COUNT, redo=True),
            *sweep(Variant("DQN + weight decay", DEVICE_FILE, bindings=WEIGHT_DECAY)),
            *_resets(Variant("DQN + reset", DEVICE_FILE, bindings=RESET), _LONG_AGENT_STEPS),
        ),
        families=minatar_families(MINATAR, 20, _LONG_AGENT_STEPS // 20),
    ),
    *(
        _of_long_runs(
            name=name,
            title=f"Figures 1, 7 and 10 on MinAtar's {said} with the MinAtar paper's network",
            expected="H1 to H5 of docs/evidence.md.",
            variants=tuple(
                dataclasses.replace(
                    each, bindings={**each.bindings, "VectorizedDQN.network": "'minatar'"}
                )
                for each in (*sweep(_DQN), *sweep(_REDO, redo=True))
            ),
            families=minatar_families(games, 20, _LONG_AGENT_STEPS // 20, "minatar"),
        )
        for name, said, games in (
            ("minatar_convolution", "Asterix", (_ASTERIX,)),
            ("minatar_convolution_games", "other games", CONVOLUTION_GAMES),
        )
    ),
    Experiment(
        name="minatar_rates",
        title="Figure 11 as a map on MinAtar: learning rates and replay ratios, ReDo with either"
        " step count of Adam",
        expected="H9 to H11 of docs/evidence.md.",
        variants=tuple(
            each for cell in (_DQN, _REDO, _REDO_ONE_COUNT) for each in _at_each_rate(cell)
        ),
        families=minatar_families(THREE_GAMES, 10, 10_000),
        shows=("iqm", "return", "evaluation", "dormant_percent", "rank"),
        setting_name="learning rate, replay ratio",
    ),
    Experiment(
        name="minatar_sequence",
        title="Three MinAtar games after one another, twice, with one network and one replay, and"
        " fresh agents beside it",
        expected="H12 and H13 of docs/evidence.md.",
        variants=(
            _in_sequence("DQN", {}),
            _in_sequence("DQN + ReDo", _PER_ENTRY),
            _in_sequence("DQN + weight decay", WEIGHT_DECAY),
            _in_sequence("DQN + reset", {**RESET, "Reset.period": "48_000"}),
            # Of the first game of the sequence its first visit is that of a fresh agent.
            _in_sequence(
                "DQN, fresh",
                {},
                _sequences(FRESH_SEQUENCES, 1),
            ),
        ),
        families=_sequences((SEQUENCE,), 6),
        shows=("return", "dormant_percent", "overlap", "rank"),
    ),
    Experiment(
        name="minatar_width",
        title="Figure 12 on MinAtar: networks of 64 to 512 neurons a layer",
        expected="H14 and H15 of docs/evidence.md.",
        variants=(*_at_each_width(_DQN), *_at_each_width(_REDO)),
        families=minatar_families((_ASTERIX, _BREAKOUT), 10, 20_000),
        shows=("iqm", "return", "evaluation", "dormant_percent", "rank"),
        setting_name="width",
    ),
    Experiment(
        name="minatar_tau",
        title="The paper's search of tau and period on MinAtar, with a tau that adapts",
        expected="H16 and H17 of docs/evidence.md.",
        variants=(
            dataclasses.replace(_DQN, bindings=AT_RATIO_1),
            *(each for tau in (*TAUS, "@AdaptiveTau()") for each in _of_tau(tau)),
        ),
        families=minatar_families((_ASTERIX, _SPACE_INVADERS), 10, 10_000),
        shows=("iqm", "return", "evaluation", "dormant_percent"),
        setting_name="period",
    ),
    Experiment(
        name="minatar_offline",
        title="Figure 4 on MinAtar: DQN on all that an online DQN saw in 300 000 agent steps, its"
        " targets synced or random for good",
        expected="H22 and H23 of docs/evidence.md.",
        variants=tuple(
            Variant(
                method,
                "studies/fig04.gin",
                bindings={"OfflineDQN.data_steps": "300_000", **AT_RATIO_1, **targets},
            )
            for method, targets in {
                "offline DQN": {},
                "offline DQN, random targets": {"OfflineDQN.targets": "'random'"},
            }.items()
        ),
        families=_studies(20, 5_000, "minatar offline", {"OfflineDQN.data_steps": "2_000"}),
        shows=("dormant_percent", "return"),
    ),
    Experiment(
        name="minatar_distillation",
        title="Figure 8 on MinAtar: a DQN that plays distilled into a network trained at replay"
        " ratio 2 and into a fresh one",
        expected="H24 and H25 of docs/evidence.md.",
        variants=(
            Variant("trained at replay ratio 2", "studies/fig08.gin", bindings=_TAUGHT),
            Variant(
                "fresh network",
                "studies/fig08.gin",
                bindings={**_TAUGHT, "Distillation.student": "'fresh'"},
            ),
        ),
        families=_studies(
            20,
            2_500,
            "minatar distillation",
            {"Distillation.teacher_steps": "2_000", "Distillation.student_steps": "2_000"},
        ),
        shows=("return", "dormant_percent"),
    ),
)
