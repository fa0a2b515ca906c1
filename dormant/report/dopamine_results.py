# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

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

from dormant.records.experiment_file import PlannedRun
from dormant.records.reading import LARGEST
from dormant.records.results import (
    IN_EVALUATION,
    TRAINING,
    UNREADABLE,
    Absence,
    Reading,
    RunResult,
    Source,
)

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
      ValueError: a file is not of that form, or the values of a wanted agent cannot be assigned to
        runs.
    """
    results = []
    for path in sorted(Path(folder).glob("*_*.json")):
        if networks is None or path.stem.rpartition("_")[2] in networks:
            found = read_baseline(path, agents)
            for _, absence in found.absent:
                raise ValueError(absence and absence.problem)
            results.extend(found.runs)
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
        kinds = "train_episode_returns", "eval_episode_returns"
        trained, evaluated = ([each.get(kind) for each in iterations] for kind in kinds)
        is_evaluated = all(evaluated)
        episodes = evaluated if is_evaluated else trained
        returns = [float(np.mean(each or [np.nan])) for each in episodes]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must hold lists of numbers: {error}") from error
    nothing = np.full(len(iterations), np.nan)
    kind = IN_EVALUATION if is_evaluated else TRAINING
    run = RunResult("", "", None, "", 0, steps, np.array(returns), nothing, folder=folder)
    return run._replace(episodes=kind)


def _numbered(named: Iterable[tuple[Any, Any]]) -> list[Any]:
    """What is named `log_<number>` or `iteration_<number>`, in the order of the numbers."""
    found = {int(at[1]): value for name, value in named if (at := _NUMBER.match(str(name)))}
    return [found[number] for number in sorted(found)]


def is_baseline(path: Path) -> bool:
    """Whether a file is one of the baselines, be it damaged, and no JSON of something else."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return text.lstrip().startswith("[")  # reading it says what is wrong
    return isinstance(entries, list) and any(
        isinstance(entry, dict) and {"Agent", "Iteration", "Value"} & set(entry)
        for entry in entries
    )


def read_baseline(path: Path, agents: Iterable[str] | None = None) -> Source:
    """Reads one file of the baselines.

    The values of an iteration stand there without the names of their runs, which their order tells
    as long as no run has ended. From the first iteration that has another number of values on it
    does not: then no run of the agent is whole.

    Raises:
      ValueError: the file is not of that form.
    """
    game, _, network = path.stem.rpartition("_")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            if (iteration := int(entry["Iteration"])) < 0:
                raise ValueError(f"Iteration must be at least 0; got {iteration}")
            if abs(value := float(entry["Value"])) > LARGEST:
                raise ValueError(f"Value must be within ±{LARGEST:g}; got {value!r}")
            values[entry["Agent"]][iteration].append(value)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} must be a list of Iteration, Value, Agent: {error}") from error
    runs, absent = [], list[Reading]()
    for agent in values if agents is None else [agent for agent in agents if agent in values]:
        of_agent, method = values[agent], f"{agent}, {network}"
        last, most = max(of_agent), max(map(len, of_agent.values()))
        # Where some are missing the first of them is among so many.
        counts = [len(of_agent.get(at, ())) for at in range(min(last, len(of_agent)) + 1)]
        steps = np.arange(1.0, len(counts) + 1) * AGENT_STEPS_PER_ITERATION
        told = next((at for at, count in enumerate(counts) if count != most), len(counts))
        problem = "" if told == len(counts) else (
            f"{path}: iterations of {agent} must have as many values each to tell its runs apart;"
            f" got {counts[told]} of iteration {told}, and {most} of others"
        )  # fmt: skip
        length = (last + 1) * AGENT_STEPS_PER_ITERATION
        returns = np.array([of_agent[at] for at in range(told)]).reshape(told, most)
        for number in range(most):
            curves = (steps[:told], returns[:, number], np.full(told, np.nan))
            run = RunResult(method, "", None, game, number, *curves, episodes=TRAINING)
            if not problem:
                runs.append(run)
                continue
            where = f"{path.name}, {agent}, run {number}"
            planned = PlannedRun(where, method, "", None, game, number, length, "")
            result = run._replace(status=UNREADABLE) if told else None
            absent.append(Reading(result, Absence(planned, UNREADABLE, problem)))
    return Source(runs, tuple(absent))


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
