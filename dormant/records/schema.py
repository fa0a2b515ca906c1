# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every measure of a run, declared once: metrics.jsonl, its reader, TensorBoard, the report's
tables and curves, and docs/metrics.md are made of these declarations.

`python -m dormant.records.schema > docs/metrics.md` writes the page."""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from dormant.measures.catalog import CATALOG
from dormant.measures.measure import DEFAULT_TAUS, NETWORK
from dormant.measures.measure import Measure as NetworkMeasure

# The axes of an entry, from the outside in: names are an object in JSON, the others are a list.
SCALAR = ()
PER_TAU = ("tau",)
PER_LAYER = ("layer",)
PER_LAYER_AND_TAU = ("layer", "tau")
PER_NETWORK_AND_TAU = ("network", "tau")
PER_EPISODE = ("episode",)
NAMES = ("layer", "network")

# {network: what was found in its state}; the name is "" where an agent has one network.
Found = Mapping[str, Any]


class FinalTable(NamedTuple):
    """The report's table of a measure at the last record of each run."""

    title: str  # what it shows; {tau}, {layer} and {network} stand for where the value is
    digits: int = 1  # after the decimal point
    each: bool = False  # whether each layer or network has a table, rather than the last one alone
    asked_as: str = ""  # the name by which an experiment's `shows` asks for it; "" for always
    paper: str = ""  # the name that the paper's values have, as a template; "" for `asked_as`


class Measure(NamedTuple):
    """An entry of a record."""

    name: str  # of the entry
    axes: tuple[str, ...]  # its shape: one of the constants above
    meaning: str  # in a line, for docs/metrics.md
    unit: str = ""  # of its numbers; "" for none
    # What a state of `dormant.track` holds of it; None for what the host or the update gives.
    find: Callable[[Any], Any] | None = None
    # Whether it is found in the state of the intervention, where there is one.
    of_intervention: bool = False
    # Makes the entry of what was found in each network, or None to leave it out. Without it the
    # entry has the layers of all networks, or where there are no layers the first network's value.
    join: Callable[[Found], Any] | None = None
    form: type = float  # float or int
    # The entry is so many times what was found: 100 for the percentage of a fraction.
    scale: int = 1
    required: bool = False  # whether a record without it cannot be read
    undefined: bool = True  # whether its numbers may be null
    # The name of its scalars in TensorBoard, {tau}, {layer} and {network} as in a title; "" for
    # what is not sent.
    tag: str = ""
    # The title of its chart on the report's page; "" for none. Measures with one title share a
    # chart.
    chart: str = ""
    line: str = ""  # the name of its line in the chart, where it has no layers
    final: FinalTable | None = None  # its table in the report


class Schema(NamedTuple):
    """The entries of the two kinds of record, each in the order of the file."""

    tracking: tuple[Measure, ...]
    iteration: tuple[Measure, ...]


def entry(measure: Measure, value: Any) -> Any:
    """A value as JSON has it: numbers of Python, and None for what is not finite."""

    def form(value: Any, axes: tuple[str, ...]) -> Any:
        if axes and axes[0] in NAMES:
            return {name: form(inner, axes[1:]) for name, inner in value.items()}
        if axes:
            return [form(inner, axes[1:]) for inner in value]
        if measure.undefined and (value is None or not math.isfinite(value)):
            return None
        return measure.form(value) * measure.scale

    return form(value, measure.axes)


def joined(measure: Measure, found: Found) -> Any:
    """The value of a measure that was found in every network."""
    if measure.join is not None:
        return measure.join(found)
    if "layer" in measure.axes:
        # A layer that two networks name has the same value in both.
        return {layer: value for layers in found.values() for layer, value in layers.items()}
    return next(iter(found.values()))


def _norm(found: Found) -> np.floating:
    return np.linalg.norm(list(found.values()))


