# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/paper/: a page for each of the paper's figures, tables and searches, from the experiments'
declarations, the committed results and the verdicts of the hypotheses."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dormant.records.experiment_file import PaperValue
from dormant.records.files import RESULTS_FILE
from dormant.records.per_iteration import OVERLAP, dormant_column
from dormant.records.results import Collection
from dormant.report import bootstrap as stratified
from dormant.report.charts import FIGURES
from dormant.report.claims import interval_text, tables
from dormant.report.pages import text
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from dormant.report.tables import Table
from dormant.report.verdicts import NOT_RUN, is_whole, judged, results_of, values_of
from dormant.reproduce import catalog
from dormant.reproduce.comparisons import Cell
from dormant.reproduce.estimates import Device, devices
from dormant.reproduce.experiments import SCALES, Experiment
from dormant.reproduce.hypotheses import CLAIMS
from dormant.reproduce.jobs import Job, jobs
from dormant.reproduce.listing import duration, in_words

_NAMED = re.compile(r"\b(figure|table)s? (\d+(?:(?:, | and )\d+)*)", re.IGNORECASE)
_SEARCH = "the paper's search"
# {what an experiment shows: (how its table's title begins, its figures)}
_SHOWN = {
    "iqm": ("IQM of", ("sweep", "sample-efficiency")),
    "return": ("Final return", ("returns",)),
    "dormant_percent": ("Dormant %", ("dormancy",)),
    "overlap": ("Overlap with", ("overlap",)),
    "rank": ("Effective rank", ()),
    "train_accuracy": ("Results in", ("accuracy",)),
}
_MEASURES = {"iqm": "IQM of scores", "dormant_percent": "dormant % at tau {tau:g}"}
_PICTURES = {
    "sweep": "IQM at each setting",
    "sample-efficiency": "IQM over agent steps",
    **dict(FIGURES.values()),
}
_NOT_OF_THE_PAPER = ("minatar", "digits", "quickstart")
_TIMES = (
    "One process after the other, on the machine named with nothing beside it; nothing was timed on"
    " a GPU. Training is by `benchmarks/results`; what a process takes to start and compile is the"
    " processor time of [whole smoke runs](../../results/starting.csv) of MinAtar and digits, which"
    " hardly train. The numbers of a smoke run mean nothing, and none is set beside the paper's: it"
    " plays [MinAtar with a small network, or some hundred steps](../reproduce.md)."
)
_CELLS = (
    "In a cell of the tables below: the value, its 95 % interval, and in parentheses the number of"
    " runs. IQM is the interquartile mean over games and seeds; what DQN, ReDo, reset and weight"
    " decay are here, [the page of evidence](../evidence.md#settings-of-all-of-them) says. In"
    " `minatar_replay_ratio`, `minatar_fixed_budget`, `minatar_utility` and `minatar_prune`, which"
    " are older, ReDo has Adam's one step count, resets come every 5 000 gradient steps, and the"
    " last three are at tau 0.025 and act every 250."
)
_RETURNS = "returns and ranks of other games and networks are not set beside the paper's"


def of_the_paper() -> list[Experiment]:
    """Its figures, tables and searches."""
    return [each for each in catalog.EXPERIMENTS if not each.name.startswith(_NOT_OF_THE_PAPER)]


def _parts(name: str) -> tuple[str, str]:
    """("fig", "1") of fig1, and ("search_tau", "") of what has no number."""
    kind = name.rstrip("0123456789")
    return kind, name.removeprefix(kind)


def file_name(experiment: Experiment) -> str:
    """Of its page: fig01.md."""
    kind, number = _parts(experiment.name)
    return f"{kind}{int(number):02d}.md" if number else f"{kind}.md"


def called(name: str) -> str:
    """ "Figure 1" for fig1."""
    kind, number = _parts(name)
    known = {"fig": "Figure", "tab": "Table"}
    return (
        f"{known[kind]} {number}"
        if number
        else name.capitalize().replace("_", " of ", 1).replace("_", " ")
    )


