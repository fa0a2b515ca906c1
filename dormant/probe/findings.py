# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What was found, for people: tables, warnings, a verdict in a sentence; and as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dormant.measures.measure import DEFAULT_TAUS
from dormant.plasticity import Fits
from dormant.probe.levels import CANNOT_SHOW, GRADIENT_TAUS, LEVELS, pooled
from dormant.probe.pipeline import Probe, Request
from dormant.probe.weights import NEAR_ZERO
from dormant.report.tables import Table
from dormant.version import __version__

# Fresh networks differ by as much among themselves.
_NOTABLE = 0.05
# A loss above it, of 1 at the start, tells next to nothing.
_HARDLY = 0.9
_TARGETS = {"random": "random targets", "network": "the outputs of a fresh network"}


def tables(found: Probe) -> list[Table]:
    """The layers first, then what lies behind them."""
    made = []
    if found.measured.layers is not None:
        made.append(_layers(found))
    if found.measured.gradients is not None:
        made.append(_gradients(found.measured.gradients))
    if found.measured.plasticity is not None:
        made.append(_plasticity(found.measured.plasticity._asdict()))
    made.append(_weights(found.measured.weights))
    if found.compared is not None:
        made.append(_compared(found.compared))
    if found.what_if is not None:
        rows = tuple((layer, str(count)) for layer, count in found.what_if.recycled.items())
        change, size = found.what_if.largest_change, found.what_if.largest_output
        note = f"the outputs on the inputs would change by {change:.3g} at most, of {size:.3g}"
        notes = (note, "nothing was written", *found.what_if.notes)
        made.append(Table("What the intervention would do", ("layer", "units"), rows, notes))
    if found.curve:
        made.append(_curve(found))
    return made


def warnings(found: Probe) -> list[str]:
    """What to know before the numbers are relied on."""
    broken = [name for name, row in found.measured.weights.items() if row["non_finite"]]
    told = [f"{name} has entries that are not finite" for name in broken]
    if (plasticity := found.measured.plasticity) is not None:
        told += [
            f"fresh networks have hardly learned {_TARGETS[name]} either: use more --steps"
            for name, fits in plasticity._asdict().items()
            if fits.fresh[:, -1].mean() > _HARDLY
        ]
    return [*told, *found.measured.warnings, *found.notes]


def cannot_show(found: Probe) -> list[str]:
    """What the levels of evidence that were reached cannot show."""
    measured = found.measured
    reached = {
        "weights": True,
        "activations": measured.layers is not None,
        "gradients": measured.gradients is not None,
        "plasticity": measured.plasticity is not None,
    }
    return [f"{level}: {CANNOT_SHOW[level]}" for level in LEVELS if reached[level]]


def verdict(found: Probe) -> str:
    """All in a sentence or two, of the highest evidence first."""
    measured = found.measured
    broken = sum(row["non_finite"] for row in measured.weights.values())
    if broken:
        return f"The network is broken: {broken} of its parameters are not finite."
    told = []
    if measured.plasticity is not None:
        told.append(_of_plasticity(measured.plasticity._asdict()))
    if measured.scores is not None:
        silent, dormant = (100 * pooled(measured.scores, tau) for tau in (0.0, 0.1))
        if math.isnan(silent):
            told.append("Its activations on the inputs are not finite.")
        else:
            told.append(f"Of its units {_number(dormant)} % are dormant at tau 0.1 and"
                        f" {_number(silent)} % silent on the inputs.")  # fmt: skip
    if measured.inactivity is not None:
        inactive = 100 * pooled(measured.inactivity, 0.01)
        told.append(f"{_number(inactive)} % get next to no gradient.")
    if told:
        return " ".join(told)
    kernels = [row for row in measured.weights.values() if "units" in row]
    units = sum(row["units"] for row in kernels)

    def mean(name: str) -> str:
        return _percent(sum(row[name] * row["units"] for row in kernels) / max(1, units))

    return (
        f"{mean('near_zero_incoming')} % of the {units} units have next to no incoming weights, and"
        f" {mean('near_zero_outgoing')} % of what is read has next to no outgoing ones; what the"
        " units do on inputs, weights alone do not show."
    )


