# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which column of somebody else's file is what: `--columns` and `--step_unit`."""

import re
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from dormant.checks import check, check_choice
from dormant.records.results_file import COLUMNS

# Without them a line says nothing; the others may be missing.
REQUIRED = ("method", "game", "seed", "agent_step", "return")
# What a line measures must be a column; the rest may be one text for all lines.
MEASURED = ("agent_step", "return", "dormant_percent")
STEP_UNITS = ("agent_steps", "frames")
FRAMES_OF_A_STEP = 4
# {entry: what others call it}; columns and tags of these names are proposed.
_USUAL = {
    "method": ("exp_name", "algo", "algorithm", "agent"),
    "game": ("env_id", "env", "env_name", "environment"),
    "seed": ("run", "name"),
    "agent_step": (
        "global_step", "step", "_step", "timesteps", "total_timesteps", "frame", "frames",
    ),
    "return": (
        "charts/episodic_return", "rollout/ep_rew_mean", "episodic_return", "episode_return",
        "average_return", "eval/return", "eval/episodic_return", "eval/mean_reward", "reward",
        "score", "r",
    ),
}  # fmt: skip
EACH_AN_EPISODE = (
    "each point is one episode, and so a run's final return is that of its last one; curves are of"
    " the steps that all runs have"
)
_TIME = re.compile(r"\d{9,}")  # in seconds since 1970


class Columns(NamedTuple):
    """How to read files that are not dormant's own.

    Attributes:
      named: {one of `COLUMNS`: the column or the TensorBoard tag that holds it, or a label of all
        lines}.
      step_unit: one of `STEP_UNITS`: what their steps count.
    """

    named: Mapping[str, str] = MappingProxyType({})
    step_unit: str = STEP_UNITS[0]

    def agent_steps(self, steps: float) -> float:
        """Steps of a file as agent steps: one action is four frames."""
        return steps / FRAMES_OF_A_STEP if self.step_unit == "frames" else steps


OWN = Columns()


def parse_columns(texts: Sequence[str], step_unit: str = STEP_UNITS[0]) -> Columns:
    """The option `--columns NAME=COLUMN ...`.

    Raises:
      ValueError: a text is not of that form, or a name is unknown or given twice.
    """
    check_choice("--step_unit", step_unit, STEP_UNITS)
    named: dict[str, str] = {}
    for text in texts:
        name, equals, column = text.partition("=")
        allowed = f"NAME=COLUMN with a NAME of {', '.join(COLUMNS)}, each once"
        is_one = bool(equals and column.strip()) and name in COLUMNS and name not in named
        check(is_one, "--columns", allowed, text)
        named[name] = column
    return Columns(named, step_unit)


def plain_name(text: str) -> str:
    """A column's name without what people write differently: " Agent Step" is "agent_step"."""
    return re.sub(r"[\s_-]+", "_", text.strip().lower())


def is_of_episodes(column: str) -> bool:
    """Whether CleanRL and others write one return of an episode at a time under this name."""
    return plain_name(column).rpartition("/")[2] in ("episodic_return", "episode_return")


def labels_of_run(name: str) -> dict[str, str]:
    """What CleanRL's name of a run tells, "<env_id>__<exp_name>__<seed>__<time>"; {} of others.

    The time may be missing, and the first part too.
    """
    parts = name.split("__")
    if _TIME.fullmatch(parts[-1]):
        parts = parts[:-1]
    if not 2 <= len(parts) <= 3 or not parts[-1].isdecimal() or not all(parts):
        return {}
    return dict(zip(("seed", "method", "game"), reversed(parts), strict=False))


def option(missing: Sequence[str], there: Sequence[str]) -> str:
    """The option that would name what is missing, with the usual names of what is there."""
    plain = {plain_name(name.rpartition(" - ")[2]): name for name in reversed(there)}
    texts = []
    for entry in missing:
        usual = [plain[plain_name(name)] for name in _USUAL.get(entry, ()) if
                 plain_name(name) in plain]  # fmt: skip
        texts.append(f"{entry}={shlex.quote(usual[0]) if usual else '…'}")
    return f"--columns {' '.join(texts)}"