def _called_all(experiment: Experiment) -> str:
    """ "Figures 1 and 13"."""
    first, *others = map(called, (experiment.name, *experiment.aliases))
    kind, _, number = first.partition(" ")
    numbers = [number, *(each.partition(" ")[2] for each in others)]
    return f"{kind}s {' and '.join(numbers)}" if others else first


def pages(root: Path) -> dict[str, str]:
    """{file name: text} of all pages, and of their index."""
    claims = tables(judged(root / "results"))[0]
    measured = devices(root / "benchmarks" / "results")
    of_each = {each.name: _verdicts(each, claims) for each in of_the_paper()}
    found = {
        file_name(each): _page(each, root, of_each[each.name], measured) for each in of_the_paper()
    }
    return {"index.md": _index(root, of_each, measured), **found}


def names_in(text: str) -> set[str]:
    """The names of the experiments that a text such as "figures 1, 7 and 10" names."""
    found = {
        f"{kind[:3].lower()}{number}"
        for kind, numbers in _NAMED.findall(text)
        for number in re.findall(r"\d+", numbers)
    }
    return found | ({"search_tau"} if _SEARCH in text.lower() else set())


def same_question(experiment: Experiment) -> list[Experiment]:
    """Our own experiments that ask what a figure asks: their title or a hypothesis says so."""
    own = {experiment.name, *experiment.aliases}
    tested = {claim.experiment for claim in CLAIMS if names_in(claim.source) & own}
    return [
        each
        for each in catalog.EXPERIMENTS
        if each.name.startswith(_NOT_OF_THE_PAPER)
        and (each.name in tested or names_in(each.title) & own)
    ]


def _verdicts(experiment: Experiment, claims: Table) -> Table:
    """The rows of the table of claims that belong to a figure."""
    own, source = {experiment.name, *experiment.aliases}, claims.header.index("from")
    return claims._replace(rows=tuple(row for row in claims.rows if names_in(row[source]) & own))


def _page(experiment: Experiment, root: Path, verdicts: Table, measured: list[Device]) -> str:
    own, results = same_question(experiment), root / "results"
    run = [each for each in own if (results / each.name / RESULTS_FILE).is_file()]
    names = _called_all(experiment)
    at_scale = (results / experiment.name / RESULTS_FILE).is_file()
    status = "" if at_scale else "**Not run at the paper's scale**, which takes the time below."
    is_search = experiment.name.startswith("search")
    return text.written(
        experiment.title if is_search else f"{names}: {experiment.title}",
        (
            text.paragraph(f"The paper finds: {experiment.expected}"),
            text.paragraph(experiment.notes),
            text.paragraph(status),
            "## Commands",
            _commands([experiment], SCALES[::-1], measured, results),
            text.paragraph(_TIMES),
            "## The same question at a small scale",
            _questions(own, results),
            _commands(own, ("smoke", "mini"), measured, results) if own else "",
            text.paragraph(_CELLS) if run else "",
            *(part for each in run for part in _shown(experiment, each, results)),
            "## Beside the paper",
            _beside(experiment, run, results),
            "## Verdicts",
            _verdict_table(verdicts),
        ),
    )


def _commands(
    experiments: Sequence[Experiment],
    scales: Sequence[str],
    measured: list[Device],
    results: Path,
) -> str:
    rows = []
    for experiment, scale in itertools.product(experiments, scales):
        planned = jobs(experiment, scale, Path("runs"))
        steps = sum(job.agent_steps for job in planned)
        rows.append(
            (
                *(scale, f"`python -m dormant.reproduce {experiment.name} --scale={scale}`"),
                *(f"{sum(len(job.runs) for job in planned):,}", f"{steps:,}"),
                ", ".join(duration(device, planned) for device in measured),
                f"{in_words(len(planned) * starting_hours(results))} ({_counted(planned)})",
            )
        )
    header = ("scale", "command", "runs", "agent steps of all", "training")
    return text.table((*header, "and to start and compile"), rows)


