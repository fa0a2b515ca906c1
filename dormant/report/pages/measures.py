# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/measures.md: each measure from its own docstring and declaration, its cost as the benchmarks
have it, and what it did in two runs."""

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dormant.measures as measures
from dormant.interventions.masks import dormant_fraction, dormant_masks, overlap_coefficient
from dormant.interventions.scores import dormancy_scores
from dormant.measures import CATALOG, Measure
from dormant.report.pages import measured, text
from dormant.report.pages.readings import READINGS, scale

_DORMANCY = (dormancy_scores, dormant_masks, dormant_fraction, overlap_coefficient)
_TITLES = {
    "ranks": "Ranks of the features",
    "activity": "Activity of the units",
    "norms": "Norms of features, weights, gradients and changes",
    "isometry": "Distance from an isometry",
    "outputs": "Changes of the outputs",
    "gradients": "Gradients of single inputs, and curvature",
}


def page(root: Path) -> str:
    """The text of docs/measures.md."""
    folder = root / measured.FOLDER
    costs = _costs(root / "benchmarks" / "results" / "measures-cpu.json")
    commands = (folder / "commands.txt").read_text("utf-8").splitlines()
    return text.written(
        "Measures",
        (
            _introduction(),
            _overview(costs),
            "## The runs of the figures",
            _runs(),
            text.code(*commands),
            "## Dormant neurons and their overlap",
            *(_entry(function.__name__, function, folder) for function in _DORMANCY),
            _figure("dormancy", folder),
            *(
                part
                for group, names in measured.groups().items()
                for part in (
                    f"## {_TITLES[group]}",
                    _described(sys.modules[f"dormant.measures.{group}"]),
                    *(_entry(name, getattr(measures, name), folder, costs) for name in names),
                    _figure(group, folder),
                )
            ),
        ),
    )


def _introduction() -> str:
    return text.paragraph(
        "What the library measures of a network in training. Dormancy is measured by every"
        " `dormant.track` and `dormant.redo`; the rest where it is named: `dormant.track(graph,"
        ' measures=("srank", "fau"))`, in gin `Tracker.measures = ("srank", "fau")`. Those that'
        " need the network's `apply` or a `loss` are made with it, `measures.churn(apply)`. Each"
        " section is the function's own docstring, and says which values are healthy. The cost is"
        " that of one measurement of the nature CNN on 64 observations, as a share of the 1 000 DQN"
        " updates between two measurements, on two CPU cores that other programs used too: it tells"
        " 0.1 % from 2 %, not more ([benchmarks](benchmarks.md)). Three that the literature has are"
        " not here: the effective rank of the Hessian, whose largest eigenvalue is; a kernel's"
        " squared distance from the nearest isometry, which `deviation_from_isometry` bounds from"
        " above; and cloned units, which repeat others of their layer."
    )


def _overview(costs: dict[str, str]) -> str:
    rows = [
        (
            *(f"[`{name}`](#{name})", each.meaning, each.of),
            *(_needs(each), costs.get(name, "not measured")),
        )
        for name, each in CATALOG.items()
    ]
    header = ("measure", "what it is", "a number for", "needs besides", "% of 1 000 updates")
    return text.table(header, rows)


def _needs(measure: Measure) -> str:
    return ", ".join(sorted(measure.needs)) or "-"


def _costs(path: Path) -> dict[str, str]:
    """{measure: its share of 1 000 updates}: the median with the smallest and the largest."""
    found = {}
    for table in json.loads(path.read_text("utf-8"))["tables"]:
        for row in table["rows"]:
            name = re.match(r"`(\w+)` alone", row["name"])
            if name:
                ratio = row["ratio"]
                ends = f"{ratio['min']:.2g} to {ratio['max']:.2g}"
                found[name[1]] = f"{ratio['median']:.2g} ({ends})"
    return found


def _entry(name: str, function: Callable, folder: Path, costs: dict[str, str] | None = None) -> str:
    """A section: the docstring, which values are healthy, and what the measure declares."""
    said = [scale(name, folder)]
    if costs is not None:
        declared = CATALOG[name]
        rank = "; a rank that the rows of the batch cap" if declared.capped else ""
        said += [
            f"A number for: {declared.of}{rank}.",
            f"Needs besides parameters and activations: {_needs(declared)}.",
            f"Cost: {costs.get(name, 'not measured')} % of 1 000 updates.",
        ]
    parts = (f"### {name}", f"`{_call(name, function)}`", _described(function))
    return "\n\n".join(filter(None, (*parts, text.bullets(filter(None, said)))))


def _call(name: str, function: Callable) -> str:
    parameters = inspect.signature(function).parameters.values()
    options = [
        each.name if each.default is each.empty else f"{each.name}={each.default}"
        for each in parameters
    ]
    return f"{name}({', '.join(options)})"


def _described(thing: Any) -> str:
    """The docstring of a function or module without its arguments and errors; what it returns is
    kept."""
    docstring = inspect.getdoc(thing) or ""
    described, *sections = re.split(r"\n\n(?=(?:Args|Returns|Raises):\n)", docstring)
    returns = [each for each in sections if each.startswith("Returns:")]
    kept = [*described.split("\n\n"), *(f"Returns {_inline(each)}" for each in returns)]
    return "\n\n".join(text.paragraph(each) for each in kept)


def _inline(section: str) -> str:
    return inspect.cleandoc(section.partition("\n")[2])


def _runs() -> str:
    return text.paragraph(
        "Two kinds of runs, two seeds each, without and with ReDo: thin lines are runs, thick ones"
        f" their means. `{measured.ASTERIX}` is a DQN of two dense layers of 128 neurons on"
        " gymnax's Asterix at learning rate 1e-3 and replay ratio 1, 50 000 agent steps, measured"
        f" every 500 gradient steps on 64 observations. `{measured.CLASSIFIER}` is a classifier of"
        " the same widths whose labels are shuffled every 1 000 gradient steps, measured every 500"
        " on 128 images, for what needs outputs or a loss. Of a measure that has a number for each"
        f" layer the last hidden layer, `{measured.LAYER}`, is shown. The numbers lie in"
        f" [{measured.FOLDER}](../{measured.FOLDER}); two seeds show what a measure looks like, not"
        " what is true of DQN. Without ReDo the classifier has stopped learning at the end (its"
        " accuracy stands at the last figure), with ReDo it has not: these are an unhealthy and a"
        " healthy network. Of the game no such thing is known: there the first measurement is of a"
        " nearly fresh network, and what moved away from it is a sign, not a proof. In the text"
        " below the number after “from” is that of the first measurement; the others are means over"
        " both seeds and the last fifth of the measurements."
    )


def _figure(group: str, folder: Path) -> str:
    title = _TITLES.get(group, "Dormant neurons and their overlap")
    image = f"![{title}, over gradient steps](../{measured.FOLDER}/{group}.png)"
    return f"{image}\n\n{text.paragraph(READINGS[group](folder))}"
