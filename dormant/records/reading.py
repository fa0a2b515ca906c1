"""Reads the metrics.jsonl of one run into typed records.
Needs the standard library only, so it runs where the run's own packages are not installed."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

METRICS_FILE = "metrics.jsonl"
LARGEST = 1e100  # of a result: means and variances of such numbers stay finite
# JSON's numbers may have any size.
_LARGEST = {int: 2**63 - 1, float: LARGEST}


class IterationRecord(NamedTuple):
    """One iteration of a run (its training and, if any, its evaluation phase).

    Attributes:
      iteration: index of the iteration, from 0.
      agent_step: agent steps taken since the start of the run.
      gradient_step: gradient steps taken since the start of the run.
      train_returns: undiscounted return of each training episode that ended in this iteration.
      train_episode_lengths: its length in agent steps.
      eval_returns: the same for evaluation episodes; empty where there was no evaluation.
      eval_episode_lengths: its length in agent steps.
      steps_per_second: agent steps per second of wall time.
    """

    iteration: int
    agent_step: int
    gradient_step: int
    train_returns: tuple[float, ...]
    train_episode_lengths: tuple[int, ...]
    eval_returns: tuple[float, ...]
    eval_episode_lengths: tuple[int, ...]
    steps_per_second: float


class TrackingRecord(NamedTuple):
    """One measurement of dormancy (Sokar et al. 2023, Eq. 1), before any recycling it led to.

    Attributes:
      gradient_step: gradient steps taken since the start of the run.
      agent_step: agent steps taken since the start of the run.
      taus: the T thresholds.
      dormant_percent: {layer: T percentages of its neurons}.
      dormant_percent_pooled: T percentages of the neurons of all hidden layers.
      overlap: {layer: T overlap coefficients with the previous measurement's dormant neurons};
        None where a set was empty, hence undefined.
      recycled: {layer: neurons recycled when recycling last acted}.
      recycled_total: neurons recycled since the start of the run.
      loss: training loss of the update after which was measured.
      q_mean: mean Q-value of the actions in its batch; None where the agent reports none.
      overlap_history: as overlap, with the union of all earlier measurements' dormant neurons.
      dormant_percent_by_network: {network: T percentages} where an agent has several networks.
      effective_rank: {penultimate layer: srank of its features} (Kumar et al. 2021).
      feature_norm: {hidden layer: mean Euclidean norm of its activations}.
      weight_norm: {layer: Euclidean norm of its parameters}.
      gradient_norm: {layer: that of the loss's gradient}; None where the agent reports none.
    """

    gradient_step: int
    agent_step: int
    taus: tuple[float, ...]
    dormant_percent: dict[str, tuple[float, ...]]
    dormant_percent_pooled: tuple[float, ...]
    overlap: dict[str, tuple[float | None, ...]]
    recycled: dict[str, int]
    recycled_total: int
    loss: float
    q_mean: float | None
    overlap_history: dict[str, tuple[float | None, ...]]
    dormant_percent_by_network: dict[str, tuple[float, ...]]
    effective_rank: dict[str, float | None]
    feature_norm: dict[str, float | None]
    weight_norm: dict[str, float | None]
    gradient_norm: dict[str, float | None]


class Run(NamedTuple):
    """The records of one run, each list in the order of its steps.

    Attributes:
      path: the file they were read from.
      iterations: one record per iteration.
      tracking: one record per measurement of dormancy.
    """

    path: Path
    iterations: tuple[IterationRecord, ...]
    tracking: tuple[TrackingRecord, ...]


def read_run(base_dir: str | Path, *, allow_partial: bool = False) -> Run:
    """Reads the metrics.jsonl of a run folder.

    Unknown kinds of records and unknown entries are passed over.

    Args:
      base_dir: the run folder, or the path of a metrics.jsonl.
      allow_partial: pass over a last line that was cut off, as a run that is being written or
        was killed leaves it.

    Returns:
      The run's records.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file has no records, a line is cut off or no JSON object, an entry is missing
        or has the wrong form, or the steps go back. The message names the file and the line.
    """
    path = Path(base_dir)
    if path.is_dir() or path.name != METRICS_FILE:
        path = path / METRICS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no {METRICS_FILE} in {path.parent}: give the folder that was the run's --base_dir, "
            f"received {str(base_dir)!r}"
        )
    iterations: list[IterationRecord] = []
    tracking: list[TrackingRecord] = []
    for where, record in _json_lines(path, allow_partial):
        kind = _Entries(record, where).take("kind", str)
        if kind == "iteration":
            iteration = _iteration_record(_Entries(record, where))
            _check_order(iterations, iteration, "iteration", where)
            iterations.append(iteration)
        elif kind == "tracking":
            measurement = _tracking_record(_Entries(record, where))
            _check_order(tracking, measurement, "gradient_step", where)
            tracking.append(measurement)
    if not iterations and not tracking:
        raise ValueError(f"{path} holds no records: the run wrote none before it ended")
    return Run(path, tuple(iterations), tuple(tracking))


def tau_index(record: TrackingRecord, tau: float) -> int:
    """Returns where `tau` stands among the record's thresholds.

    Raises:
      ValueError: dormancy was not measured at this tau.
    """
    for index, measured in enumerate(record.taus):
        if math.isclose(measured, tau, rel_tol=1e-6, abs_tol=1e-9):
            return index
    raise ValueError(f"tau must be one that the run measured, {list(record.taus)}, received {tau}")


def penultimate_overlap(record: TrackingRecord, at: int) -> float | None:
    """The overlap of the last hidden layer's dormant neurons with all earlier ones (figure 5).

    Args:
      record: one measurement; where it has no union of all before, that of the one before is taken.
      at: where the threshold stands among its taus.

    Returns:
      The coefficient; None where a set was empty.
    """
    layers = record.overlap_history or record.overlap
    return layers[list(layers)[-1]][at] if layers else None


def recycled_since(run: Run) -> tuple[int, ...]:
    """Returns, for each tracking record, the neurons recycled since the record before it."""
    totals = [record.recycled_total for record in run.tracking]
    return tuple(now - before for before, now in zip([0, *totals], totals, strict=False))


def _check_order(records: list[Any], record: Any, field: str, where: str) -> None:
    if records and getattr(records[-1], field) >= getattr(record, field):
        raise ValueError(
            f"{where}: {field!r} must rise from record to record (did two runs write into one "
            f"folder?), received {getattr(record, field)} after {getattr(records[-1], field)}"
        )


def _json_lines(path: Path, allow_partial: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields ("FILE, line N", object) for each line that is not blank."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(line, parse_constant=_no_number)
            except (ValueError, RecursionError) as error:
                if line.endswith("\n"):
                    raise ValueError(f"{where} is not JSON: {error}") from error
                if allow_partial:
                    return
                raise ValueError(
                    f"{where} is cut off: the run is still writing it or was killed; in Python,"
                    f" allow_partial=True reads the {number - 1} lines before it"
                ) from error
            if not isinstance(record, dict):
                raise ValueError(f"{where} must be a JSON object, received {line.strip()[:80]}")
            yield where, record


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


class _Entries:
    """Typed access to one record's entries; each error names the file, line and entry."""

    def __init__(self, record: dict[str, Any], where: str):
        self._record = record
        self._where = where

    def take(self, name: str, form: type) -> Any:
        if name not in self._record:
            raise ValueError(f"{self._where} has no entry {name!r}, it has {sorted(self._record)}")
        return self.checked(name, self._record[name], form)

    def number_or_none(self, name: str) -> float | None:
        value = self._record.get(name)
        return None if value is None else self.checked(name, value, float)

    def numbers(self, name: str, form: type, optional: bool = False) -> tuple[Any, ...]:
        if optional and name not in self._record:
            return ()
        return tuple(self.checked(name, value, form) for value in self.take(name, list))

    def per_layer_numbers(
        self, name: str, *, undefined: bool = False, optional: bool = False
    ) -> dict[str, tuple[Any, ...]]:
        if optional and name not in self._record:
            return {}
        return {
            layer: tuple(
                None if value is None and undefined else self.checked(name, value, float)
                for value in self.checked(name, values, list)
            )
            for layer, values in self.take(name, dict).items()
        }

    def per_layer_number(self, name: str) -> dict[str, float | None]:
        """{layer: number}, of an entry that may be missing; None where undefined."""
        layers = self.take(name, dict) if name in self._record else {}
        return {
            layer: None if value is None else self.checked(name, value, float)
            for layer, value in layers.items()
        }

    def checked(self, name: str, value: Any, form: type) -> Any:
        # JSON has one kind of number: a float may be written 3 and an int never as 3.5 or true.
        accepted = (int, float) if form is float else form
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise ValueError(
                f"{self._where}: {name!r} must hold {form.__name__} values, received {value!r}"
            )
        if isinstance(value, int | float) and not abs(value) <= _LARGEST[form]:
            raise ValueError(f"{self._where}: {name!r} holds a number that is too large")
        return form(value)

    def same_length(self, name: str, values: tuple[Any, ...], taus: tuple[float, ...]) -> None:
        if len(values) != len(taus):
            raise ValueError(
                f"{self._where}: {name} must hold one value for each of the {len(taus)} taus, "
                f"received {list(values)}"
            )


def _iteration_record(entries: _Entries) -> IterationRecord:
    return IterationRecord(
        iteration=entries.take("iteration", int),
        agent_step=entries.take("agent_step", int),
        gradient_step=entries.take("gradient_step", int),
        train_returns=entries.numbers("train_returns", float),
        train_episode_lengths=entries.numbers("train_episode_lengths", int),
        eval_returns=entries.numbers("eval_returns", float, optional=True),
        eval_episode_lengths=entries.numbers("eval_episode_lengths", int, optional=True),
        steps_per_second=entries.take("steps_per_second", float),
    )


def _tracking_record(entries: _Entries) -> TrackingRecord:
    record = TrackingRecord(
        gradient_step=entries.take("gradient_step", int),
        agent_step=entries.take("agent_step", int),
        taus=entries.numbers("taus", float),
        dormant_percent=entries.per_layer_numbers("dormant_percent"),
        dormant_percent_pooled=entries.numbers("dormant_percent_pooled", float),
        overlap=entries.per_layer_numbers("overlap", undefined=True),
        recycled={
            layer: entries.checked("recycled", count, int)
            for layer, count in entries.take("recycled", dict).items()
        },
        recycled_total=entries.take("recycled_total", int),
        loss=entries.take("loss", float),
        q_mean=entries.number_or_none("q_mean"),
        overlap_history=entries.per_layer_numbers("overlap_history", undefined=True, optional=True),
        dormant_percent_by_network=entries.per_layer_numbers(
            "dormant_percent_by_network", optional=True
        ),
        effective_rank=entries.per_layer_number("effective_rank"),
        feature_norm=entries.per_layer_number("feature_norm"),
        weight_norm=entries.per_layer_number("weight_norm"),
        gradient_norm=entries.per_layer_number("gradient_norm"),
    )
    entries.same_length("dormant_percent_pooled", record.dormant_percent_pooled, record.taus)
    for layer, percents in record.dormant_percent.items():
        entries.same_length(f"dormant_percent of {layer}", percents, record.taus)
    return record
