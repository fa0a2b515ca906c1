# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The records of metrics.jsonl as scalars for Dopamine's collectors, among them TensorBoard."""

from collections.abc import Iterator
from typing import Any

from dopamine.metrics.statistics_instance import StatisticsInstance

from dormant.records.metrics import Record
from dormant.records.schema import NAMES, SCHEMA, Schema, of_update


def tracking_scalars(record: Record, schema: Schema = SCHEMA) -> list[StatisticsInstance]:
    """A tracking record as scalars for `CollectorDispatcher`, at its gradient step."""
    declared = {measure.name: measure for measure in schema.tracking}
    scalars = {}
    for name, value in record.items():
        measure = declared.get(name) or of_update(name)
        if measure.tag and not isinstance(value, str):
            for where, number in _numbers(value, measure.axes, record["taus"]):
                scalars[measure.tag.format(**where)] = number
    step = record["gradient_step"]
    return [
        StatisticsInstance(tag, number, step)
        for tag, number in scalars.items()
        if number is not None
    ]


def _numbers(value: Any, axes: tuple[str, ...], taus: list) -> Iterator[tuple[dict, Any]]:
    """({axis: where}, number) of every number of an entry."""
    if not axes:
        yield {}, value
        return
    items = value.items() if axes[0] in NAMES else zip(taus, value, strict=True)
    for where, inner in items:
        for rest, number in _numbers(inner, axes[1:], taus):
            yield {axes[0]: where, **rest}, number
