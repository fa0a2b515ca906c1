# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs of an experiment: skipped, resumed, tried again, interrupted. The processes here put runs
in place that were written before; the slow test has real training."""

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dormant.records.experiment_file import ExperimentFile, read_experiment, to_json
from dormant.records.files import EXPERIMENT_FILE, FINISHED_FILE, LEASE_FILE
from dormant.records.results import RunResult
from dormant.records.run_folders import read_planned
from dormant.report.csv_writing import write_csv
from dormant.report.sources import read_folder
from dormant.reproduce import catalog, running
from dormant.reproduce.command_line import main
from dormant.reproduce.engines.local import Local
from dormant.reproduce.engines.places import Place
from dormant.reproduce.experiment_folder import held
from dormant.reproduce.jobs import Job
from dormant.reproduce.jobs import jobs as jobs_of
from dormant.reproduce.progress import State, reached, state_of
from dormant.reproduce.running import Budgets, log_of
from tests.report.hostile_runs import planned_runs, write_run

GIN_CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "gin_configs"
# Tried for the first time it does half of the run and fails; then it makes the run whole.
HALF = """
import pathlib, shutil, sys
prepared, place = sys.argv[1:3]
mark = pathlib.Path(place + ".mark")
source = prepared if mark.exists() or "once" in sys.argv else prepared + "-half"
shutil.rmtree(place, ignore_errors=True)
shutil.copytree(source, place)
if source != prepared:
    mark.touch()
    print("it broke")
    sys.exit(3)
