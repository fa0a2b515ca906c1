# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Parts of an experiment in several folders become one."""

import shutil
from pathlib import Path

import pytest

from dormant.records.experiment_file import read_experiment
from dormant.records.lease import Lease
from dormant.reproduce import catalog
from dormant.reproduce.command_line import main
from dormant.reproduce.experiment_folder import write_plan
from dormant.reproduce.jobs import experiment_file, jobs
from dormant.reproduce.progress import state_of
from tests.report.hostile_runs import METHODS, write_run

NAME, FLAGS = "minatar_prune", ["minatar_prune", "--scale=smoke"]


def part(folder, seeds=None, games=(), name=NAME, lost=()):
    """A folder in which all runs of a part are whole, but for those of lost games."""
    experiment = catalog.find(name)
    planned = jobs(experiment, "smoke", folder, seeds, games)
    write_plan(_made(folder), experiment_file(experiment, "smoke", planned, "it"))
    runs = [run for job in planned for run in job.runs]
    for run in runs:
        if run.game not in lost:
            _write(folder, run, iterations=run.agent_steps // 1000)
    return runs


def _write(folder, run, **options):
    write_run(folder, run._replace(method=METHODS[0]), **options)


def _made(folder):
    folder.mkdir()
    return folder


def games():
    return list(dict.fromkeys(run.game for job in _all() for run in job.runs))


def _all():
    return jobs(catalog.find(NAME), "smoke", Path("x"))


def test_games_and_seeds_of_several_folders_are_one_experiment(tmp_path, capsys):
    first, *others = games()
    part(tmp_path / "a", games=[first])
    part(tmp_path / "b", seeds=range(1), games=others)
    runs = part(tmp_path / "c", seeds=range(1, 2), games=others)
    assert {run.seed for run in runs} == {1}
    parts = [str(tmp_path / name) for name in "abc"]
    whole = tmp_path / "whole"
    assert main([*FLAGS, f"--base_dir={whole}", "--merge", *parts[:2]]) == 1
    out = capsys.readouterr().out
    assert "not taken: dqn/" in out and "of its 2 seeds the parts have 0 alone" in out
    assert main([*FLAGS, f"--base_dir={whole}", "--merge", *parts]) == 0
    planned = [run for job in _all() for run in job.runs]
    assert f"{len(planned)} of {len(planned)} runs are whole" in capsys.readouterr().out
    assert all(state_of(whole, run).status == "finished" for run in planned)
    # Nothing is left to run, and nothing is taken twice.
    assert main([*FLAGS, f"--base_dir={whole}"]) == 0
    shutil.rmtree(tmp_path / "a")
    assert main([*FLAGS, f"--base_dir={whole}", "--merge", *parts[1:]]) == 0
    assert "0 runs were taken" in capsys.readouterr().out


def test_what_is_not_whole_is_not_taken_and_what_was_begun_is_replaced(tmp_path, capsys):
    first, *_ = games()
    runs = part(tmp_path / "a", lost=[first])
    begun = next(run for run in runs if run.game != first)
    part(tmp_path / "whole", lost=games())
    _write(tmp_path / "whole", begun, status="failed", iterations=1)
    leftover = tmp_path / "whole" / f"{begun.folder}.part"
    leftover.mkdir()
    flags = [*FLAGS, f"--base_dir={tmp_path / 'whole'}", "--merge", str(tmp_path / "a")]
    assert main(flags) == 1
    there = {run for run in runs if state_of(tmp_path / "whole", run).status == "finished"}
    assert there == {run for run in runs if run.game != first} and not leftover.exists()


@pytest.mark.parametrize(
    "other, said",
    [
        (
            lambda folder: part(folder, name="minatar_fixed_budget"),
            "holds minatar_fixed_budget",
        ),
        (lambda folder: None, "`--merge` must be folders with an experiment.json; got "),
    ],
)
def test_a_folder_of_another_experiment_is_refused(tmp_path, other, said, capsys):
    other(tmp_path / "a")
    assert main([*FLAGS, f"--base_dir={tmp_path / 'x'}", "--merge", str(tmp_path / "a")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("text", ["0", "-1", "5:5", "6:5", "a", "1:2:3", ""])
def test_seeds_are_a_number_or_a_range(tmp_path, text, capsys):
    assert main([*FLAGS, f"--base_dir={tmp_path / 'x'}", f"--seeds={text}", "--dry_run"]) == 2
    error = capsys.readouterr().err
    assert "`--seeds` must be" in error and error.count("\n") == 1


def test_a_part_that_a_process_works_on_is_left_alone(tmp_path, capsys):
    runs = part(tmp_path / "a")
    part(tmp_path / "whole", lost=games())
    lease = Lease(tmp_path / "whole" / runs[0].folder / "checkpoints" / "process_0")
    lease.acquire()
    flags = [*FLAGS, f"--base_dir={tmp_path / 'whole'}", "--merge", str(tmp_path / "a")]
    assert main(flags) == 2
    assert "no other process works on" in capsys.readouterr().err
    lease.release()
    assert main(flags) == 0


@pytest.mark.parametrize("joined", [False, True])
def test_the_plan_keeps_the_command_that_goes_on(tmp_path, joined):
    part(tmp_path / "a")
    merged, base = str(tmp_path / "a"), f"--base_dir={tmp_path / 'whole'}"
    flags = [f"--merge={merged}", *FLAGS] if joined else [*FLAGS, "--merge", merged]
    assert main([*flags, base]) == 0
    command = read_experiment(tmp_path / "whole").command
    assert command == f"python -m dormant.reproduce {' '.join(FLAGS)} --base_dir={tmp_path}/whole"
