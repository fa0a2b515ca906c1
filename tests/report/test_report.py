"""The command: what it writes and prints, and that a mistake leaves nothing behind."""

import json

import numpy as np
import pytest

from dormant.report.command_line import main
from dormant.report.experiment_tables import experiment_tables
from dormant.report.page_data import NUMBERS_OF_A_PAGE, page_data, script_json
from dormant.report.sources import read_folder

FEW = ["--repetitions=20"]


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
    experiment_folder, tmp_path, capsys
):
    output = tmp_path / "again"
    for _ in range(2):
        assert main([str(experiment_folder), f"--output={output}", *FEW]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith("**IQM of human-normalized")
        assert str(output / "report.html") in printed
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--repetitions=0"], "at least 1; got 0"),
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
    tracking = tuple(measurement._replace(gradient_step=number) for number in range(5000))
    long = long._replace(records=run.records._replace(tracking=tracking))
    many = collection._replace(runs=tuple(long._replace(seed=seed) for seed in range(640)))
    data = page_data(many._replace(partial=(), absent=()), 1, 0)
    numbers = sum(
        len(values)
        for one in data["runs"]
        for curves in one["curves"].values()
        for values in curves.values()
    )
    assert len(data["runs"]) == 640 and 0.5 * NUMBERS_OF_A_PAGE < numbers <= NUMBERS_OF_A_PAGE
    returns = data["runs"][0]["curves"]["return"][""]
    assert returns[-1] == 5000 and len(data["texts"]) == 2
    script_json(data)


def test_everything_is_shown_at_the_experiments_tau(experiment_folder):
    given = read_folder(experiment_folder)
    at_zero = given._replace(experiment=given.experiment._replace(tau=0.0))
    titles = [table.title for table in experiment_tables(at_zero, 20)]
    assert any(title.startswith("Dormant % at tau 0,") for title in titles)
    pages = [page_data(collection, 1, 0) for collection in (given, at_zero)]
    names = [page["quantities"]["dormant_percent"] for page in pages]
    assert names == ["dormant neurons (%), tau = 0.1", "dormant neurons (%), tau = 0"]
    curves = [page["runs"][0]["curves"]["dormant_percent"]["all hidden layers"] for page in pages]
    record = given.runs[0].records.tracking[-1]
    assert [curve[-1] for curve in curves] == [
        pytest.approx(record.dormant_percent_pooled[record.taus.index(tau)], rel=1e-4)
        for tau in (0.1, 0.0)
    ]
    assert curves[0] != curves[1]
