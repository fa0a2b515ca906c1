# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Reads the metrics.jsonl of one run into the records that the schema declares."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dormant.records.files import METRICS_FILE
from dormant.records.schema import NAMES, SCHEMA, Measure, Schema

LARGEST = 1e100  # of a result: means and variances of such numbers stay finite
# {form of a measure: (what it may be in JSON, the largest, as JSON's numbers may have any size)}.
# JSON has one kind of number: a float may be written 3 and an int never as 3.5 or true.
_NUMBERS: dict[type, tuple[tuple[type, ...], float]] = {
    int: ((int,), 2**63 - 1),
    float: ((float, int), LARGEST),
}


@dataclasses.dataclass(frozen=True)
class Record:
    """A record of metrics.jsonl; each entry that the schema declares is an attribute of that name.

    Lists are tuples. An optional entry that the file lacks is None where it is one number, and
    empty elsewhere.
    """

    entries: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        entries = self.__dict__.get("entries", {})
        if name not in entries:
            raise AttributeError(f"a record has the entries {sorted(entries)}; got {name!r}")
        return entries[name]

    def _replace(self, **entries: Any) -> "Record":
        """As of a NamedTuple."""
        return dataclasses.replace(self, entries={**self.entries, **entries})


class IterationRecord(Record):
    """One iteration of a run: its training and, if any, its evaluation phase."""


class TrackingRecord(Record):
    """One measurement of dormancy (Sokar et al. 2023, Eq. 1), before any recycling it led to."""


class NoRecords(ValueError):
    """A metrics.jsonl of a run that has written nothing into it yet."""


class Run(NamedTuple):
    """The records of one run, each list in the order of its steps."""

    path: Path  # the file they were read from
    iterations: tuple[IterationRecord, ...]  # one record per iteration
    tracking: tuple[TrackingRecord, ...]  # one record per measurement of dormancy


def read_run(base_dir: str | Path, *, allow_partial: bool = False, schema: Schema = SCHEMA) -> Run:
    """Reads the metrics.jsonl of a run folder.

    Unknown kinds of records and unknown entries are passed over.

    Args:
      base_dir: the run folder, or the path of a metrics.jsonl.
      allow_partial: pass over a last line that was cut off, as a run that is being written or
        was killed leaves it.
      schema: the entries that are read.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file has no records (a `NoRecords`), a line is cut off or no JSON object, an
        entry is missing, has the wrong form or lies out of range, the steps go back, or an
        iteration is missing. The message names the file and the line.
    """
    path = Path(base_dir)
    if path.is_dir() or path.name != METRICS_FILE:
        path = path / METRICS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {METRICS_FILE} in {path.parent}: give the folder that was the run's"
            f" --base_dir; got {str(base_dir)!r}"
        )
    found: dict[str, list[Any]] = {"iteration": [], "tracking": []}
    kinds = {
        "iteration": (IterationRecord, schema.iteration, ("iteration", "agent_step")),
        "tracking": (TrackingRecord, schema.tracking, ("gradient_step",)),
    }
    for where, line in _json_lines(path, allow_partial):
        kind = _required(line, "kind", where)
        if not isinstance(kind, str):
            raise ValueError(f"{where}: 'kind' must be a text; got {kind!r}")
        if kind in kinds:
            form, measures, rising = kinds[kind]
            record = form({each.name: _value(each, line, where) for each in measures})
            _check_order(record, (found[kind] or [None])[-1], rising, where)
            found[kind].append(record)
    if not any(found.values()):
        raise NoRecords(f"{path} holds no records: the run wrote none before it ended")
    return Run(path, *map(tuple, found.values()))


