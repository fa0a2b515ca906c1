"""What a run writes down: the records of metrics.jsonl and the scalars for Dopamine's collectors.
No agent is known here; everything comes in as reports, statistics and counters."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from dopamine.metrics.statistics_instance import StatisticsInstance

from dormant.agents.options import TAUS

METRICS_FILE = "metrics.jsonl"
Record = dict[str, Any]


def tracking_record(
    tracker: Any, intervention: Any, metrics: Mapping[str, Any], *, agent_step: int
) -> Record:
    """The record of the last scoring. T is the number of taus.

    Args:
      tracker: state of `dormant.track`.
      intervention: state of `dormant.redo`; None where nothing is recycled.
      metrics: `loss`, `q_mean` (float32 scalars) of the update after which was scored.
      agent_step: training agent steps taken so far.

    Returns:
      The "tracking" record: dormant_percent {layer: [T]}, dormant_percent_pooled [T], overlap
      {layer: [T], None where undefined}, recycled {layer: neurons}, recycled_total, loss, q_mean.

    Raises:
      FloatingPointError: when the loss is not finite; a run that diverged stops.
    """
    report = tracker.report
    recycled = report if intervention is None else intervention.report
    # One transfer for everything that the record holds.
    report, counts, total, loss, q_mean = jax.device_get(
        (report, recycled.recycled, recycled.recycled_total, metrics["loss"], metrics["q_mean"])
    )
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} at gradient step {int(report.step)}")
    return {
        "kind": "tracking",
        "gradient_step": int(report.step),
        "agent_step": agent_step,
        "taus": list(TAUS),
        "dormant_percent": {
            layer: _percent(fraction) for layer, fraction in report.dormant_fraction.items()
        },
        "dormant_percent_pooled": _percent(report.pooled),
        "overlap": {layer: _finite(values) for layer, values in report.overlap.items()},
        "recycled": {layer: int(count) for layer, count in counts.items()},
        "recycled_total": int(total),
        "loss": float(loss),
        "q_mean": float(q_mean),
    }


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


def tracking_scalars(record: Record) -> list[StatisticsInstance]:
    """A tracking record as scalars for `CollectorDispatcher`, at its gradient step."""
    scalars = {"Train/Loss": record["loss"], "Train/QMean": record["q_mean"]}
    scalars["ReDo/RecycledTotal"] = record["recycled_total"]
    for layer, count in record["recycled"].items():
        scalars[f"ReDo/Recycled/{layer}"] = count
    percents = {"Pooled": record["dormant_percent_pooled"], **record["dormant_percent"]}
    for layer, values in percents.items():
        for tau, value in zip(record["taus"], values, strict=True):
            scalars[f"DormantPercent/tau={tau:g}/{layer}"] = value
    for layer, values in record["overlap"].items():
        for tau, value in zip(record["taus"], values, strict=True):
            if value is not None:
                scalars[f"DormantOverlap/tau={tau:g}/{layer}"] = value
    step = record["gradient_step"]
    return [StatisticsInstance(name, value, step) for name, value in scalars.items()]


class MetricsFile:
    """metrics.jsonl of one run: one JSON object a line, in the order of the run's steps."""

    def __init__(self, base_dir: str, *, iteration: int, agent_step: int, gradient_step: int):
        """Opens it to continue after a checkpoint; at the start of a run all counters are 0.

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
        self._file = open(self._path, "a", encoding="utf-8")

    def write(self, record: Record) -> None:
        """Appends one record; it is on disk when this returns."""
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


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
    return [float(value) if math.isfinite(value) else None for value in values]
