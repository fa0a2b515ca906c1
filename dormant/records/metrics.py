"""What a run writes down: the records of metrics.jsonl.
No agent is known here; everything comes in as reports, statistics and counters."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from dormant.interventions.compose import DEFAULT_TAUS

METRICS_FILE = "metrics.jsonl"
Record = dict[str, Any]


def tracking_record(
    tracker: Any, intervention: Any, metrics: Mapping[str, Any], *, agent_step: int
) -> Record:
    """The record of the last scoring. T is the number of taus.

    Args:
      tracker: state of `dormant.track`, or {network: state} where an agent has several networks.
      intervention: state of an intervention, in the same form; None where there is none.
      metrics: those of the update after which was scored: `loss` and other scalars.
      agent_step: training agent steps taken so far.

    Returns:
      The "tracking" record: dormant_percent {layer: [T]}, dormant_percent_pooled [T] over all
      hidden layers, overlap and overlap_history {layer: [T], None where undefined}, recycled
      {layer: neurons}, recycled_total, effective_rank {penultimate layer: rank}, feature_norm,
      weight_norm and gradient_norm {layer: norm}, the last two also as _total; the scalars of
      metrics; and, where there are several networks, dormant_percent_by_network {network: [T]}.
      Gradient norms are None where the learner gives the tracker no gradient.

    Raises:
      FloatingPointError: when the loss is not finite; a run that diverged stops.
    """
    scalars = {name: value for name, value in metrics.items() if np.ndim(value) == 0}
    acting = tracker if intervention is None else intervention
    states = {name: (state.report, state.dormant) for name, state in _networks(tracker).items()}
    recycled = [
        (state.report.recycled, state.report.recycled_total) for state in _networks(acting).values()
    ]
    # One transfer for everything that the record holds.
    states, recycled, scalars = jax.device_get((states, recycled, scalars))
    reports = [report for report, _ in states.values()]
    step = int(reports[0].step)
    if not math.isfinite(scalars["loss"]):
        raise FloatingPointError(f"the loss is {scalars['loss']} at gradient step {step}")
    record = {
        "kind": "tracking",
        "gradient_step": step,
        "agent_step": agent_step,
        "taus": list(DEFAULT_TAUS),
        "dormant_percent": _merged(reports, lambda report: report.by_layer, _percent),
        "dormant_percent_pooled": _percent(_dormant_fraction(states.values())),
        "overlap": _merged(reports, lambda report: report.overlap, _finite),
        "overlap_history": _merged(reports, lambda report: report.overlap_history, _finite),
        "recycled": {layer: int(n) for counts, _ in recycled for layer, n in counts.items()},
        "recycled_total": int(sum(total for _, total in recycled)),
    }
    for name in ("effective_rank", "feature_norm", "weight_norm", "gradient_norm"):
        record[name] = _merged(reports, lambda report, n=name: getattr(report.network, n), _number)
    for name in ("weight_norm_total", "gradient_norm_total"):
        record[name] = _number(np.linalg.norm([getattr(r.network, name) for r in reports]))
    if len(states) > 1:
        record["dormant_percent_by_network"] = {
            name: _percent(report.pooled) for name, (report, _) in states.items()
        }
    return record | {name: _number(value) for name, value in scalars.items()}


def _networks(state: Any) -> dict[str, Any]:
    return state if isinstance(state, dict) else {"": state}


def _merged(reports: list[Any], field: Callable, convert: Callable) -> dict[str, Any]:
    """One entry per layer of all networks; a layer that two of them name has the same value."""
    return {layer: convert(values) for report in reports for layer, values in field(report).items()}


def _dormant_fraction(states: Iterable[tuple[Any, dict[str, np.ndarray]]]) -> np.ndarray:
    """Dormant neurons over neurons, pooled over the layers of all networks: (T,)."""
    sets = [mask for _, dormant in states for mask in dormant.values()]
    return sum(mask.sum(axis=-1) for mask in sets) / sum(mask.shape[-1] for mask in sets)


def iteration_record(
    iteration: int, statistics: Mapping[str, list], *, agent_step: int, gradient_step: int
) -> Record:
    """The record of one iteration.

    Args:
      iteration: its number, from 0.
      statistics: Dopamine's `IterationStatistics.data_lists`.
      agent_step: training agent steps taken so far.
      gradient_step: gradient updates made so far.

    Returns:
      The "iteration" record; the `eval_` entries only where there was an evaluation phase.
    """
    record: Record = {
        "kind": "iteration",
        "iteration": iteration,
        "agent_step": agent_step,
        "gradient_step": gradient_step,
    }
    for phase in ("train", "eval"):
        if f"{phase}_episode_returns" in statistics:
            returns = [float(value) for value in statistics[f"{phase}_episode_returns"]]
            record[f"{phase}_returns"] = returns
            lengths = statistics[f"{phase}_episode_lengths"]
            record[f"{phase}_episode_lengths"] = [int(length) for length in lengths]
            record[f"{phase}_average_return"] = float(statistics[f"{phase}_average_return"][0])
    record["steps_per_second"] = float(statistics["train_average_steps_per_second"][0])
    return record


class MetricsFile:
    """metrics.jsonl of one run: one JSON object a line, in the order of the run's steps."""

    def __init__(self, base_dir: str, *, iteration: int, agent_step: int, gradient_step: int):
        """Makes it ready to continue after a checkpoint; at the start of a run all counters are 0.

        Args:
          base_dir: the run's folder.
          iteration: the next iteration; records of this one and later are dropped.
          agent_step: records after this agent step are dropped.
          gradient_step: records after this gradient step are dropped.
        """
        self._path = Path(base_dir) / METRICS_FILE
        if self._path.exists():
            kept = [
                line
                for line, record in _whole_records(self._path)
                if record["agent_step"] <= agent_step
                and record["gradient_step"] <= gradient_step
                and record.get("iteration", -1) < iteration
            ]
            write_atomically(self._path, "".join(kept))
        self._file: TextIO | None = None  # a runner that is never run holds nothing open

    def write(self, record: Record) -> None:
        """Appends one record; it is on disk when this returns."""
        if self._file is None:
            self._file = open(self._path, "a", encoding="utf-8")
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes it; what is written later opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's content: whoever reads it sees the old text or the new, never a part."""
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _whole_records(path: Path) -> list[tuple[str, Record]]:
    with open(path, encoding="utf-8") as file:
        # A run that was killed can leave a part of its last line.
        return [(line, json.loads(line)) for line in file if line.endswith("\n")]


def _percent(fractions: Any) -> list[float]:
    return [100.0 * float(fraction) for fraction in fractions]


def _finite(values: Any) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