def _fraction(found: Found) -> np.ndarray:
    """True entries over entries, of the masks (T, H) of all layers of all networks: (T,); NaN where
    a layer's fraction is."""
    masks = [mask for layers, _ in found.values() for mask in layers.values()]
    total = sum(mask.sum(axis=-1) for mask in masks) / sum(mask.shape[-1] for mask in masks)
    fractions = [fraction for _, layers in found.values() for fraction in layers.values()]
    return np.where(np.isnan(fractions).any(axis=0), np.nan, total)


def _decimals(found: Found) -> list[float]:
    """The shortest numbers that are these in float32: 0.1 rather than 0.10000000149011612."""
    return [float(str(np.float32(tau))) for tau in next(iter(found.values()))]


def of_update(name: str, meaning: str = "", **more: Any) -> Measure:
    """A number that the learner's update returns."""
    return Measure(name, SCALAR, meaning, tag=f"Train/{_title(name)}", **more)


def _of_layers(name: str, meaning: str, **more: Any) -> Measure:
    """A field of `NetworkMetrics` with a number for each layer."""
    find, tag = operator.attrgetter(f"report.network.{name}"), f"{_title(name)}/{{layer}}"
    chart = name.replace("_", " ")
    return Measure(name, PER_LAYER, meaning, find=find, tag=tag, chart=chart, **more)


def _of_network(name: str, meaning: str, tag: str) -> Measure:
    """A field of `NetworkMetrics` that is the norm of its values in all networks."""
    find = operator.attrgetter(f"report.network.{name}")
    return Measure(name, SCALAR, meaning, find=find, join=_norm, tag=tag)


def _of_catalog(measure: NetworkMeasure) -> Measure:
    """A measure that can be named to `dormant.track`; left out where it was not."""
    is_one = measure.of == NETWORK
    name, text = f"measure_{measure.name}", measure.name.replace("_", " ")
    return Measure(
        name,
        SCALAR if is_one else PER_LAYER,
        measure.meaning,
        measure.unit,
        find=functools.partial(_measured, measure.name),
        join=_first_measured if is_one else _all_measured,
        tag=f"Measure/{_title(measure.name)}" + ("" if is_one else "/{layer}"),
        chart=f"measure: {text}",
    )


def _measured(name: str, state: Any) -> Any:
    return state.report.measures.get(name)


def _first_measured(found: Found) -> Any:
    """The value of the first network that has one."""
    return next((value for value in found.values() if value is not None), None)


def _all_measured(found: Found) -> Any:
    """The layers of all networks that have values; None where none has."""
    known = [layers for layers in found.values() if layers is not None]
    return {name: value for layers in known for name, value in layers.items()} if known else None


def _title(name: str) -> str:
    """`q_mean` as TensorBoard has it: `QMean`."""
    return "".join(word.capitalize() for word in name.split("_"))


_ALWAYS: dict[str, Any] = {"required": True, "undefined": False}
AGENT_STEP = Measure(
    "agent_step",
    SCALAR,
    "training agent steps so far (one action, 4 frames on Atari); gradient steps in a study",
    form=int,
    **_ALWAYS,
)
GRADIENT_STEP = Measure(
    "gradient_step",
    SCALAR,
    "optimizer updates so far",
    find=operator.attrgetter("report.step"),
    form=int,
    **_ALWAYS,
)
POOLED = "all hidden layers"
DORMANT = "dormant neurons (%)"

_TAUS = ", ".join(f"{tau:g}" for tau in DEFAULT_TAUS[:-1]) + f" and {DEFAULT_TAUS[-1]:g}"