"""


def run_jobs(jobs, folder, parallel=1, retries=1, inherited=()):
    engine = Local(folder, [Place()] * parallel, inherited)
    return running.run_jobs(jobs, folder, engine, Budgets(retries))


@pytest.fixture
def prepared(tmp_path):
    """Two jobs whose processes copy these runs into place; folder, jobs."""
    folder, store = tmp_path / "experiment", tmp_path / "store"
    folder.mkdir()
    jobs = []
    for run in planned_runs()[:2]:
        write_run(store, run)
        half = run._replace(folder=f"{run.folder}-half")
        write_run(store, half, status="failed", error="it broke", iterations=2)
        arguments = ("-c", HALF, str(store / run.folder), str(folder / run.folder))
        jobs.append(Job(run.folder, arguments, (run,), "", 1))
    return folder, jobs


def test_what_failed_is_tried_again_and_then_skipped(prepared, capsys):
    folder, jobs = prepared
    assert run_jobs(jobs, folder, parallel=2, retries=1) == []
    assert "failed and is tried again: exit code 3: it broke" in capsys.readouterr().err
    for job in jobs:
        lines = log_of(folder, job).read_text("utf-8").splitlines()
        assert lines.count("it broke") == 1
        assert state_of(folder, job.runs[0]).status == "finished"
    before = log_of(folder, jobs[0]).read_bytes()
    assert before.count(b"$ python") == 2
    assert run_jobs(jobs, folder) == []
    assert log_of(folder, jobs[0]).read_bytes() == before


def test_what_fails_too_often_is_listed_and_the_others_run(prepared):
    folder, jobs = prepared
    jobs[1] = Job(jobs[1].name, (*jobs[1].arguments, "once"), jobs[1].runs, "", 1)
    (failure,) = run_jobs(jobs, folder, retries=0)
    assert failure.job is jobs[0] and failure.problem == "exit code 3: it broke"
    assert state_of(folder, jobs[0].runs[0]).status == "failed"
    assert state_of(folder, jobs[1].runs[0]).status == "finished"
    assert reached(folder, jobs[0].runs[0]) == 2000
    assert reached(folder, jobs[1].runs[0]) == 5000


def test_what_needs_a_run_waits_for_it_and_is_listed_where_it_fails(prepared):
    folder, (first, second) = prepared
    # In this order it would be started first.
    arguments = (*second.arguments, "once")
    reading = dataclasses.replace(second, needs=(first.name,), arguments=arguments)
    (failure, waiting) = run_jobs([reading, first], folder, parallel=2, retries=0)
    assert failure.job is first and waiting.job is reading
    assert waiting.problem == f"it was not started: it needs {first.name}"
    assert not log_of(folder, reading).exists()
    assert run_jobs([reading, first], folder, parallel=2, retries=0) == []
    begun = [log_of(folder, job).stat().st_mtime_ns for job in (first, reading)]
    assert begun == sorted(begun)


def test_what_was_made_elsewhere_is_not_made_again_and_is_in_the_report(prepared, tmp_path):
    folder, jobs = prepared
    assert run_jobs(jobs[:1], folder, retries=1) == []
    table = tmp_path / "results.csv"
    write_csv([read_planned(folder, jobs[0].runs[0]).result], table)
    another = tmp_path / "another"
    another.mkdir()
    shutil.copy(table, another / FINISHED_FILE)
    # As Excel saves it.
    (another / FINISHED_FILE).write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert state_of(another, jobs[0].runs[0]).status == "finished"
    assert reached(another, jobs[0].runs[0]) == 5000
    assert run_jobs(jobs[:1], another) == [] and not (another / "logs").exists()
    assert state_of(another, jobs[1].runs[0]).status == "not started"
    longer = jobs[0].runs[0]._replace(agent_steps=5001)
    assert state_of(another, longer).status == "not started"

    planned = (jobs[0].runs[0], jobs[1].runs[0])
    file = ExperimentFile("x", "mini", "t", "e", "", ("return",), "DQN", "c", planned, ())
    (another / EXPERIMENT_FILE).write_text(to_json(file))
    found = read_folder(another)
    assert [run.seed for run in found.runs] == [planned[0].seed] and len(found.absent) == 1
    assert "1 runs were made elsewhere: finished.csv has them" in found.notes


def test_what_was_made_elsewhere_is_no_command_of_a_dry_run(tmp_path, capsys):
    folder, table = tmp_path / "x", tmp_path / "results.csv"
    asked = ["fig1", "--scale=paper", "--games=Pong", f"--finished={table}", "--dry_run"]
    planned = jobs_of(catalog.find("fig1"), "paper", folder, games=["Pong"])
    (made,) = planned[0].runs
    lines = ["method,setting,game,seed,agent_step,return"]
    lines.append(f"{made.method},{made.setting},{made.game},{made.seed},{made.agent_steps},1")
    table.write_text("\n".join(lines) + "\n", "utf-8")
    assert main([*asked, f"--base_dir={folder}"]) == 0
    printed = capsys.readouterr().out
    assert f"# finished: {made.folder}\n" in printed and f"/{made.folder} " not in printed
    assert printed.count("python -m ") == len(planned) - 1 and not folder.exists()
    assert f"\n# {len(planned) - 1} runs, " in printed


@pytest.mark.parametrize("is_named", [True, False])
def test_a_table_of_another_experiment_is_refused(is_named, tmp_path, capsys):
    # The same methods and games at the same length, with other networks.
    folder = tmp_path / ("elsewhere" if is_named else "minatar_convolution")
    folder.mkdir()
    made = jobs_of(catalog.find("minatar_convolution"), "mini", folder)[0].runs[0]
    steps, nothing = np.array([float(made.agent_steps)]), np.array([np.nan])
    run = RunResult(made.method, made.setting, made.value, made.game, 0, steps, steps, nothing)
    table = folder / "results.csv"
    write_csv([run], table, experiment="minatar_convolution" if is_named else "")
    asked = [f"--base_dir={tmp_path / 'x'}", "--scale=mini", f"--finished={table}", "--dry_run"]
    assert main(["minatar_convolution", *asked]) == 0
    assert main(["minatar_long", *asked]) == 2
    said = "must be a table of runs of minatar_long; got"
    assert said in (error := capsys.readouterr().err) and "is of minatar_convolution" in error


def test_a_file_that_is_no_table_of_results_is_refused(tmp_path, capsys):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    folder = tmp_path / "x"
    arguments = ["minatar_prune", f"--base_dir={folder}", f"--finished={path}"]
    assert main(arguments) == 2
    assert "`--finished` must be a results.csv that" in capsys.readouterr().err
    assert main([*arguments[:2], f"--finished={tmp_path / 'none.csv'}"]) == 2
    assert "`--finished` must be a results.csv that" in capsys.readouterr().err
    assert not folder.exists()
    # The folder's own, damaged since.
    folder.mkdir()
    (folder / FINISHED_FILE).write_text("a,b\n1,2\n")
    assert main(arguments[:2]) == 2
    assert f"got {folder / FINISHED_FILE}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(",return", ",score"), "it lacks the column return"),
        (lambda text: text.replace(",5\n", ",abc\n"), "line 2: could not convert string to float"),
        (lambda text: text.replace(",5\n", ",nan\n"), "line 2: its return is no finite number"),
        (lambda text: text[:-3], "line 2: it has other fields than the header"),
        (lambda text: text[:-1], "line 2: it has no end, and may be cut off"),
        (lambda text: text + text.splitlines()[1] + "\n", "line 3: its agent_step is not above"),
        (
            lambda text: text + text.splitlines()[1].replace(",5", "0,5") + "\n",
            "(of another scale?)",
        ),
    ],
)
def test_a_table_of_runs_that_no_report_would_read_is_refused(change, said, tmp_path, capsys):
    folder, table = tmp_path / "x", tmp_path / "results.csv"
    made = jobs_of(catalog.find("fig1"), "smoke", folder)[0].runs[0]
    line = f"{made.method},{made.setting},{made.game},{made.seed},{made.agent_steps},5\n"
    good = "method,setting,game,seed,agent_step,return\n" + line
    asked = ["fig1", "--scale=smoke", f"--base_dir={folder}", "--dry_run", f"--finished={table}"]
    table.write_text(good, "utf-8")
    assert main(asked) == 0
    table.write_text(change(good), "utf-8")
    capsys.readouterr()
    assert main(asked) == 2
    assert said in capsys.readouterr().err and not folder.exists()


def test_a_run_that_cannot_be_read_is_listed_and_not_touched(prepared):
    folder, jobs = prepared
    write_run(folder, jobs[0].runs[0])
    metrics = folder / jobs[0].name / "metrics.jsonl"
    metrics.write_text(metrics.read_text("utf-8")[:-300], encoding="utf-8")
    before = metrics.read_bytes()
    (failure,) = run_jobs(jobs[:1], folder)
    assert "metrics.jsonl" in failure.problem and metrics.read_bytes() == before
    assert not log_of(folder, jobs[0]).exists()
    # The half line that an unfinished run may end with is passed over.
    assert 0 < reached(folder, jobs[0].runs[0]) <= 5000


def test_a_finished_run_without_records_is_not_whole_and_the_way_out_is_named(prepared):
    folder, jobs = prepared
    write_run(folder, jobs[0].runs[0])
    (folder / jobs[0].name / "metrics.jsonl").unlink()
    assert state_of(folder, jobs[0].runs[0]).status == "unreadable"
    (failure,) = run_jobs(jobs[:1], folder)
    assert "there is no metrics.jsonl" in failure.problem
    assert f"to run it anew remove {folder / jobs[0].name}" in failure.problem


def test_a_run_that_ended_before_its_first_record_says_how(prepared):
    folder, jobs = prepared
    failed, running = (job.runs[0] for job in jobs[:2])
    write_run(folder, failed, status="failed", error="NotFinite: the loss", iterations=0)
    write_run(folder, running, status="running", iterations=0)
    absences = [read_planned(folder, run).absence for run in (failed, running)]
    assert [(each.status, each.problem) for each in absences] == [
        ("failed", "NotFinite: the loss"),
        ("running", "it has no records yet"),
    ]


def test_a_run_that_outlives_its_sweep_holds_the_folder(tmp_path):
    with held(tmp_path) as descriptor:
        # As a run whose parent was killed: it has inherited the lease and nothing else.
        child = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,))
    try:
        with pytest.raises(ValueError, match="no other process works on"), held(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()
    with held(tmp_path):
        pass


def test_a_sweep_that_was_taken_over_leaves_its_successors_plan(tmp_path):
    for is_own in (True, False):
        folder = tmp_path / str(is_own)
        with pytest.raises(ValueError, match="a mistake"), held(folder):
            (folder / EXPERIMENT_FILE).write_text("{}", "utf-8")
            if not is_own:
                successors = '{"attempt": 2, "held": true, "token": "the successor"}'
                (folder / LEASE_FILE).write_text(successors, "utf-8")
            raise ValueError("a mistake")
        assert folder.exists() != is_own


def test_the_processes_of_a_sweep_hold_its_lease(prepared):
    folder, jobs = prepared
    looks = "import os, sys; os.fstat(int(sys.argv[1])); sys.exit(7)"
    with held(folder) as descriptor:
        job = Job("x", ("-c", looks, str(descriptor)), jobs[0].runs, "", 1)
        (failure,) = run_jobs([job], folder, retries=0, inherited=(descriptor,))
    assert failure.problem.startswith("exit code 7")


def test_a_plan_with_another_binding_is_another_plan(tmp_path):
    from dormant.reproduce import catalog
    from dormant.reproduce.experiment_folder import check_plan, write_plan
    from dormant.reproduce.jobs import experiment_file, jobs

    experiment = catalog.find("minatar_prune")
    folder = tmp_path / "with a space"
    folder.mkdir()
    file = experiment_file(experiment, "smoke", jobs(experiment, "smoke", folder), "it")
    write_plan(folder, file)
    moved = experiment_file(experiment, "smoke", jobs(experiment, "smoke", tmp_path), "it")
    check_plan(folder, moved)
    first, *others = file.runs
    changed = first._replace(command=first.command.replace("training_steps = 1_000", "2_000"))
    assert changed != first
    with pytest.raises(ValueError, match="7 of them as asked for"):
        check_plan(folder, file._replace(runs=(changed, *others)))


@pytest.mark.parametrize("name", ["studies", "s", "with 'quotes'"])
def test_a_plan_stays_the_same_where_its_folder_is_called_as_other_paths_are(name, tmp_path):
    from dormant.reproduce import catalog
    from dormant.reproduce.experiment_folder import identity
    from dormant.reproduce.jobs import jobs

    for experiment in ("digits", "fig8"):
        planned, moved = (
            jobs(catalog.find(experiment), "paper", pathlib.Path(folder))
            for folder in (name, "moved")
        )
        assert [identity(job.runs[0]) for job in planned] == [
            identity(job.runs[0]) for job in moved
        ]


def test_a_dry_run_prints_the_commands_and_writes_nothing(tmp_path, capsys):
    folder = tmp_path / "x"
    assert main(["fig1", "--scale=mini", f"--base_dir={folder}", "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("python -m dormant.train ") == 24 == printed.count("# to run: ")
    assert "24 runs, 12,000,000 agent steps; nothing was started" in printed
    assert not folder.exists()


def test_another_gin_file_of_the_same_name_is_not_taken_silently(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["fig1", "--scale=paper", "--games=Pong", "--dry_run"]
    shutil.copy(GIN_CONFIGS / "fig01_dqn.gin", "fig01_dqn.gin")
    assert main(asked) == 0
    pathlib.Path("fig01_dqn.gin").write_text("LearnerOptions.replay_ratio = 4")
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert "no other fig01_dqn.gin than dormant's own; got '" in error and error.count("\n") == 1


def test_data_is_asked_for_only_where_a_run_is_left_that_reads_it(tmp_path, monkeypatch, capsys):
    from dormant.reproduce import command_line

    folder, data = tmp_path / "x", tmp_path / "data"
    (data / "dqn_replay" / "Asterix" / "1" / "replay_logs").mkdir(parents=True)
    asked = ["fig4", "--scale=paper", f"--base_dir={folder}", f"--data={data}", "--games=Asterix"]
    # Seed 1 reads the data set's second run.
    assert main([*asked, "--seeds=2"]) == 2
    assert "dqn_replay/Asterix/2/replay_logs for" in capsys.readouterr().err and not folder.exists()
    assert main([*asked, "--seeds=2", "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert f"# to run, lacks {data}/dqn_replay/Asterix/2/replay_logs: offline_dqn/Ast" in printed
    assert "# to run: offline_dqn/Asterix/seed_0" in printed
    monkeypatch.setattr(command_line, "run_jobs", lambda *unused, **options: [])
    assert main([*asked, "--seeds=1"]) == 0
    # The same plan, its runs done and the data gone.
    monkeypatch.setattr(command_line, "state_of_job", lambda *unused: State("finished", ""))
    assert main([*asked, "--seeds=1", "--data=/nowhere"]) == 0


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ([], "`name` must be an experiment that --list shows, or module:NAME of one of your own;"),
        (["fig77"], "got 'fig77'"),
        (["fig1", "--parallel=0"], "`--parallel` must be a whole number >= 1; got 0"),
        (["fig1", "--parallel=999999999"], "`--parallel` must be a whole number from 1 to 10000;"),
        (["fig1", "--seeds=999999999"], "or a range such as 5:10, of at most 10,000 seeds; got"),
        (["fig1", "--retries=-1"], "`--retries` must be a whole number >= 0; got -1"),
        (["fig1", "--retries=2147483647"], "`--retries` must be a whole number from 0 to 1000000;"),
        (["fig1", "--games", "Tetris"], "got 'Tetris'"),
        (["fig1", "--base_dir="], "`--base_dir` must be the name of a folder; got ''"),
        (["fig4", "--data="], "`--data` must be the name of a folder; got ''"),
        (
            ["fig4", "--scale=paper", "--data=/nowhere"],
            "`--data` must be the folder of the data sets, with"
            " dqn_replay/DemonAttack/1/replay_logs for offline_dqn/DemonAttack/seed_0;"
            " docs/studies.md says where to get it; got '/nowhere'",
        ),
        (
            ["fig3", "--scale=mini", "--data=/nowhere"],
            "with cifar-10-batches-bin/data_batch_1.bin for fixed_labels/CIFAR-10/seed_0;",
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, problem, tmp_path, capsys):
    folder = tmp_path / "x"
    assert main([f"--base_dir={folder}", *arguments]) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1 and not folder.exists()


@pytest.mark.parametrize("other", ["--status", "--list", "--compile_for=cuda", "--merge=x"])
def test_of_what_is_done_instead_of_running_one_is_asked_for(other, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fig1", f"--base_dir={tmp_path / 'x'}", "--dry_run", other])
    error = capsys.readouterr().err
    assert "not allowed with argument" in error and error.count("\n") == 1


def test_another_plan_in_the_folder_and_another_process_are_refused(tmp_path, capsys):
    folder = tmp_path / "x"
    with held(folder):
        assert main(["minatar_prune", f"--base_dir={folder}"]) == 2
        assert "no other process works on" in capsys.readouterr().err
    from dormant.reproduce.experiment_folder import write_plan
    from dormant.reproduce.jobs import experiment_file

    experiment = catalog.find("minatar_prune")
    planned = jobs_of(experiment, "smoke", tmp_path / "elsewhere")
    write_plan(folder, experiment_file(experiment, "smoke", planned, "python -m it"))
    assert main(["minatar_prune", f"--base_dir={folder}", "--dry_run"]) == 0
    capsys.readouterr()
    assert main(["minatar_prune", f"--base_dir={folder}", "--seeds=3"]) == 2
    error = capsys.readouterr().err
    assert "holds minatar_prune at scale smoke with 8 runs" in error and "(python -m it)" in error
    assert main(["fig1", f"--base_dir={folder}"]) == 2


@pytest.mark.slow
def test_a_real_experiment_is_interrupted_resumed_and_reported(tmp_path):
    folder = tmp_path / "prune"
    command = [
        sys.executable, "-m", "dormant.reproduce", "minatar_prune", f"--base_dir={folder}",
        "--games", "Breakout-MinAtar",
    ]  # fmt: skip
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    checkpoint = folder / "dqn/Breakout-MinAtar/checkpoints/process_0/0"
    end = time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=120)
    assert first.returncode == 130 and "interrupted by SIGINT; the same command goes on" in error
    assert len(read_experiment(folder).runs) == 4
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs are whole" in done.stdout
    for run in read_experiment(folder).runs:
        details = json.loads((folder / run.folder / "run.json").read_text("utf-8"))
        assert details["status"] == "finished" and details["git_commit"] and details["versions"]
        assert (folder / run.folder / "config.gin").is_file()
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0
    report = [sys.executable, "-m", "dormant.report", str(folder)]
    shown = subprocess.run(report, capture_output=True, text=True, timeout=300, check=False)
    assert shown.returncode == 0, shown.stderr
    assert (folder / "report" / "report.html").is_file()
    assert (folder / EXPERIMENT_FILE).is_file()
