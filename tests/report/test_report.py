# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command: what it writes and prints, and that a mistake leaves nothing behind."""

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dormant.records.schema import POOLED
from dormant.report.bootstrap import Bootstrap
from dormant.report.charts import all_charts
from dormant.report.command_line import main
from dormant.report.experiment_tables import experiment_tables
from dormant.report.page_data import NUMBERS_OF_A_PAGE, page_data, script_json
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics
from tests.report.conftest import write_plan
from tests.report.hostile_runs import planned_runs, write_run

FEW = ["--repetitions=20"]
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@pytest.fixture(scope="module")
def report(experiment_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("reports") / "report"
    assert main([str(experiment_folder), f"--output={output}", *FEW]) == 0
    return output


def test_the_folder_is_whole(report):
    assert {path.name for path in report.iterdir()} == {
        "report.html", "tables", "figures", "results.csv"
    }  # fmt: skip
    assert {path.suffix for path in (report / "tables").iterdir()} == {".md", ".csv", ".tex"}
    figures = {path.name for path in (report / "figures").iterdir()}
    names = ("sweep", "sample-efficiency", "profiles", "returns", "dormancy", "overlap")
    names += ("dormancy-layers-00-Asterix", "dormancy-layers-01-Pong")
    assert figures == {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert [path.name for path in report.parent.iterdir()] == ["report"]


def test_nothing_from_runs_is_markup_and_nothing_is_loaded(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert text.count("</script>") == 3
    policy = text.split('Content-Security-Policy" content="')[1].split('"')[0]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy


def test_the_table_and_the_paths_are_printed_and_a_report_is_replaced(
    experiment_folder, report, tmp_path, capsys
):
    output = tmp_path / "again"
    shutil.copytree(report, output)
    (output / "report.html").write_text("of an earlier run")
    assert main([str(experiment_folder), f"--output={output}", *FEW]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("**IQM of human-normalized")
    assert str(output / "report.html") in printed
    for path in report.rglob("*.*"):
        assert (output / path.relative_to(report)).read_bytes() == path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--repetitions=0"], "in [1, 100,000]; got 0"),
        (["--repetitions=1000000000000"], "in [1, 100,000]; got 1000000000000"),
        (["--seed=-1"], "[0, 2**32); got -1"),
    ],
)
def test_a_wrong_number_is_one_line_and_writes_nothing(
    experiment_folder, tmp_path, capsys, wrong, message
):
    output = tmp_path / "report"
    assert main([str(experiment_folder), f"--output={output}", *wrong]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not output.exists()


def test_a_folder_that_is_no_report_is_left_alone(experiment_folder, tmp_path, capsys):
    mine = tmp_path / "thesis.txt"
    mine.write_text("mine", encoding="utf-8")
    assert main([str(experiment_folder), f"--output={tmp_path}", *FEW]) == 2
    assert "must be new, empty or an earlier report" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("make", [False, True])
def test_an_absent_or_empty_folder_is_one_line(tmp_path, capsys, make):
    folder = tmp_path / "runs"
    if make:
        folder.mkdir()
    assert main([str(folder)]) == 2
    error = capsys.readouterr().err
    assert str(folder) in error and error.count("\n") == 1
    assert not (folder / "report").exists()


def test_json_in_a_script_cannot_end_it_and_means_the_same():
    data = {"</script>": ["<!--", "a&b", "\u2028\u2029", "'\""]}
    text = script_json(data)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == data
    with pytest.raises(ValueError):
        script_json([float("nan")])


def test_many_long_runs_stay_within_the_page(experiment_folder):
    collection = read_folder(experiment_folder)
    run = collection.runs[0]
    steps = np.arange(1.0, 5001.0)
    long = run._replace(agent_steps=steps, returns=np.where(steps % 7, steps, np.nan))
    measurement = run.records.tracking[-1]
    tracking = tuple(measurement._replace(gradient_step=number) for number in range(500))
    long = long._replace(records=run.records._replace(tracking=tracking))
    many = collection._replace(runs=tuple(long._replace(seed=seed) for seed in range(160)))
    many = many._replace(partial=(), absent=())
    statistics = Statistics(many, Bootstrap(20))
    data = page_data(statistics, all_charts(statistics))
    numbers = sum(
        len(values)
        for one in data["runs"]
        for curves in one["curves"].values()
        for *_, values in curves.values()
    )
    assert len(data["runs"]) == 160 and 0.5 * NUMBERS_OF_A_PAGE < numbers <= NUMBERS_OF_A_PAGE
    agent, gradient, returns = data["runs"][0]["curves"]["return"][""]
    assert returns[-1] == data["steps"][agent][-1] == 5000 and gradient is None
    assert len(data["texts"]) == 2 and len(data["steps"]) < 20  # what is shared stands once
    assert len(gzip.compress(script_json(data).encode())) < 1_500_000


def test_everything_is_shown_at_the_experiments_tau(experiment_folder):
    given = read_folder(experiment_folder)
    at_zero = given._replace(experiment=given.experiment._replace(tau=0.0))
    titles = [table.title for table in experiment_tables(Statistics(at_zero, Bootstrap(20)))]
    assert any(title.startswith("Dormant % at tau 0,") for title in titles)
    pages = [page_data(Statistics(collection), ()) for collection in (given, at_zero)]
    names = [page["quantities"]["dormant_percent"] for page in pages]
    assert names == ["dormant neurons (%), tau = 0.1", "dormant neurons (%), tau = 0"]
    curves = [page["runs"][0]["curves"]["dormant_percent"][POOLED][2] for page in pages]
    record = given.runs[0].records.tracking[-1]
    assert [curve[-1] for curve in curves] == [
        pytest.approx(record.dormant_percent_pooled[record.taus.index(tau)], rel=1e-4)
        for tau in (0.1, 0.0)
    ]
    assert curves[0] != curves[1]


def test_one_game_has_a_table_of_returns_and_dormant_neurons(tmp_path, capsys):
    """As `python -m dormant.reproduce quickstart` leaves its folder."""
    runs = [run for run in planned_runs() if run.game == "Pong"]
    write_plan(tmp_path / "quickstart", runs, shows=("return", "dormant_percent"), scale="mini")
    for run in runs:
        write_run(tmp_path / "quickstart", run)
    output = tmp_path / "report"
    assert main([str(tmp_path / "quickstart"), f"--output={output}"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("**Results in Pong")
    assert (
        "| replay ratio | method | Final return | Dormant % at tau 0.1, last iteration |" in printed
    )
    # The last iteration has returns 6, 7 and 8, and 37 % of seed 0, 38 % and 39 % of the others.
    assert "| 0.25 | DQN | 7.0 [6.0, 8.0] (3) | 38.0 [37.0, 39.0] (3) |" in printed
    rows = [line.split(" | ")[0] for line in printed.splitlines() if line.startswith("|")]
    assert rows == ["| replay ratio", "| ---", "| 0.25", "| 0.25", "| 1", "| 1"]
    assert "smoke run" not in printed


def test_a_smoke_run_says_that_its_numbers_mean_nothing(
    report, experiment_folder, tmp_path, capsys
):
    assert main([str(experiment_folder), f"--output={tmp_path / 'again'}", *FEW]) == 0
    assert "note: This is a smoke run" in capsys.readouterr().out
    assert "Its numbers mean nothing" in (report / "report.html").read_text(encoding="utf-8")


def test_figures_that_do_not_apply_have_no_notes(tmp_path, capsys):
    path = tmp_path / "returns.csv"
    lines = [f"DQN,Tetris,{seed},{step},{seed + step}" for seed in range(3) for step in (1, 2)]
    path.write_text("\n".join(["method,game,seed,agent_step,return", *lines]), encoding="utf-8")
    assert main([str(path), *FEW]) == 0
    assert "note" not in capsys.readouterr().out
    figures = {path.stem for path in (tmp_path / "returns-report" / "figures").iterdir()}
    assert figures == {"returns"}


@needs_bash
def test_make_run_is_the_experiment_and_its_report():
    launcher = Path(__file__).resolve().parents[2] / "launchers" / "quickstart.sh"
    command = ["bash", str(launcher), "runs/mine", "--seeds=2"]
    environment = {**os.environ, "PYTHON": "echo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:2] == [
        "-m dormant.reproduce quickstart --base_dir=runs/mine --parallel=2 --seeds=2",
        "-m dormant.report runs/mine",
    ]


@needs_bash
@pytest.mark.parametrize("name", ["quickstart.sh", "quickstart_atari.sh", "gpu_node.sh"])
def test_a_flag_in_the_place_of_the_folder_starts_nothing(name):
    launcher = Path(__file__).resolve().parents[2] / "launchers" / name
    command = ["bash", str(launcher), *(["fig10"] if name == "gpu_node.sh" else []), "--dry_run"]
    environment = {**os.environ, "PYTHON": "echo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{name}: DIR must be a folder, and flags come after it; got --dry_run\n"


def test_a_link_in_the_place_of_a_report_stays_one(experiment_folder, tmp_path):
    published, link = tmp_path / "published", tmp_path / "report"
    published.mkdir()
    link.symlink_to(published)
    assert main([str(experiment_folder), f"--output={link}", *FEW]) == 0
    assert link.is_symlink() and (published / "report.html").is_file()
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert main([str(experiment_folder), f"--output={circle}", *FEW]) == 2
    assert circle.is_symlink()
