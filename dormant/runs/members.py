# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which runs stand side by side in one process: seeds, times the values of options."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dormant.checks import is_number, require, require_count


class Member(NamedTuple):
    """One of the runs side by side."""

    seed: int
    values: dict[str, float]  # of the options that differ between the runs, by their gin names

    @property
    def folder(self) -> str:
        """Its folder, under that of all of them: `ReDo.tau=0.1/seed_3`."""
        return "/".join([*self._parts, f"seed_{self.seed}"])

    @property
    def name(self) -> str:
        """What it is called where a person reads it: `ReDo.tau=0.1, seed 3`."""
        return ", ".join([*self._parts, f"seed {self.seed}"])

    @property
    def _parts(self) -> list[str]:
        return [f"{option}={_number(value)}" for option, value in self.values.items()]


def _number(value: float) -> str:
    # No two values may have one folder: 1000000 and 1000001 are both 1e+06 in short.
    short = f"{value:g}"
    return short if float(short) == value else str(value)


def members_of(
    name: str,
    first_seed: int,
    seeds: int,
    side_by_side: Mapping[str, Sequence[float]] | None,
    most: int = 10_000,
) -> list[Member]:
    """Every combination of values with every seed, the seeds of one combination together.

    Args:
      name: of what gin configures, such as "VectorizedRun", for what is said of a mistake.
      first_seed: the others follow it.
      seeds: how many.
      side_by_side: {option: values}; None for none.
      most: runs side by side.

    Raises:
      ConfigurationError: when `seeds`, `side_by_side` or a list of values is not allowed.
    """
    require_count(f"{name}.seeds", seeds, 1)
    options = {} if side_by_side is None else side_by_side
    named = isinstance(options, Mapping) and all(isinstance(option, str) for option in options)
    allowed = "None or a dictionary of lists by option, such as {'ReDo.tau': [0, 0.1]}"
    require(named, f"{name}.side_by_side", allowed, side_by_side)
    for option, values in options.items():
        is_list = isinstance(values, list | tuple)
        numbers = is_list and all(is_number(value) and 0 <= value < math.inf for value in values)
        different = numbers and len(values) == len(set(values)) > 0
        allowed = "a list of different numbers >= 0"
        require(different, f"{name}.side_by_side[{option!r}]", allowed, values)
    count = seeds * math.prod(map(len, options.values()))
    allowed = f"such that at most {most} runs stand side by side, not {count}"
    require(count <= most, f"{name}.seeds", allowed, seeds)
    return [
        Member(seed, dict(zip(options, values, strict=True)))
        for values in itertools.product(*options.values())
        for seed in range(first_seed, first_seed + seeds)
    ]
