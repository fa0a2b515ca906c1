# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Scores of games on one scale: 0 is a random policy, 1 the reference that its kind names."""

import csv
import functools
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

from dormant.records.games import letters, parts_of
from dormant.records.results import RunResult

# {kind of reference: where its numbers are from}
SOURCES = {
    "human": "human and random scores of 57 Atari games as in DQN Zoo's atari_data.py; those of the"
    " paper's games equal Dopamine's atari_100k/normalization_utils.py",
    "expert": "random and expert returns of D4RL (Fu et al. 2020), infos.py",
    "PPO": "gymnax's MinAtar games: a random policy's mean return over 1 000 episodes"
    " (benchmarks/minatar_scores.py) and the returns of PPO that the README of gymnax 1.0.1 gives",
}
_DATA = "data/reference_scores.csv"


class Normalization(NamedTuple):
    """The two returns that a game's scores are measured by."""

    kind: str  # "human", "expert" or "PPO"
    random: float  # the mean return of a random policy: score 0
    reference: float  # score 1


def normalization(game: str) -> Normalization | None:
    """The reference scores of a game; None where none are known.

    Names are read as Dopamine, ALE and Gymnasium write them: "SpaceInvaders", "space_invaders",
    "ALE/SpaceInvaders-v5", "Ant-v4", "Breakout-MinAtar" (gymnax's; MinAtar 1.0's are others). In
    other namespaces, as in "MinAtar/Breakout-v1" and "brax/ant", none are known.
    """
    return _table().get(game_key(game))


def normalized(game: str, returns: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns of any shape as normalized scores, (return - random) / (reference - random), float64.

    Raises:
      ValueError: no reference scores of the game are known.
    """
    known = normalization(game)
    if known is None:
        raise ValueError(
            "game must be one of the 57 Atari games, Ant, HalfCheetah, Hopper, Walker2d or four of"
            f" gymnax's MinAtar games to have a normalized score; got {game!r}"
        )
    return (np.asarray(returns, float) - known.random) / (known.reference - known.random)


def final_score(result: RunResult) -> float:
    """The return at the run's last iteration in which an episode ended (paper: at the end).

    Raises:
      ValueError: no episode has ended.
    """
    score = last_finite(result.returns)
    if score is None:
        where = result.folder or f"{result.method}, {result.game}, seed {result.seed}"
        raise ValueError(f"a run must hold an episode that has ended; got none in {where}")
    return score


def last_finite(values: np.ndarray) -> float | None:
    """The value of the last iteration that has one; None without any."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else None


@functools.cache
def _table() -> dict[str, Normalization]:
    text = resources.files("dormant.report").joinpath(_DATA).read_text(encoding="utf-8")
    _, *rows = csv.reader(text.splitlines())
    return {
        letters(game): Normalization(kind, float(low), float(high))
        for kind, game, low, high in rows
    }


def game_key(game: str) -> str:
    """What all names of a game have in common: of "pong" and "ALE/Pong-v5" it is "pong".

    A namespace other than the ALE's tells a game apart, as "MinAtar/Breakout-v1" is not Atari's,
    and so does the version where no reference is known, as CartPole-v0 and -v1 differ.
    """
    namespace, name, version, says_atari = parts_of(game)
    known = _table().get(name)
    if says_atari or (known and not namespace):
        return name if not says_atari or not known or known.kind == "human" else f"ale/{name}"
    return "/".join(filter(None, (namespace, name + version))) or game


def one_name_of_each(games: Iterable[str]) -> dict[str, str]:
    """{name: the first of those that mean the same game}.

    Two versions of a game that is not Atari's remain two, as Ant-v2 and Ant-v4 are.
    """
    alike: dict[str, list[str]] = {}
    for game in dict.fromkeys(games):
        # A name without a version is that of the one version that there is.
        alike.setdefault(game_key(game).removesuffix(parts_of(game).version), []).append(game)
    found: dict[str, str] = {}
    for key, names in alike.items():
        versions = {parts_of(name).version for name in names} - {""}
        is_atari = key in _table() and _table()[key].kind == "human"
        is_one = len(versions) < 2 or is_atari or any(parts_of(name).says_atari for name in names)
        found |= {name: names[0] if is_one else name for name in names}
    return found
