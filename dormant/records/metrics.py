# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run writes down: the records of metrics.jsonl.
No agent is known here; everything comes in as states, episodes and counters."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import jax
import numpy as np

from dormant.records.files import METRICS_FILE, naming
from dormant.records.lease import LeaseLost
from dormant.records.schema import SCHEMA, Measure, Schema, entry, joined, of_update

Record = dict[str, Any]


class Episodes(NamedTuple):
    """The episodes that ended in a phase of an iteration."""

    returns: Sequence[float]  # undiscounted, one for each
    lengths: Sequence[int]  # in agent steps
    average: float  # the mean return; 0 where none ended


def returns_problem(episodes: Episodes | None, iteration: int, owner: str) -> str | None:
    """What a person reads where a return is not finite; None where all are.

    Args:
      episodes: that ended in a phase of the iteration; None for no phase.
      iteration: its number.
      owner: whose it is, such as "seed 3".
    """
    if episodes is None or np.isfinite(episodes.returns).all():
        return None
    return (
        f"a return of iteration {iteration} of {owner} is not finite: the environment gave a reward"
        " that is not"
    )


def tracking_record(
    tracker: Any,
    intervention: Any,
    metrics: Mapping[str, Any],
    *,
    agent_step: int,
    schema: Schema = SCHEMA,
) -> Record:
    """The "tracking" record of the last scoring: what the schema finds, then metrics' scalars.

    That the loss is finite the learner's state tells, `learners.finiteness`; a run looks at that
    before it asks for the record.

    Args:
      tracker: state of `dormant.track`, or {network: state} where an agent has several networks.
      intervention: state of an intervention, in the same form; None where there is none.
      metrics: those of the update after which was scored: `loss` and other scalars.
      agent_step: training agent steps taken so far.
      schema: what is recorded.
    """
    scalars = {name: value for name, value in metrics.items() if np.ndim(value) == 0}
    acting = tracker if intervention is None else intervention
    found = {}
    for measure in schema.tracking:
        state = acting if measure.of_intervention else tracker
        networks = state if isinstance(state, dict) else {"": state}
        if measure.find is not None:
            found[measure] = {name: measure.find(each) for name, each in networks.items()}
        elif measure.name == "agent_step":
            found[measure] = {"": agent_step}
    # One transfer for everything that the record holds.
    networks_of, scalars = jax.device_get((list(found.values()), scalars))
    values = {each.name: joined(each, of) for each, of in zip(found, networks_of, strict=True)}
    values = {name: value for name, value in values.items() if value is not None} | scalars
    return {"kind": "tracking", **_entries(schema.tracking, values)}


def iteration_record(
    iteration: int,
    *,
    agent_step: int,
    gradient_step: int,
    steps_per_second: float,
    train: Episodes | None = None,
    evaluation: Episodes | None = None,
    measured: Mapping[str, Any] = MappingProxyType({}),
) -> Record:
    """The "iteration" record; its `eval_` entries only where there was an evaluation.

    Args:
      iteration, agent_step, gradient_step, steps_per_second: as the schema has them.
      train: the episodes of training; None where nothing acts.
      evaluation: those of evaluation; None where there was none.
      measured: what else was measured, by the names of the schema.
    """
    values: Record = dict(iteration=iteration, agent_step=agent_step, gradient_step=gradient_step)
    for phase, episodes in (("train", train), ("eval", evaluation)):
        if episodes is not None:
            values[f"{phase}_returns"] = episodes.returns
            values[f"{phase}_episode_lengths"] = episodes.lengths
            values[f"{phase}_average_return"] = episodes.average
    values["steps_per_second"] = steps_per_second
    if train is None:
        values |= {"train_returns": [], "train_episode_lengths": []}
    return {"kind": "iteration", **_entries(SCHEMA.iteration, {**values, **measured})}


def _entries(measures: Sequence[Measure], values: Mapping[str, Any]) -> Record:
    """Values given by name; what is not declared is a number."""
    declared = {measure.name: measure for measure in measures}
    return {
        name: entry(declared.get(name, of_update(name)), value) for name, value in values.items()
    }


class Position(NamedTuple):
    """How far metrics.jsonl was written when a checkpoint was saved.

    Attributes:
      size: in bytes.
      sha256: of all that it held.
    """

    size: int = 0
    sha256: str = hashlib.sha256().hexdigest()


_NOTHING = Position()


class MetricsFile:
    """metrics.jsonl of one run: one JSON object a line, in the order of the run's steps."""

    def __init__(self, base_dir: str | Path, position: Position = _NOTHING):
        """Makes it ready to continue after a checkpoint; writes nothing.

        What comes after the position, which a checkpoint holds, is dropped when the first record is
        written.

        Raises:
          ValueError: when the file is not what it was when the checkpoint was saved.
        """
        self._path = Path(base_dir) / METRICS_FILE
        self._size = position.size
        self._file: BinaryIO | None = None  # a runner that is never run holds nothing open
        content = self._path.read_bytes() if self._path.exists() else b""
        self._digest = hashlib.sha256(content[: position.size])
        if self._digest.hexdigest() != position.sha256:
            raise ValueError(
                f"{self._path} must begin with the {position.size} bytes that it had when the"
                " checkpoint was saved; got others"
            )

    def open(self) -> BinaryIO:
        """Drops what the checkpoint does not account for; records can then be written."""
        self._file = open(self._path, "ab")
        self._file.truncate(self._size)
        return self._file

    def write(self, record: Record) -> None:
        """Appends one record; another process can read it when this returns.

        Raises:
          LeaseLost: when something else than this object has written to the file.
          OSError: when it cannot be written.
        """
        file = self._file or self.open()
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        size = os.fstat(file.fileno()).st_size
        if size != self._size:
            raise LeaseLost(
                f"{self._path} must have the {self._size} bytes that this process wrote;"
                f" another process writes there; got {size}"
            )
        with naming(self._path):
            file.write(line)
            file.flush()
        self._digest.update(line)
        self._size += len(line)

    def position(self) -> Position:
        """How far it is written; all of that is on disk when this returns."""
        if self._file is not None:
            with naming(self._path):
                os.fsync(self._file.fileno())
        return Position(self._size, self._digest.hexdigest())

    def close(self) -> None:
        """Closes it; what is written later opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with naming(self._path):
                file.close()
