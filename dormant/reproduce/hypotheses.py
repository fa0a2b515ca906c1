# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The hypotheses of docs/evidence.md, as comparisons of the experiments' cells."""

from dormant.records.per_iteration import ACCURACY, OVERLAP, RANK, dormant_column
from dormant.reproduce.comparisons import (
    ALIKE,
    LESS,
    MORE,
    NOT_LESS,
    NOT_MUCH_LESS,
    RETURN,
    SCORE,
    Cell,
    Claim,
    Comparison,
)
from dormant.reproduce.evidence import (
    CONVOLUTION_GAMES,
    FRESH_SEQUENCES,
    LEARNING_RATES,
    PERIODS,
    RATIOS_OF_RATES,
    SEQUENCE,
    TAUS,
    THREE_GAMES,
    WIDTHS,
)
from dormant.reproduce.families import MINATAR
from dormant.reproduce.interventions import INTERVENTION_GAMES, METHODS
from dormant.reproduce.methods import REPLAY_RATIOS, at_rate, at_ratio

_ASTERIX, _BREAKOUT, _FREEWAY, _SPACE_INVADERS = MINATAR
DQN, REDO, ONE_COUNT = "DQN", "DQN + ReDo", "DQN + ReDo, one step count"
RESET, WEIGHT_DECAY = "DQN + reset", "DQN + weight decay"
# The sources of what the paper does not say.
OURS, OTHERS = "ours", "each method's paper"
DORMANT, SILENT = dormant_column(0.1), dormant_column(0.0)


def _of_ratios(games: tuple[str, ...]) -> dict[str, tuple[str, str, tuple[Comparison, ...]]]:
    """{claim: (text, measure, comparisons)} of replay ratios: H1 to H5."""

    def compared(name: str, first: Cell, second: Cell, side: str) -> Comparison:
        return Comparison(name, first, second, side, games=games)

    settings = [at_ratio(value) for value in REPLAY_RATIOS]
    low, high = settings[0], settings[-1]
    return {
        "H1": (
            "Plain DQN's wholly silent neurons (tau 0) become more over training",
            SILENT,
            tuple(
                compared(each, Cell(DQN, each), Cell(DQN, each, "first"), MORE) for each in settings
            ),
        ),
        "H2": (
            "More updates leave plain DQN with more dormant neurons",
            DORMANT,
            (compared("2 less .25", Cell(DQN, high), Cell(DQN, low), MORE),),
        ),
        "H3": (
            "Plain DQN's score falls as the replay ratio grows",
            SCORE,
            (compared("2 less .25", Cell(DQN, high), Cell(DQN, low), LESS),),
        ),
        "H4": (
            "ReDo leaves fewer dormant neurons than plain DQN has",
            DORMANT,
            tuple(compared(each, Cell(REDO, each), Cell(DQN, each), LESS) for each in settings),
        ),
        "H5": (
            "ReDo's score is higher at replay ratios 1 and 2, and not lower at .25",
            SCORE,
            tuple(
                compared(each, Cell(REDO, each), Cell(DQN, each), side)
                for each, side in ((settings[2], MORE), (high, MORE), (low, NOT_LESS))
            ),
        ),
    }


_SOURCES = {
    "H1": "figures 2, 7",
    "H2": "figures 7, 16",
    "H3": "figures 7, 10",
    "H4": "figure 9",
    "H5": "figures 1, 9, 10",
}
_DIGITS, _SHUFFLED = ("digits",), "shuffled labels"
_OPTIMIZERS = ("optimizer Adam", "optimizer SGD")
_TRAINED = "trained at replay ratio 2"


def _visits() -> tuple[tuple[str, Cell, int], ...]:
    """(game, the fresh agent's cell, iteration that ends its second visit)."""
    return (
        (_SPACE_INVADERS, Cell(DQN, at=9, game=SEQUENCE), 39),
        (_ASTERIX, Cell("DQN, fresh", at=9, game=FRESH_SEQUENCES[0]), 49),
        (_FREEWAY, Cell("DQN, fresh", at=9, game=FRESH_SEQUENCES[1]), 59),
    )


