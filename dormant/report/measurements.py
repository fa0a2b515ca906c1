# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run measured, as arrays over its steps."""

import itertools
from typing import NamedTuple

import numpy as np

from dormant.records import per_iteration
from dormant.records.reading import at_penultimate, values_at
from dormant.records.results import RunResult
from dormant.records.schema import POOLED, Schema, charts_of

PENULTIMATE = "overlap_penultimate"


class Measure(NamedTuple):
    """What was measured."""

    quantity: str  # "return", `PENULTIMATE` or the first measure of one chart of the schema
    layer: str = ""  # of which layer or network, or the name of its line; "" where it is of none


RETURN = Measure("return")
DORMANT_PERCENT = Measure("dormant_percent", POOLED)
OVERLAP = Measure(PENULTIMATE)
ACCURACY = Measure(per_iteration.ACCURACY)


class Series(NamedTuple):
    """A measure of one run."""

    agent_steps: np.ndarray  # (P,) float64, rising
    gradient_steps: np.ndarray | None  # (P,) float64; None where they are unknown
    values: np.ndarray  # (P,) float64; NaN where there is none


def titles(schema: Schema, tau: float) -> dict[str, str]:
    """{quantity: its title}, all that can be shown, in their order."""
    at_tau = f", tau = {tau:g}"
    return {
        RETURN.quantity: "return",
        **{
            name: first.chart + (at_tau if "tau" in first.axes else "")
            for name, (first, *_) in charts_of(schema).items()
        },
        PENULTIMATE: f"overlap coefficient{at_tau}",
        ACCURACY.quantity: "accuracy on the images that are trained on",
    }


def series_of(run: RunResult, schema: Schema, tau: float) -> dict[Measure, Series]:
    """All that a run measured, without measures that have no value at all."""
    found = {RETURN: Series(run.agent_steps, None, run.returns)}
    records = run.records.tracking if run.records else ()
    gradient_steps = run.measured.get(per_iteration.GRADIENT_STEP)

    def of_iterations(values: np.ndarray) -> Series:
        return Series(run.agent_steps, gradient_steps, values)

    if per_iteration.ACCURACY in run.measured:
        found[ACCURACY] = of_iterations(run.measured[per_iteration.ACCURACY])
    if not records:
        found[DORMANT_PERCENT] = of_iterations(run.dormant_percent)
        if per_iteration.OVERLAP in run.measured:
            found[OVERLAP] = of_iterations(run.measured[per_iteration.OVERLAP])
        if per_iteration.RANK in run.measured:
            rank = Measure(per_iteration.RANK, "last hidden layer")
            found[rank] = of_iterations(run.measured[per_iteration.RANK])
    agent = np.array([record.agent_step for record in records], float)
    gradient = np.array([record.gradient_step for record in records], float)
    for name, measures in charts_of(schema).items():
        for measure in measures:
            if all(record.entries.get(measure.name) in (None, {}) for record in records):
                continue  # most measures, in most runs
            entries = [values_at(record, measure, tau) for record in records]
            for layer in dict.fromkeys(itertools.chain.from_iterable(entries)):
                values = np.array([entry.get(layer) for entry in entries], float)
                found[Measure(name, layer or measure.line)] = Series(agent, gradient, values)
    for measure in schema.tracking:
        if records and measure.name == per_iteration.OVERLAP:
            overlaps = [at_penultimate(each, values_at(each, measure, tau)) for each in records]
            found[OVERLAP] = Series(agent, gradient, np.array(overlaps, float))
    return {
        measure: series for measure, series in found.items() if np.isfinite(series.values).any()
    }