def _counted(planned: Sequence[Job]) -> str:
    return "1 process" if len(planned) == 1 else f"{len(planned):,} processes"


def starting_hours(results: Path) -> float:
    """The hours that a process takes to start and compile: the processor time of whole smoke runs,
    which hardly train, over their processes."""
    with (results / "starting.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seconds, processes = (
        sum(float(row[name]) for row in rows) for name in ("processor_seconds", "processes")
    )
    return seconds / processes / 3600


def _questions(own: Sequence[Experiment], results: Path) -> str:
    if not own:
        return "No experiment of ours asks it."
    return text.bullets(f"`{each.name}`: {each.title}. {_state(each, results)}" for each in own)


def _state(experiment: Experiment, results: Path) -> str:
    path = results_of(results, experiment.name)
    if path is None:
        return "Not run yet."
    where = f"../../results/{path.relative_to(results)}"
    if is_whole(path):
        return f"[Its results]({where})."
    planned = sum(len(job.runs) for job in jobs(experiment, "mini", Path("runs")))
    done = len(read_folder(path).runs)
    return f"{done} of its {planned} runs are done: [results/unfinished]({where})."


def _shown(experiment: Experiment, own: Experiment, results: Path) -> list[str]:
    """What the report made of our own experiment, of what the figure shows."""
    folder, parts = results / own.name, [f"### `{own.name}`"]
    shown = [*experiment.shows, *(["train_accuracy"] if "train_accuracy" in own.shows else [])]
    for begins, figures in (_SHOWN[name] for name in shown if name in _SHOWN):
        for path in sorted((folder / "tables").glob("*.md")):
            written = path.read_text("utf-8")
            if written.startswith(f"**{begins}"):
                parts.append(_with_short_notes(written))
        parts += [
            f"![{_PICTURES[name]}, {own.name}](../../results/{own.name}/figures/{name}.png)"
            for name in figures
            if (folder / "figures" / f"{name}.png").is_file()
        ]
    return parts


def _with_short_notes(table: str) -> str:
    """A table as the report wrote it, its notes in lines of a page's width."""
    return "\n".join(
        text.bullets([line.removeprefix("- ")]) if line.startswith("- ") else line
        for line in table.splitlines()
    )


def _beside(experiment: Experiment, run: Sequence[Experiment], results: Path) -> str:
    if not experiment.paper:
        return "No number of the paper's is set beside runs here; what it finds stands above."
    at_scale = results / experiment.name / RESULTS_FILE
    collections = {each.name: read_folder(results / each.name / RESULTS_FILE) for each in run}
    rows = []
    for value in experiment.paper:
        settings = _settings(experiment, value)
        ours = [_ours(value, settings, each, experiment.tau) for each in collections.values()]
        published = f"{value.value:g} ({'read off ' if value.read_off else ''}{value.source})"
        of = " / ".join(filter(None, (value.method, value.setting)))
        theirs = NOT_RUN
        if at_scale.is_file():
            settings = (value.setting or "", *settings)
            theirs = _ours(value, settings, read_folder(at_scale), experiment.tau)
        measure = _MEASURES.get(value.measure, value.measure).format(tau=experiment.tau)
        rows.append((measure, value.game or "all games", of, published, theirs, *ours))
    kept = [i for i in range(5 + len(run)) if i < 5 or any(row[i] != "-" for row in rows)]
    header = ("measure", "of", "method", "the paper", "ours at its scale", *collections)
    note = (
        "What was read off a figure is within 10 %. Ours, of small games and networks, have 95 %"
        " intervals; their scores are normalized by PPO's and not by a human's, and"
        f" {_RETURNS}."
    )
    shown = ([row[i] for i in kept] for row in rows)
    return f"{text.table([header[i] for i in kept], shown)}\n\n{text.paragraph(note)}"