def as_json(found: Probe, request: Request) -> dict[str, Any]:
    """All of it as JSON can hold it; null for what is not a number."""
    measured = found.measured
    plasticity = measured.plasticity
    return _plain({
        "dormant": __version__,
        "probed": found.where,
        "format": found.checkpoint.kind,
        "step": found.checkpoint.step,
        "level": found.level,
        "verdict": verdict(found),
        "warnings": warnings(found),
        "cannot_show": cannot_show(found),
        "weights": measured.weights,
        "layers": measured.layers,
        "scores": measured.scores,
        "gradients": measured.gradients,
        "plasticity": plasticity and {
            name: fits._asdict() for name, fits in plasticity._asdict().items()
        },
        "compared": found.compared,
        "what_if": found.what_if and found.what_if._asdict(),
        "curve": [{"step": point.step, **point.values} for point in found.curve],
        "fail_if": request.condition and {
            "condition": request.condition.text, "value": found.value, "failed": found.failed
        },
        "request": {
            field.name: getattr(request, field.name) and str(getattr(request, field.name))
            for field in dataclasses.fields(request) if field.name != "condition"
        },
    })  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _layers(found: Probe) -> Table:
    layers = found.measured.layers or {}
    header = (
        "layer", "units", *(f"dormant %, tau {tau:g}" for tau in DEFAULT_TAUS), "low variability %",
        "active %", "feature norm", "srank", "effective rank", "stable rank", "no incoming %",
        "no outgoing %", "recyclable",
    )  # fmt: skip
    rows = []
    for name, row in layers.items():
        ranks = (f"{_number(row['srank'])} of {row['rank_cap']}", _number(row["effective_rank"]),
                 _number(row["stable_rank"])) if "srank" in row else ("", "", "")  # fmt: skip
        shares = [row["dormant"][f"{tau:g}"] for tau in DEFAULT_TAUS]
        shares += [row["low_variability_units"], row["fau"]]
        empty = (row["no_incoming"], row["no_outgoing"])
        rows.append((
            name, str(row["neurons"]), *map(_percent, shares), _number(row["feature_norm"]), *ranks,
            *map(_percent, empty), "yes" if row["recyclable"] else "no",
        ))  # fmt: skip
    scores = found.measured.scores or {}
    pools = " / ".join(_percent(pooled(scores, tau)) for tau in DEFAULT_TAUS)
    taus = " / ".join(f"{tau:g}" for tau in DEFAULT_TAUS)
    note = f"dormant over all layers: {pools} % at tau {taus}"
    return Table("Layers on the inputs", header, tuple(rows), (note,))


def _gradients(gradients: Mapping[str, Mapping[str, Any]]) -> Table:
    header = ("layer", "gradient norm", "weight norm",
              *(f"inactive %, tau {tau:g}" for tau in GRADIENT_TAUS))  # fmt: skip
    rows = []
    for name, row in gradients.items():
        shares = row.get("inactive")
        cells = [_percent(shares[f"{tau:g}"]) if shares else "" for tau in GRADIENT_TAUS]
        rows.append((name, _number(row["gradient_norm"]), _number(row["weight_norm"]), *cells))
    note = "inactive: by GraMa, the mean absolute gradient of a unit's weights over the layer's"
    return Table("Gradients of the loss", header, tuple(rows), (note,))


def _plasticity(plasticity: Mapping[str, Fits]) -> Table:
    header = ("targets", "final loss", "of fresh networks", "difference", "95 % interval")
    rows = tuple(
        (_TARGETS[name], _number(fits.current[:, -1].mean()), _number(fits.fresh[:, -1].mean()),
         _number(fits.mean), f"{_number(fits.low)} to {_number(fits.high)}")
        for name, fits in plasticity.items()
    )  # fmt: skip
    seeds, points = plasticity["random"].current.shape
    notes = (f"after {points - 1} steps of Adam, {seeds} seeds; 1 is the loss at the start",
             "interval: Student's, of the paired difference over the seeds")  # fmt: skip
    return Table("Plasticity: losses on new targets", header, rows, notes)