TRACKING = (
    GRADIENT_STEP,
    AGENT_STEP,
    Measure(
        "taus",
        PER_TAU,
        f"the thresholds of the lists below: {_TAUS}",
        find=operator.attrgetter("report.taus"),
        join=_decimals,
        **_ALWAYS,
    ),
    Measure(
        "dormant_percent",
        PER_LAYER_AND_TAU,
        "dormant neurons of a hidden layer (Sokar et al. 2023, Eq. 1), before any recycle then;"
        " null where an activation was not finite",
        "%",
        find=operator.attrgetter("report.by_layer"),
        scale=100,
        tag="DormantPercent/tau={tau:g}/{layer}",
        chart=DORMANT,
        required=True,
    ),
    Measure(
        "dormant_percent_pooled",
        PER_TAU,
        "the same over the neurons of all hidden layers; null where a layer's is",
        "%",
        find=operator.attrgetter("dormant", "report.by_layer"),
        join=_fraction,
        scale=100,
        tag="DormantPercent/tau={tau:g}/Pooled",
        chart=DORMANT,
        line=POOLED,
        required=True,
    ),
    Measure(
        "overlap",
        PER_LAYER_AND_TAU,
        "overlap coefficient of a layer's dormant neurons with those of the record before; null"
        " where either set is empty",
        find=operator.attrgetter("report.overlap"),
        required=True,
        tag="DormantOverlap/tau={tau:g}/{layer}",
        chart="overlap with the measurement before",
    ),
    Measure(
        "overlap_history",
        PER_LAYER_AND_TAU,
        "the same with the union of the dormant neurons of all records before (figure 5)",
        find=operator.attrgetter("report.overlap_history"),
        tag="DormantOverlapHistory/tau={tau:g}/{layer}",
        chart="overlap with all before",
        final=FinalTable(
            "Overlap with all earlier dormant neurons of the penultimate layer, tau {tau:g}",
            digits=2,
            asked_as="overlap",
        ),
    ),
    Measure(
        "recycled",
        PER_LAYER,
        "neurons that the intervention acted on when it last did",
        "neurons",
        find=operator.attrgetter("report.recycled"),
        of_intervention=True,
        form=int,
        tag="ReDo/Recycled/{layer}",
        **_ALWAYS,
    ),
    Measure(
        "recycled_total",
        SCALAR,
        "the same over all layers, since the start of the run",
        "neurons",
        find=operator.attrgetter("report.recycled_total"),
        of_intervention=True,
        join=lambda found: sum(found.values()),
        form=int,
        tag="ReDo/RecycledTotal",
        **_ALWAYS,
    ),
    _of_layers(
        "effective_rank",
        "srank (Kumar et al. 2021; delta 0.01) of the features that an output layer reads (table"
        " 7); at most `Tracker.score_batch`",
        final=FinalTable(
            "Effective rank of the penultimate features, last measurement", asked_as="rank"
        ),
    ),
    *(_of_layers(name, CATALOG[name].meaning) for name in ("feature_norm", "weight_norm")),
    _of_layers(
        "gradient_norm",
        "Euclidean norm of the loss's gradient at the scored parameters; null where the learner"
        " gives none",
    ),
    _of_network("weight_norm_total", "norm of all layers' parameters", "WeightNorm/Total"),
    _of_network("gradient_norm_total", "the same of the gradient", "GradientNorm/Total"),
    Measure(
        "dormant_percent_by_network",
        PER_NETWORK_AND_TAU,
        "where there are several networks (SAC's actor and critics): of each one's hidden layers",
        "%",
        find=operator.attrgetter("report.pooled"),
        join=lambda found: found if len(found) > 1 else None,
        scale=100,
        undefined=False,
        tag="DormantPercent/tau={tau:g}/{network}",
        final=FinalTable(
            "Dormant % of the {network} at tau {tau:g}, last measurement",
            each=True,
            asked_as="dormant_percent_by_network",
            paper="dormant_percent, {network}",
        ),
    ),
    of_update("loss", "training loss of the update at `gradient_step`", **_ALWAYS),
    of_update("q_mean", "mean Q-value of the actions in its batch"),
    of_update("critic_loss", "SAC: loss of both critics"),
    of_update("actor_loss", "SAC: loss of the actor"),
    of_update("alpha_loss", "SAC: loss of the temperature"),
    of_update("alpha", "SAC: the temperature"),
    of_update("accuracy", "supervised studies: of the batch"),
    *(_of_catalog(measure) for measure in CATALOG.values()),
)