def _settings(experiment: Experiment, value: PaperValue) -> tuple[str, ...]:
    """What the setting of a value may be called: its own name, or that of its replay ratio."""
    if value.setting:
        return (value.setting,)
    ratios = {
        job.replay_ratio
        for job in jobs(experiment, "paper", Path("runs"))
        if job.runs[0].method == value.method
    }
    return tuple(f"replay ratio {ratio:g}" for ratio in ratios)


def _ours(value: PaperValue, settings: Sequence[str], collection: Collection, tau: float) -> str:
    """What our own runs have in the place of a value of the paper; "-" for nothing."""
    there = dict.fromkeys(run.setting for run in collection.runs if run.method == value.method)
    # Where nothing is called so, as of a classifier's optimizers, each setting is shown.
    named = [each for each in there if each in settings] or [
        each for each in there if not each.startswith("replay ratio") and not value.setting
    ]
    columns = {"dormant_percent": dormant_column(tau), "overlap": OVERLAP}
    found = []
    for setting in named:
        if value.measure == "iqm":
            interval = Statistics(collection).aggregate(value.method, setting)
            found.append(f"{interval_text(interval, sign='')}")
        elif value.measure in columns:
            cell = Cell(value.method, setting)
            for game in dict.fromkeys(run.game for run in collection.runs):
                values = values_of(collection.runs, cell, (game,), columns[value.measure])
                if values is not None:
                    mean = stratified.of_mean(values[:, 0], stratified.DEFAULT)
                    which = setting if setting and "replay ratio" not in setting else game
                    found.append(f"{which}: {interval_text(mean, sign='')}")
    return "; ".join(found) or "-"


def _verdict_table(verdicts: Table) -> str:
    if not verdicts.rows:
        return "No hypothesis of [the page of evidence](../evidence.md) is about it."
    told = (
        "Written down before the runs, and judged as [the page of evidence](../evidence.md) says;"
        " none is of runs at the paper's scale. H1 and so on are the numbers of the hypotheses"
        " there. A hypothesis may compare several settings and games: “differences” has the"
        " smallest and the largest with their 95 % intervals, “comparisons” how many came to what,"
        " and it holds where all do."
    )
    return f"{text.paragraph(told)}\n\n{text.table(verdicts.header, verdicts.rows)}"


def _index(root: Path, verdicts: dict[str, Table], measured: list[Device]) -> str:
    rows = []
    for each in of_the_paper():
        planned = jobs(each, "paper", Path("runs"))
        found = Counter(row[-1] for row in verdicts[each.name].rows)
        paths = {own.name: results_of(root / "results", own.name) for own in same_question(each)}
        run = [
            f"`{name}`" if is_whole(path) else f"`{name}` (not all runs)"
            for name, path in paths.items()
            if path is not None
        ]
        is_run = (root / "results" / each.name / RESULTS_FILE).is_file()
        rows += [
            (
                *(f"[{called(name)}]({file_name(each)})", each.title, each.expected),
                f"{sum(len(job.runs) for job in planned):,}",
                ", ".join(duration(device, planned) for device in measured),
                "yes" if is_run else "no",
                ", ".join(run) or "-",
                "; ".join(f"{verdict}: {count}" for verdict, count in found.items()) or "-",
            )
            for name in (each.name, *each.aliases)
        ]
    told = (
        "Each figure and table of Sokar et al. 2023 (arXiv 2302.12902) and each search"
        " that it tells"
        " of has a page: the commands, what the paper finds, what our own runs on small games found"
        " of the same question, and the verdicts of the hypotheses that were written down before."
        " A page says so where nothing was run at the paper's scale."
    )
    header = (
        *("", "what it shows", "the paper finds", "runs", "training at the paper's scale"),
        *("run at that scale", "ours on the same question", "verdicts of hypotheses"),
    )
    files = [file_name(each).removesuffix(".md") for each in of_the_paper()]
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *files, "```"])
    return text.written(
        "The paper, figure by figure", (text.paragraph(told), text.table(header, rows), toctree)
    )