def _weights(weights: Mapping[str, Mapping[str, Any]]) -> Table:
    header = ("array", "shape", "norm", "units", "unit norm, least / median / most",
              "no incoming %", "next to none %", "unread %", "next to unread %", "stable rank",
              "effective rank", "isometry", "non-finite")  # fmt: skip
    rows = []
    for name, row in weights.items():
        cells: tuple[str, ...] = ("",) * 9
        if "units" in row:
            norms = " / ".join(map(_number, row["column_norm"]))
            shares = [row["zero_incoming"], row["near_zero_incoming"]]
            shares += [row["zero_outgoing"], row["near_zero_outgoing"]]
            ranks = [row["stable_rank"], row["effective_rank"], row["isometry"]]
            cells = (str(row["units"]), norms, *map(_percent, shares), *map(_number, ranks))
        shape = " x ".join(map(str, row["shape"]))
        rows.append((name, shape, _number(row["norm"]), *cells, str(row["non_finite"])))
    notes = (
        "a unit is an index of the last axis, or of the first one of arrays whose names begin with"
        " `weight`, as PyTorch's do; one is unread where all weights that read it are 0",
        f"next to none: at most {NEAR_ZERO:g} of the array's mean norm",
        "isometry: squared distance of the smaller Gram matrix from the identity",
    )
    return Table("Weights", header, tuple(rows), notes)


def _compared(compared: Mapping[str, Any]) -> Table:
    overlaps = compared.get("overlap", {})
    header = ("layer", *(f"overlap, tau {tau}" for tau in overlaps)) if overlaps else ("arrays",)
    names = list(next(iter(overlaps.values()), {}))
    rows = [(name, *(_number(overlaps[tau][name]) for tau in overlaps)) for name in names]
    notes = [f"distance of the weights: {_number(compared['distance'])}, of the norm"
             f" {_number(compared['norm'])}"]  # fmt: skip
    if "dormant" in compared:
        shares = ", ".join(f"{_percent(each)} at tau {tau}" for tau, each in
                           compared["dormant"].items())  # fmt: skip
        notes.append(f"dormant % of the other: {shares}")
    rows = rows or [(str(compared["arrays"]),)]
    return Table(f"Compared with {compared['path']}", header, tuple(rows), tuple(notes))


def _curve(found: Probe) -> Table:
    names = list(dict.fromkeys(name for point in found.curve for name in point.values))
    rows = tuple(
        ("" if point.step is None else str(point.step),
         *(_number(point.values.get(name, math.nan)) for name in names))
        for point in found.curve
    )  # fmt: skip
    return Table("Over training", ("checkpoint", *names), rows)


def _of_plasticity(plasticity: Mapping[str, Fits]) -> str:
    def said(name: str) -> str:
        fits = plasticity[name]
        interval = f"{_number(fits.mean)} [{_number(fits.low)}, {_number(fits.high)}]"
        return f"{interval} on {_TARGETS[name]}"

    if any(not math.isfinite(fits.mean) for fits in plasticity.values()):
        return (
            "The fits to new targets diverged: use a smaller learning rate, or look at its weights."
        )
    lost = [name for name, fits in plasticity.items() if fits.low > 0 and fits.mean >= _NOTABLE]
    if lost:
        return (
            "The network has lost plasticity: its loss on new targets, 1 at the start, ends above"
            f" that of fresh networks by {' and '.join(map(said, lost))}."
        )
    return (
        "No loss of plasticity was seen: its loss on new targets, 1 at the start, differs from that"
        f" of fresh networks by {' and '.join(map(said, plasticity))}."
    )


def _percent(share: float) -> str:
    return _number(100 * share)


def _number(value: Any) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.3g}" if abs(value) < 1e4 or not float(value).is_integer() else f"{value:.0f}"


def as_lines(found: Sequence[str], prefix: str) -> list[str]:
    """Each text on a line of its own."""
    return [f"{prefix}: {' '.join(text.split())}" for text in found]
