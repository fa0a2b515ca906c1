# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""results/: its tables are those of its raw results, and the READMEs show no other numbers."""

from collections import Counter
from pathlib import Path

import pytest

from dormant.report.claims import page_text
from dormant.report.experiment_tables import experiment_tables
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from dormant.report.tables import csv_text
from dormant.report.verdicts import UNFINISHED
from dormant.reproduce import catalog
from dormant.reproduce.jobs import experiment_file, jobs

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
MEASURES = "measures"  # two runs that show what each measure looks like
ATARI = "atari"  # two runs that were stopped long before the paper's length
EXPERIMENTS = sorted(
    path.name
    for path in RESULTS.iterdir()
    if path.is_dir() and path.name not in (UNFINISHED, MEASURES, ATARI)
)
SEEDS = 10


# Those of the first sweep, which the page of results shows whole.
SHOWN = ("minatar_replay_ratio", "minatar_fixed_budget", "minatar_utility", "minatar_prune")
# Those that docs/evidence.md tells of, as far as they are done.
EVIDENCE = (
    *("minatar_convolution", "minatar_rates", "minatar_tau", "minatar_width", "minatar_offline"),
    *("minatar_long", "minatar_interventions", "minatar_distillation", "digits"),
)


def main_table(name):
    """The lines of the first table, as Markdown; header and rows without the line between."""
    (path,) = (RESULTS / name / "tables").glob("00-*.md")
    lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith("|")]
    return lines[:1] + lines[2:]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def shown(interval):
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}] ({interval.runs})"


@pytest.mark.parametrize("path", sorted((RESULTS / UNFINISHED).glob("*.csv")), ids=str)
def test_of_a_sweep_that_is_not_done_whole_cells_are_kept(path):
    planned = {
        (run.method, run.setting, run.game, run.seed): run.agent_steps
        for job in jobs(catalog.find(path.stem), "mini", Path("x"))
        for run in job.runs
    }
    runs = read_folder(path).runs
    for run in runs:
        key = (run.method, run.setting, run.game, run.seed)
        assert planned[key] == run.agent_steps[-1]
    counts = Counter((run.method, run.setting, run.game) for run in runs)
    assert set(counts.values()) == {SEEDS}


def test_every_experiment_that_was_run_is_here():
    assert set(EXPERIMENTS) == {*SHOWN, *EVIDENCE}


@pytest.mark.parametrize("name", SHOWN)
def test_the_main_table_is_that_of_the_raw_results(name):
    collection = read_folder(RESULTS / name / "results.csv")
    settings = list(dict.fromkeys(run.setting for run in collection.runs))
    header, *rows = map(cells, main_table(name))
    methods = header[-len({run.method for run in collection.runs}) :]
    assert len(rows) == len(settings)
    statistics = Statistics(collection)
    for row, setting in zip(rows, settings, strict=True):
        expected = [shown(statistics.aggregate(method, setting)) for method in methods]
        assert row[-len(methods) :] == expected


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_all_tables_of_returns_and_dormancy_are_those_of_the_raw_results(name):
    collection = read_folder(RESULTS / name / "results.csv")
    if name in EVIDENCE:
        experiment = catalog.find(name)
        planned = jobs(experiment, "mini", Path("x"))
        collection = collection._replace(
            experiment=experiment_file(experiment, "mini", planned, "")
        )
    made = experiment_tables(Statistics(collection))
    # The last measurement, which these are of, is not in the raw results, but its iteration's mean.
    last = [table for table in made if table.title.startswith(("Overlap", "Effective rank"))]
    assert len(last) < len(made)
    for number, table in enumerate(made):
        if table not in last:
            (path,) = (RESULTS / name / "tables").glob(f"{number:02d}-*.csv")
            assert path.read_text("utf-8") == csv_text(table)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_has_all_its_runs(name):
    runs = read_folder(RESULTS / name / "results.csv").runs
    found = [(run.method, run.setting, run.game, run.seed) for run in runs]
    planned = [
        (run.method, run.setting, run.game, run.seed)
        for job in jobs(catalog.find(name), "mini", Path("x"), seeds=SEEDS)
        for run in job.runs
    ]
    assert sorted(found) == sorted(planned)


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_of_results_shows_the_table(name):
    text = (RESULTS / "README.md").read_text("utf-8")
    assert all(line in text for line in main_table(name))


def test_the_page_of_evidence_has_the_numbers_of_the_atari_runs():
    text = (ROOT / "docs" / "evidence.md").read_text("utf-8")
    plain, redo = read_folder(RESULTS / ATARI / "results.csv").runs
    assert (plain.method, redo.method) == ("DQN", "DQN + ReDo")
    assert {(run.game, run.seed, run.agent_steps.size) for run in (plain, redo)} == {
        ("DemonAttack", 0, 14)
    }
    for at in (1, 2, 4, 7, 10, 13):
        cells = [str(at + 1)]
        for run in (plain, redo):
            percents = [run.measured[f"dormant_percent_tau_{tau}"][at] for tau in (0, 0.025, 0.1)]
            cells += [f"{run.agent_steps[at]:,.0f}", f"{run.returns[at]:.0f}"]
            cells.append(" / ".join(f"{percent:.1f}" for percent in percents))
        assert f"| {' | '.join(cells)} |" in text


def test_the_readme_shows_the_claims_that_were_tested():
    text = (ROOT / "README.md").read_text("utf-8")
    shown = [row for row in page_text(RESULTS, True).splitlines() if row.startswith("|")]
    assert len(shown) > 10 and all(row in text for row in shown)
    assert "| digits: 22.4k |" in text