ITERATION = (
    Measure("iteration", SCALAR, "its number, from 0", form=int, **_ALWAYS),
    AGENT_STEP,
    GRADIENT_STEP,
    Measure(
        "train_returns",
        PER_EPISODE,
        "undiscounted, unclipped returns of the training episodes that ended in the iteration",
        **_ALWAYS,
    ),
    Measure(
        "train_episode_lengths", PER_EPISODE, "their lengths", "agent steps", form=int, **_ALWAYS
    ),
    Measure("train_average_return", SCALAR, "their mean return; 0 where none ended"),
    Measure("eval_returns", PER_EPISODE, "the same of evaluation, where any", undefined=False),
    Measure(
        "eval_episode_lengths",
        PER_EPISODE,
        "their lengths",
        "agent steps",
        form=int,
        undefined=False,
    ),
    Measure("eval_average_return", SCALAR, "their mean return"),
    Measure("steps_per_second", SCALAR, "training steps over wall time", "1/s", **_ALWAYS),
    Measure("train_accuracy", SCALAR, "supervised studies: on all images"),
    Measure("teacher_average_return", SCALAR, "distillation: the teacher's mean return"),
    Measure("start_average_return", SCALAR, "distillation: the student's before it is taught"),
)

SCHEMA = Schema(TRACKING, ITERATION)


def charts_of(schema: Schema) -> dict[str, list[Measure]]:
    """{name of its first measure: the measures in a chart}, those without layers first."""
    found: dict[str, list[Measure]] = {}
    for measure in schema.tracking:
        if measure.chart:
            found.setdefault(measure.chart, []).append(measure)
    return {
        measures[0].name: sorted(measures, key=lambda measure: not measure.line)
        for measures in found.values()
    }


_INTRODUCTION = """\
# Metrics

One JSON object a line in `metrics.jsonl`, of one of two kinds. Every entry is declared in
`dormant/records/schema.py`, and `python -m dormant.records.schema > docs/metrics.md` writes this
page. A new measure is one more `Measure` there: it is then in `metrics.jsonl`, in what
`dormant.records.reading.read_run` returns, in TensorBoard, in the report and here. Whatever else a
learner's update returns is recorded too, under its own name.

The entries `measure_…` are the measures of `dormant.measures.CATALOG`, which declares them. One is
there where it was named: `Tracker.measures = ("srank", "fau")` in gin for those that need neither
the network's outputs nor a loss, `dormant.track(graph, measures=…)` for all.

`{layer: ...}` is an object with an entry for each layer, `[tau]` a list with a number for each
threshold of `taus`. A number that is not defined is `null`. The last column says where the report
has it: the title of the curve on its page, and whether a table has the last values.
"""


def document(schema: Schema = SCHEMA) -> str:
    """The text of docs/metrics.md."""
    parts = [_INTRODUCTION]
    for kind, measures in schema._asdict().items():
        header = ("entry", "shape", "unit", "meaning", "TensorBoard", "report")
        rows: list[tuple[str, ...]] = [header, ("---",) * len(header)]
        for each in measures:
            tag = f"`{each.tag}`" if each.tag else ""
            report = "; ".join(filter(None, (each.chart, each.final and "table")))
            rows.append((f"`{each.name}`", _shape(each), each.unit, each.meaning, tag, report))
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f'## `"kind": "{kind}"`\n\n{table}\n')
    return "\n".join(parts)


def _shape(measure: Measure) -> str:
    text = ""
    for axis in reversed(measure.axes):
        text = f"{{{axis}: {text or 'number'}}}" if axis in NAMES else f"[{text or axis}]"
    return f"`{text}`" if text else "number"


if __name__ == "__main__":
    print(document(), end="")
