# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How every line looks in figures and on the page: a method's colour and marker, a setting's dash.
Colours are Okabe and Ito's, told apart by colour-blind readers too; the rest tells lines apart in
grey."""

from typing import NamedTuple

from dormant.records.experiment_file import PlannedRun
from dormant.records.results import Collection, RunResult

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# {what plotly calls it: what matplotlib calls it}
DASHES = {
    "solid": "solid",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.2)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
}
SYMBOLS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
}
OPEN = "-open"  # of a marker that is not filled


class Line(NamedTuple):
    """Whose values a line has: a method's in a setting; "" where the line is over the settings."""

    method: str
    setting: str

    @property
    def label(self) -> str:
        """What the legend calls it."""
        return f"{self.method}, {self.setting}" if self.setting else self.method


class Look(NamedTuple):
    """How a line is drawn: a colour, and names in `DASHES` and `SYMBOLS`, maybe with `OPEN`."""

    colour: str
    dash: str
    symbol: str


class Looks:
    """The looks of all lines of a collection.

    Colours go round after six methods and markers after seven. A setting has a dash; after four
    settings the dashes go round with open markers. Where a panel has one setting, or there is
    only one, dash and marker are the method's.

    Attributes:
      methods, settings, lines: all, in the order of the plan, also those that have no run yet.
    """

    def __init__(self, collection: Collection):
        runs: list[PlannedRun | RunResult] = list(collection.experiment.runs)
        runs += collection.runs + collection.partial
        self.lines = tuple(dict.fromkeys(Line(run.method, run.setting) for run in runs))
        self.methods = tuple(dict.fromkeys(line.method for line in self.lines))
        self.settings = tuple(dict.fromkeys(line.setting for line in self.lines))

    def of(self, line: Line, apart: bool = False) -> Look:
        """Of a line; `apart` says that its panel has no other setting."""
        method = self.methods.index(line.method)
        if apart or len(self.settings) == 1 or line.setting not in self.settings:
            dash, is_open = method, False
        else:
            dash = self.settings.index(line.setting)
            is_open = dash // len(DASHES) % 2 == 1
        symbol = tuple(SYMBOLS)[method % len(SYMBOLS)]
        return Look(
            COLOURS[method % len(COLOURS)],
            tuple(DASHES)[dash % len(DASHES)],
            symbol + OPEN if is_open else symbol,
        )