def _check_order(record: Any, before: Any, rising: tuple[str, ...], where: str) -> None:
    """Checks that a record comes after the one before it, None for none, and lacks none between."""
    for name in (*rising, "agent_step", "gradient_step"):
        step, last = getattr(record, name), -1 if before is None else getattr(before, name)
        if step < last or (step == last and name in rising):
            raise ValueError(
                f"{where}: {name!r} must rise from record to record (did two runs write into"
                f" one folder?); got {step} after {last}"
            )
        if name == "iteration" and step != last + 1:
            raise ValueError(
                f"{where}: 'iteration' must count from 0 without a gap; got {step}"
                + (f" after {last}" if before else " in the first record")
            )


def tau_index(record: TrackingRecord, tau: float) -> int:
    """Returns where `tau` stands among the record's thresholds.

    Raises:
      ValueError: dormancy was not measured at this tau.
    """
    for index, measured in enumerate(record.taus):
        if math.isclose(measured, tau, rel_tol=1e-6, abs_tol=1e-9):
            return index
    raise ValueError(f"tau must be one that the run measured, {list(record.taus)}; got {tau}")


def values_at(record: TrackingRecord, measure: Measure, tau: float) -> dict[str, float | None]:
    """The numbers of a measure in a record, at one threshold where it has several.

    They are {layer or network: number}; {"": number} of a measure without them; {} where the record
    lacks it or was not measured at this tau.
    """
    value = getattr(record, measure.name)
    named = value if measure.axes and measure.axes[0] in NAMES else {"": value}
    if "tau" not in measure.axes:
        return named
    try:
        at = tau_index(record, tau)
    except ValueError:
        return {}
    return {name: values[at] for name, values in named.items() if values}


def at_penultimate(record: TrackingRecord, values: Mapping[str, float | None]) -> float | None:
    """Of {layer: value} that of the penultimate layer, by the layers whose rank a record has.

    A record's layers are in the order of their names, not of the network: the last one tells where
    it has no rank, or none of theirs. None where there is no value.
    """
    ranks = record.entries.get("effective_rank") or ()
    names = [name for name in ranks if name in values] or list(values)
    return values[names[-1]] if names else None


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
                raise ValueError(f"{where} must be a JSON object; got {line.strip()[:80]}")
            yield where, record


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _required(line: dict[str, Any], name: str, where: str) -> Any:
    if name not in line:
        raise ValueError(f"{where} must have an entry {name!r}; got {sorted(line)}")
    return line[name]


def _value(measure: Measure, line: dict[str, Any], where: str) -> Any:
    """The entry of one measure, of the shape and form that it declares."""
    name = measure.name
    if not measure.required and name not in line:
        if not measure.axes:
            return None
        return {} if measure.axes[0] in NAMES else ()

    def read(value: Any, axes: tuple[str, ...], of: str = "") -> Any:
        if not axes:
            return _number(value, measure, where)
        kind = dict if axes[0] in NAMES else list
        if not isinstance(value, kind):
            raise ValueError(f"{where}: {name}{of} must be a {kind.__name__}; got {value!r}")
        if isinstance(value, dict):
            return {key: read(inner, axes[1:], f" of {key}") for key, inner in value.items()}
        if axes[0] == "tau" and len(value) != len(line["taus"]):
            raise ValueError(
                f"{where}: {name}{of} must hold one value for each of the {len(line['taus'])} taus;"
                f" got {value}"
            )
        return tuple([read(inner, axes[1:], of) for inner in value])

    return read(_required(line, name, where), measure.axes)


def _number(value: Any, measure: Measure, where: str) -> Any:
    if value is None and measure.undefined:
        return None
    kinds, largest = _NUMBERS[measure.form]
    problem = ""
    if type(value) not in kinds:
        problem = f"hold {measure.form.__name__} values; got {value!r}"
    elif not abs(value) <= largest:
        problem = f"be within ±{largest:g}; got a larger number"
    elif measure.unit == "%" and not 0 <= value <= 100:
        problem = f"be from 0 to 100; got {value!r}"
    if problem:
        raise ValueError(f"{where}: {measure.name!r} must {problem}")
    return measure.form(value)
