# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run measured beside returns in each iteration: the further columns of results.csv."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from dormant.measures.measure import DEFAULT_TAUS
from dormant.records.reading import Run, at_penultimate, values_at
from dormant.records.schema import SCHEMA

GRADIENT_STEP, EVALUATION = "gradient_step", "evaluation_return"
ACCURACY = "train_accuracy"
OVERLAP, RANK = "overlap_history", "effective_rank"
_DORMANT = "dormant_percent_tau_"
# Every column there can be, in the order of the file.
FURTHER_COLUMNS = (
    GRADIENT_STEP,
    EVALUATION,
    ACCURACY,
    *(f"{_DORMANT}{tau:g}" for tau in DEFAULT_TAUS),
    OVERLAP,
    RANK,
)


def dormant_column(tau: float) -> str:
    """The column of the dormant percentage of all hidden neurons at a threshold."""
    return f"{_DORMANT}{tau:g}"


def measured_per_iteration(run: Run, tau: float) -> dict[str, np.ndarray]:
    """{column: float64 (P,)} of a run of P iterations, without columns that have no value.

    Gradient steps are those at the end of each iteration, the return of evaluation is the mean of
    its episodes, the accuracy is that of the iteration's record. All else is the mean over the
    measurements within the iteration: dormant percentages, and of the penultimate layer the overlap
    with all dormant neurons before at `tau` and the effective rank of its features. NaN where there
    was none.
    """
    ends = [record.agent_step for record in run.iterations]
    inside = [
        [record for record in run.tracking if start < record.agent_step <= end]
        for start, end in itertools.pairwise([0, *ends])
    ]
    columns = {
        GRADIENT_STEP: [float(record.gradient_step) for record in run.iterations],
        EVALUATION: [mean(record.eval_returns) for record in run.iterations],
        ACCURACY: [mean([record.train_accuracy]) for record in run.iterations],
    }
    measures = {measure.name: measure for measure in SCHEMA.tracking}
    places = [(dormant_column(at), "dormant_percent_pooled", at) for at in {*DEFAULT_TAUS, tau}]
    for column, name, at in (*places, (OVERLAP, OVERLAP, tau), (RANK, RANK, tau)):
        columns[column] = [
            mean([at_penultimate(each, values_at(each, measures[name], at)) for each in records])
            for records in inside
        ]
    arrays = {name: np.array(values, float) for name, values in columns.items()}
    return {name: values for name, values in arrays.items() if np.isfinite(values).any()}


def cut(measured: Mapping[str, np.ndarray], inside: np.ndarray) -> dict[str, np.ndarray]:
    """The iterations that are inside, bool (P,), of all columns."""
    return {name: values[inside] for name, values in measured.items()}


def mean(values: Sequence[float | None]) -> float:
    """Of those that are known; NaN where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else np.nan