CLAIMS = (
    *(
        Claim(name, text, _SOURCES[name], "minatar_long", measure, comparisons)
        for name, (text, measure, comparisons) in _of_ratios(MINATAR).items()
    ),
    Claim(
        "H6",
        "ReDo's score is higher than that of resets and of weight decay, replay ratio 1",
        "figure 1",
        "minatar_long",
        SCORE,
        tuple(
            Comparison(
                f"less {name}",
                Cell(REDO, at_ratio("1")),
                Cell(method, at_ratio("1")),
                MORE,
                games=MINATAR,
            )
            for name, method in (("resets", RESET), ("weight decay", WEIGHT_DECAY))
        ),
    ),
    Claim(
        "H7",
        "The overlap of plain DQN's dormant neurons with all before rises",
        "figure 5",
        "minatar_long",
        OVERLAP,
        tuple(
            Comparison(
                each,
                Cell(DQN, each, "last quarter"),
                Cell(DQN, each, "first quarter"),
                MORE,
                games=MINATAR,
            )
            for each in map(at_ratio, REPLAY_RATIOS)
        ),
    ),
    Claim(
        "H8",
        "ReDo's features have a higher effective rank, replay ratio 1",
        "table 7",
        "minatar_long",
        RANK,
        (Comparison("", Cell(REDO, at_ratio("1")), Cell(DQN, at_ratio("1")), MORE, games=MINATAR),),
    ),
    *(
        Claim(
            f"{name}, {label}",
            text,
            _SOURCES[name],
            experiment,
            measure,
            comparisons,
        )
        for label, experiment, games in (
            ("convolution", "minatar_convolution", (_ASTERIX,)),
            ("convolution, other games", "minatar_convolution_games", CONVOLUTION_GAMES),
        )
        for name, (text, measure, comparisons) in _of_ratios(games).items()
    ),
    Claim(
        "H9",
        "A higher learning rate leaves plain DQN with more dormant neurons, 3e-3 less 2.5e-4",
        "figure 11",
        "minatar_rates",
        DORMANT,
        tuple(
            Comparison(
                at_ratio(ratio),
                Cell(DQN, at_rate("3e-3", ratio)),
                Cell(DQN, at_rate("2.5e-4", ratio)),
                MORE,
                games=THREE_GAMES,
            )
            for ratio in RATIOS_OF_RATES
        ),
    ),
    Claim(
        "H10",
        "With one step count of Adam ReDo leaves more dormant neurons than with per-entry counts",
        OURS,
        "minatar_rates",
        DORMANT,
        tuple(
            Comparison(
                setting, Cell(ONE_COUNT, setting), Cell(REDO, setting), MORE, games=THREE_GAMES
            )
            for setting in (
                at_rate(rate, ratio) for rate in LEARNING_RATES[1:] for ratio in RATIOS_OF_RATES
            )
        ),
    ),
    Claim(
        "H11",
        "With per-entry counts ReDo leaves fewer dormant neurons than plain DQN has",
        "figure 9, beyond its settings",
        "minatar_rates",
        DORMANT,
        tuple(
            Comparison(setting, Cell(REDO, setting), Cell(DQN, setting), LESS, games=THREE_GAMES)
            for setting in (
                at_rate(rate, ratio) for rate in LEARNING_RATES for ratio in RATIOS_OF_RATES
            )
        ),
    ),
    Claim(
        "H12",
        "A network that has learned other games learns a game worse than a fresh one",
        "section 1",
        "minatar_sequence",
        RETURN,
        tuple(
            Comparison(game, Cell(DQN, at=at, game=SEQUENCE), fresh, LESS, games=(game,))
            for game, fresh, at in _visits()
        ),
    ),
    Claim(
        "H13",
        "ReDo's return at the end of a second visit is higher than plain DQN's",
        OURS,
        "minatar_sequence",
        RETURN,
        tuple(
            Comparison(
                game,
                Cell(REDO, at=at, game=SEQUENCE),
                Cell(DQN, at=at, game=SEQUENCE),
                MORE,
                games=(game,),
            )
            for game, _, at in _visits()
        ),
    ),
    Claim(
        "H14",
        "Dormant neurons are alike at all widths (within 5 points of width 128)",
        "figure 12",
        "minatar_width",
        DORMANT,
        tuple(
            Comparison(
                f"{width} less 128",
                Cell(DQN, f"width {width}"),
                Cell(DQN, "width 128"),
                ALIKE,
                5.0,
                (_ASTERIX, _BREAKOUT),
            )
            for width in (64, 256, 512)
        ),
    ),
    Claim(
        "H15",
        "ReDo's score is higher than plain DQN's at each width",
        "figure 12",
        "minatar_width",
        SCORE,
        tuple(
            Comparison(
                setting, Cell(REDO, setting), Cell(DQN, setting), MORE, games=(_ASTERIX, _BREAKOUT)
            )
            for setting in (f"width {width}" for width in WIDTHS)
        ),
    ),
    Claim(
        "H16",
        "No other tau and period is better than 0.1 and 1 000 by more than a tenth of DQN's score",
        "the paper's search",
        "minatar_tau",
        SCORE,
        tuple(
            Comparison(
                f"less tau {tau}, period {period}",
                Cell(f"{REDO}, tau 0.1", "period 1000"),
                Cell(f"{REDO}, tau {tau}", f"period {period}"),
                NOT_MUCH_LESS,
                games=(_ASTERIX, _SPACE_INVADERS),
            )
            for tau in TAUS
            for period in PERIODS
            if (tau, period) != ("0.1", "1000")
        ),
    ),
    Claim(
        "H17",
        "The adaptive tau's score is not lower than that of tau 0.1",
        OURS,
        "minatar_tau",
        SCORE,
        (
            Comparison(
                "period 1000",
                Cell(f"{REDO}, adaptive tau", "period 1000"),
                Cell(f"{REDO}, tau 0.1", "period 1000"),
                NOT_LESS,
                games=(_ASTERIX, _SPACE_INVADERS),
            ),
        ),
    ),
    Claim(
        "H18",
        "Shuffled labels leave a classifier with more dormant neurons than fixed ones",
        "figure 3",
        "digits",
        DORMANT,
        tuple(
            Comparison(
                setting,
                Cell(_SHUFFLED, setting),
                Cell("fixed labels", setting),
                MORE,
                games=_DIGITS,
            )
            for setting in _OPTIMIZERS
        ),
    ),
    Claim(
        "H19",
        "A classifier learns the last labels worse than the first shuffled ones",
        "section 1",
        "digits",
        ACCURACY,
        tuple(
            Comparison(
                setting, Cell(_SHUFFLED, setting), Cell(_SHUFFLED, setting, 1), LESS, games=_DIGITS
            )
            for setting in _OPTIMIZERS
        ),
    ),
    Claim(
        "H20",
        "With ReDo a classifier learns the last labels better than without",
        "figures 3, 9",
        "digits",
        ACCURACY,
        tuple(
            Comparison(
                setting,
                Cell(f"{_SHUFFLED} + ReDo", setting),
                Cell(_SHUFFLED, setting),
                MORE,
                games=_DIGITS,
            )
            for setting in _OPTIMIZERS
        ),
    ),
    Claim(
        "H21",
        "With per-entry counts ReDo learns the last labels better than with Adam's one count",
        OURS,
        "digits",
        ACCURACY,
        (
            Comparison(
                "",
                Cell(f"{_SHUFFLED} + ReDo", _OPTIMIZERS[0]),
                Cell(f"{_SHUFFLED} + ReDo, one step count", _OPTIMIZERS[0]),
                MORE,
                games=_DIGITS,
            ),
        ),
    ),
    Claim(
        "H22",
        "Offline, on data that stay the same, neurons still fall dormant",
        "figure 4",
        "minatar_offline",
        DORMANT,
        (
            Comparison(
                "last less first",
                Cell("offline DQN"),
                Cell("offline DQN", at="first"),
                MORE,
                games=THREE_GAMES,
            ),
        ),
    ),
    Claim(
        "H23",
        "Offline, fewer fall dormant where the targets stay the same too",
        "figure 4",
        "minatar_offline",
        DORMANT,
        (
            Comparison(
                "random less synced targets",
                Cell("offline DQN, random targets"),
                Cell("offline DQN"),
                LESS,
                games=THREE_GAMES,
            ),
        ),
    ),
    Claim(
        "H24",
        "A network trained at a high replay ratio is taught worse than a fresh one",
        "figure 8",
        "minatar_distillation",
        RETURN,
        (
            Comparison(
                "trained less fresh", Cell(_TRAINED), Cell("fresh network"), LESS, games=THREE_GAMES
            ),
        ),
    ),
    Claim(
        "H25",
        "The trained network has more dormant neurons in the end than the fresh one",
        "figure 8",
        "minatar_distillation",
        DORMANT,
        (
            Comparison(
                "trained less fresh", Cell(_TRAINED), Cell("fresh network"), MORE, games=THREE_GAMES
            ),
        ),
    ),
    Claim(
        "H26",
        "Whatever resets, recycles or shares neurons leaves fewer dormant ones than plain DQN has",
        OTHERS,
        "minatar_interventions",
        DORMANT,
        tuple(
            Comparison(method, Cell(method), Cell(DQN), LESS, games=INTERVENTION_GAMES)
            for method, bindings in METHODS.items()
            if bindings.get("LearnerOptions.intervention") not in (None, "@Prune()")
        ),
    ),
    Claim(
        "H27",
        "Each intervention's score is higher than plain DQN's where it loses neurons fast",
        OTHERS,
        "minatar_interventions",
        SCORE,
        tuple(
            Comparison(method, Cell(method), Cell(DQN), MORE, games=INTERVENTION_GAMES)
            for method in METHODS
            if method != DQN
        ),
    ),
)
