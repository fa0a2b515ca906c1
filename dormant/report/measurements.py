"""What a run measured, as arrays over its steps."""

from collections.abc import Callable, Sequence
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
    at = [_place(record, tau) for record in records]

    def series(value: Callable[[TrackingRecord, int | None], float | None]) -> Series:
        values = [value(record, place) for record, place in zip(records, at, strict=True)]
        return Series(agent, gradient, np.array(values, float))

    def at_tau(get: Callable[[TrackingRecord], Sequence[float | None] | None]) -> Series:
        def value(record: TrackingRecord, place: int | None) -> float | None:
            values = get(record)
            return values[place] if values and place is not None else None

        return series(value)

    found = {DORMANT_PERCENT: at_tau(lambda record: record.dormant_percent_pooled)}
    for name in (*OF_THRESHOLDS, *OF_LAYERS):
        for layer in dict.fromkeys(layer for record in records for layer in getattr(record, name)):

            def get(record: TrackingRecord, name=name, layer=layer):
                return getattr(record, name).get(layer)

            found[Measure(name, layer)] = (
                at_tau(get)
                if name in OF_THRESHOLDS
                else series(lambda record, _, get=get: get(record))
            )
    found[OVERLAP] = series(
        lambda record, place: None if place is None else penultimate_overlap(record, place)
    )
    return found


def _place(record: TrackingRecord, tau: float) -> int | None:
    try:
        return tau_index(record, tau)
    except ValueError:  # not measured at this tau
        return None
