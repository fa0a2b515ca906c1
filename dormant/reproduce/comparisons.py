# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a hypothesis is: comparisons of an experiment's cells, and what each is to come out as."""

from typing import NamedTuple

# What a difference must be: on one side of 0, not on one side of it, not beyond the margin there,
# or within the margin.
MORE, LESS, NOT_LESS, NOT_MUCH_LESS, ALIKE = "more", "less", "not less", "not much less", "alike"
SCORE, RETURN = "score", "return"  # the other measures are columns of results.csv


class Cell(NamedTuple):
    """Whose runs are compared, and where in them.

    Attributes:
      method, setting: of the runs.
      at: "last" or "first" iteration that has a value, the mean of the "first quarter" or "last
        quarter" of them, or an iteration's number.
      game: the one that the runs played, where that is not the one compared.
    """

    method: str
    setting: str = ""
    at: str | int = "last"
    game: str = ""


class Comparison(NamedTuple):
    """One cell against another.

    Attributes:
      name: what distinguishes it from the claim's others.
      first, second: the difference is that of the first less the second; of one cell at two places
        it is taken run by run.
      side: `MORE`, `LESS`, `NOT_LESS`, `NOT_MUCH_LESS` or `ALIKE`.
      margin: what would not matter; None for the usual of the measure.
      games: those compared, each for itself; a score is compared over all of them at once.
    """

    name: str
    first: Cell
    second: Cell
    side: str
    margin: float | None = None
    games: tuple[str, ...] = ()


class Claim(NamedTuple):
    """A hypothesis of docs/evidence.md.

    Attributes:
      name: such as "H1".
      text: what it says, in a line.
      source: the paper's figure, or whose it is.
      experiment: whose results it is tested on.
      measure: `SCORE`, `RETURN`, or a column of results.csv.
      comparisons: all that it says.
    """

    name: str
    text: str
    source: str
    experiment: str
    measure: str
    comparisons: tuple[Comparison, ...]

    @property
    def is_over_all_games(self) -> bool:
        """Whether each comparison is of all its games at once."""
        return self.measure == SCORE
