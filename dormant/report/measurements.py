"""What a run measured, as arrays over its steps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dormant.records.reading import TrackingRecord, penultimate_overlap, tau_index
from dormant.records.results import RunResult

POOLED = "all hidden layers"
# {entry of a tracking record: its title}. The first ones have a value for each threshold.
OF_THRESHOLDS = {
    "dormant_percent": "dormant neurons (%)",
    "overlap": "overlap with the measurement before",
    "overlap_history": "overlap with all before",
}
OF_LAYERS = {
    "feature_norm": "feature norm",
    "weight_norm": "weight norm",
    "gradient_norm": "gradient norm",
    "effective_rank": "effective rank",
}
PENULTIMATE = "overlap_penultimate"


class Measure(NamedTuple):
    """What was measured.

    Attributes:
      quantity: "return", `PENULTIMATE` or an entry of a tracking record.
      layer: of which layer, or `POOLED`; "" where it is of none.
    """

    quantity: str
    layer: str = ""


RETURN = Measure("return")
DORMANT_PERCENT = Measure("dormant_percent", POOLED)
OVERLAP = Measure(PENULTIMATE)


class Series(NamedTuple):
    """A measure of one run.

    Attributes:
      agent_steps: (P,) float64, rising.
      gradient_steps: (P,) float64; None where they are unknown.
      values: (P,) float64; NaN where there is none.
    """

    agent_steps: np.ndarray
    gradient_steps: np.ndarray | None
    values: np.ndarray


def titles(tau: float) -> dict[str, str]:
    """{quantity: its title}, all that can be shown, in their order."""
    return {
        RETURN.quantity: "return",
        **{name: f"{title}, tau = {tau:g}" for name, title in OF_THRESHOLDS.items()},
        PENULTIMATE: f"overlap coefficient, tau = {tau:g}",
        **OF_LAYERS,
    }


def series_of(run: RunResult, tau: float) -> dict[Measure, Series]:
    """All that a run measured, without measures that have no value at all."""
    found = {RETURN: Series(run.agent_steps, None, run.returns)}
    tracking = run.records.tracking if run.records else ()
    if tracking:
        found |= _tracked(tracking, tau)
    else:
        found[DORMANT_PERCENT] = Series(run.agent_steps, None, run.dormant_percent)
    return {
        measure: series for measure, series in found.items() if np.isfinite(series.values).any()
    }


def _tracked(records: Sequence[TrackingRecord], tau: float) -> dict[Measure, Series]:
    agent = np.array([record.agent_step for record in records], float)
    gradient = np.array([record.gradient_step for record in records], float)
    rows = [_values(record, tau) for record in records]
    return {
        measure: Series(agent, gradient, np.array([row.get(measure) for row in rows], float))
        for measure in dict.fromkeys(measure for row in rows for measure in row)
    }


def _values(record: TrackingRecord, tau: float) -> dict[Measure, float | None]:
    found: dict[Measure, float | None] = {}
    try:
        at = tau_index(record, tau)
    except ValueError:  # not measured at this tau
        pass
    else:
        found[DORMANT_PERCENT] = record.dormant_percent_pooled[at]
        for name in OF_THRESHOLDS:
            for layer, values in getattr(record, name).items():
                found[Measure(name, layer)] = values[at]
        found[OVERLAP] = penultimate_overlap(record, at)
    for name in OF_LAYERS:
        for layer, value in getattr(record, name).items():
            found[Measure(name, layer)] = value
    return found
