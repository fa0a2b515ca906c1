# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Dopamine's own records as results: its published baselines and the logs of its runners."""

import io
import json
import pickle
import pickletools
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dormant.records.results import RunResult

AGENT_STEPS_PER_ITERATION = 250_000  # of the baselines: 1M frames
_NUMBER = re.compile(r"(?:log|iteration)_(\d+)$")
_PLACES = ("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET")
# What a log is made of. Other names in it would be code that runs when it is read.
_HARMLESS = {
    ("builtins", "list"), ("builtins", "dict"), ("collections", "defaultdict"),
    ("numpy", "dtype"), ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
}  # fmt: skip


def read_baselines(
    folder: str | Path, agents: Iterable[str] | None = None, networks: Iterable[str] | None = None
) -> list[RunResult]:
    """Reads the JSON that Dopamine publishes (`baselines/atari/data`): `<game>_<network>.json`.

    The returns are of training; an iteration has 250 000 agent steps. Runs have no seeds there and
    are numbered in the order of the file. The method is "<agent>, <network>", of the wanted agents,
    such as ["DQN"], and networks, such as ["CNN", "Impala"]; None stands for all.

    Raises:
      FileNotFoundError: there are no such files.
      ValueError: a file is not of that form.
    """
    results = []
    for path in sorted(Path(folder).glob("*_*.json")):
        game, _, network = path.stem.rpartition("_")
        if networks is None or network in networks:
            results.extend(_baselines_of(path, game, network, agents))
    if not results:
        raise FileNotFoundError(
            f"no runs of the wanted agents in <game>_<network>.json of {folder}"
        )
    return results


def read_logs(folder: str | Path) -> RunResult:
    """Reads the log of one run of Dopamine's runners, `logs/log_<iteration>`, the latest.

    It names neither game, seed nor method: they are the caller's, by `_replace`. Agent steps are
    the sums of the training episodes' lengths.

    Raises:
      FileNotFoundError: there is no log.
      ValueError: it cannot be read, or holds more than lists and numbers.
    """
    folder = Path(folder)
    numbered = _numbered((path.name, path) for path in folder.glob("log_*"))
    if not numbered:
        raise FileNotFoundError(f"no log_<iteration> in {folder}")
    *_, path = numbered
    data = _unpickle(path)
    entries = data.items() if isinstance(data, dict) else ()
    iterations = _numbered((name, of) for name, of in entries if isinstance(of, dict))
    needed = ("train_episode_lengths", "train_episode_returns")
    if not iterations or not all(set(needed) <= set(each) for each in iterations):
        raise ValueError(f"{path} must hold {' and '.join(needed)} of each iteration")
    try:
        steps = np.cumsum([float(np.sum(each["train_episode_lengths"])) for each in iterations])
        episodes = [
            each.get("eval_episode_returns") or each["train_episode_returns"] or [np.nan]
            for each in iterations
        ]
        returns = [float(np.mean(each)) for each in episodes]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must hold lists of numbers: {error}") from error
    nothing = np.full(len(iterations), np.nan)
    return RunResult("", "", None, "", 0, steps, np.array(returns), nothing, folder=folder)


def _numbered(named: Iterable[tuple[Any, Any]]) -> list[Any]:
    """What is named `log_<number>` or `iteration_<number>`, in the order of the numbers."""
    found = {int(at[1]): value for name, value in named if (at := _NUMBER.match(str(name)))}
    return [found[number] for number in sorted(found)]


def _baselines_of(
    path: Path, game: str, network: str, agents: Iterable[str] | None
) -> list[RunResult]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        runs: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            runs[entry["Agent"]][int(entry["Iteration"])].append(float(entry["Value"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} must be a list of Iteration, Value, Agent: {error}") from error
    wanted = runs if agents is None else [agent for agent in agents if agent in runs]
    results = []
    for agent in wanted:
        values = runs[agent]
        for number in range(max(map(len, values.values()))):
            # A run that ended early has no value at the later iterations.
            found = {at: of[number] for at, of in sorted(values.items()) if number < len(of)}
            steps = (np.array(list(found), float) + 1) * AGENT_STEPS_PER_ITERATION
            curves = (steps, np.array(list(found.values())), np.full(len(steps), np.nan))
            results.append(RunResult(f"{agent}, {network}", "", None, game, number, *curves))
    return results


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise ValueError(f"a log must hold lists and numbers only; got {module}.{name}")
        return super().find_class(module, name)


def _unpickle(path: Path) -> Any:
    data = path.read_bytes()
    try:
        # A damaged place or length in it would have the reader reserve gigabytes.
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _PLACES and int(argument or 0) > len(data):
                raise ValueError(f"{opcode.name} {argument} lies beyond its end")
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:  # a damaged pickle can raise any
        raise ValueError(f"{path} cannot be read: {error}") from error
