# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What of the engine needs no Slurm: its options, and what it makes of Slurm's answers. tests/slurm
has those on a real one."""

import os
import subprocess

import pytest

from dormant.records.experiment_file import read_experiment
from dormant.reproduce.command_line import main
from dormant.reproduce.engines import slurm
from dormant.reproduce.engines.engine import Ended
from dormant.reproduce.engines.slurm import Array, Handle, Report, Slurm, read_answer, read_options
from tests.report.hostile_runs import planned_runs, write_run

# Recorded of Slurm 22.05, without the spaces at the ends: a job that is no array's, and an array's
# tasks: one ended well, one was killed, one ended with exit code 2, one was queued again, one was
# cancelled, and one runs.
QUEUE = """\
2                   4                   CANCELLED                     15                  None
1                   N/A                 COMPLETED                     0                   None
2                   0                   COMPLETED                     0                   None
2                   2                   FAILED                        512                 NonZeroExitCode
2                   1                   FAILED                        9                   JobLaunchFailure
2                   3                   PENDING                       0                   BeginTime
2                   5                   RUNNING                       0                   None
"""  # noqa: E501
# From the manual of sacct: none was recorded.
ARRAY = Array("2", "b")
ACCOUNTS = "2_0|COMPLETED|0:0\n2_6|CANCELLED by 0|0:15\n2_2|FAILED|2:0\n2_[7-9]|PENDING|0:0\n"


def test_the_queue_is_read():
    found = slurm.read_queue(QUEUE)
    assert sorted(found) == [("2", index) for index in range(6)]
    assert found["2", 2] == Report("FAILED", 2, "NonZeroExitCode")
    assert found["2", 1] == Report("FAILED", -9, "JobLaunchFailure")
    assert found["2", 3] == Report("PENDING", 0, "BeginTime")


def test_the_accounts_are_read():
    found = slurm.read_accounts(ACCOUNTS)
    assert sorted(found) == [("2", 0), ("2", 2), ("2", 6)]
    assert found["2", 6] == Report("CANCELLED", -15) and found["2", 2].code == 2


@pytest.mark.parametrize(
    "text, array",
    [
        ("12\n", Array("12")),
        ("12;b\n", Array("12", "b")),
        ("Welcome to b: 7 news\n\n 12;b \n", Array("12", "b")),
        ("Submitted batch job 12\n", None),
        ("", None),
    ],
)
def test_the_array_is_what_sbatch_says_in_its_own_line(text, array):
    assert read_answer(text) == array


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """`answers(queue, accounts)`: an engine of a submission of seven tasks to a cluster that is not
    the default one, and what Slurm says of that."""

    def make(queue, accounts):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in (("squeue", queue), ("sacct", accounts), ("scancel", "")):
            (folder / f"{name}.txt").write_text(text or "", "utf-8")
            code = 0 if text is not None else 1
            asked = 'echo "$@" >>"$0.asked"; case "$*" in *--clusters=b*) cat "$0.txt";; esac'
            put_program(folder, name, f"{asked}\nexit {code}")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        own = tmp_path / "engine" / "slurm"
        own.mkdir(parents=True)
        (own / "1.names").write_text("a\nb\nc\nd\ne\nf\ng\n", "utf-8")
        (own / "1.id").write_text("2;b\n", "utf-8")
        (own / "1_2.log").write_text("worker: it is wrong\n", "utf-8")
        (own / "2.names").write_text("a\n", "utf-8")  # sbatch was never called
        (own / "2.id").write_text("", "utf-8")
        return Slurm(tmp_path)

    return make


def test_what_slurm_says_becomes_how_a_task_ended(answers):
    engine = answers(f"\nCLUSTER: b\n{QUEUE}", f"Welcome!\n{ACCOUNTS}")
    handles = engine.handles()
    assert handles == {name: Handle(1, ARRAY, index) for index, name in enumerate("abcdefg")}
    assert {name: engine.poll(handle) for name, handle in handles.items()} == {
        "a": Ended(0),
        "b": Ended(-9),
        "c": Ended(2, False, "exit code 2: worker: it is wrong"),
        "d": None,
        "e": Ended(-15, True, "Slurm says CANCELLED"),
        "f": None,
        "g": Ended(-15, True, "Slurm says CANCELLED"),  # which the accounting says
    }
    # A later process is told of the others only.
    assert list(Slurm(engine._folder).handles()) == ["d", "f"]
    said = "1 tasks wait (1 for BeginTime), 1 run: squeue --clusters=b --jobs=2; the same command"
    assert engine.report().startswith(said)


def test_tasks_are_cancelled_on_their_cluster(answers, tmp_path):
    engine = answers("", ACCOUNTS)  # they have left the queue
    engine.cancel([handle for name, handle in engine.handles().items() if name in "ac"])
    asked = (tmp_path / "bin" / "scancel.asked").read_text("utf-8")
    assert asked == "--clusters=b 2_0 2_2\n" and "a" not in engine.handles()


def test_without_accounting_nobody_knows_how_it_ended(answers):
    assert answers(QUEUE, None).poll(Handle(1, ARRAY, 6)) == Ended(None)


def test_where_the_queue_does_not_answer_nothing_has_ended(answers, capsys):
    engine = answers(None, ACCOUNTS)
    assert engine.poll(Handle(1, ARRAY, 0)) is None and engine.report() == ""
    assert "squeue must succeed; got exit code 1: ; nothing is taken" in capsys.readouterr().err


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """An sbatch that refuses all that it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    put_program(folder, "sbatch", "echo no such partition >&2\nexit 1")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def put_program(folder, name, script):
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    (folder / name).chmod(0o755)


def test_options_are_words_or_lines_of_a_file(sbatch, tmp_path):
    path = tmp_path / "options"
    path.write_text("# for the large nodes\n--partition=gpu\n\n  --comment=it's; $(x)\n", "utf-8")
    expected = ["--time=1-0", "--partition=gpu", "--comment=it's; $(x)"]
    assert read_options(["--time=1-0", str(path)]) == expected


@pytest.mark.parametrize(
    "word", ["-n1", "--", "--array=1", "--arr=1", "--wrap=x", "--a=\n", "no_file"]
)
def test_other_words_are_refused(sbatch, word):
    with pytest.raises(ValueError, match="`--slurm_options` must be (an option of sbatch|options)"):
        read_options([word])


def test_without_slurm_it_is_refused_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["minatar_prune", "--engine=slurm"]) == 2
    err = capsys.readouterr().err
    assert "`--engine` must be slurm only where there is an sbatch; got 'slurm'\n" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "script, said",
    [
        (None, "sbatch must succeed; got exit code 1: no such partition"),
        ("exit 0", "`sbatch` must be a command that prints the array's id; got ''"),
        ("echo job 7", "`sbatch` must be a command that prints the array's id; got 'job 7'"),
    ],
)
def test_what_sbatch_refuses_leaves_no_plan(sbatch, tmp_path, monkeypatch, capsys, script, said):
    monkeypatch.chdir(tmp_path)
    if script is not None:
        put_program(tmp_path / "bin", "sbatch", script)
    assert main(["minatar_prune", "--engine=slurm", "--base_dir=x"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"dormant.reproduce: {said}"
    assert not (tmp_path / "x").exists()


def test_what_sbatch_took_before_it_refused_stays_submitted(sbatch, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "_LARGEST_ARRAY", 1)
    script = 'test -e "$0.called" && exit 1\ntouch "$0.called"; echo 7'
    put_program(tmp_path / "bin", "sbatch", script)
    assert main(["minatar_prune", "--engine=slurm", "--base_dir=x"]) == 2
    assert (tmp_path / "x" / "experiment.json").exists()
    assert [each.array for each in Slurm(tmp_path / "x").handles().values()] == [Array("7")]
    # The number that was refused is not given again: Slurm may have its array all the same.
    put_program(tmp_path / "bin", "sbatch", "echo 8")
    put_program(tmp_path / "bin", "squeue", "exit 1")
    assert main(["minatar_prune", "--engine=slurm", "--base_dir=x"]) == 0
    assert {each.submission for each in Slurm(tmp_path / "x").handles().values()} == {1, 3, 4, 5}


@pytest.mark.parametrize("interrupted", [False, True])
def test_an_sbatch_that_is_late_comes_to_its_end_and_is_found(
    sbatch, tmp_path, monkeypatch, capsys, interrupted
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "_PATIENCE_SECONDS", 60.0 if interrupted else 0.1)
    interrupts = f"sleep 0.3; kill -INT {os.getpid()}" if interrupted else ":"
    waits = 'while test ! -e "$0.go"; do sleep 0.05; done; echo 7'
    put_program(tmp_path / "bin", "sbatch", f"{interrupts}\n{waits}")
    put_program(tmp_path / "bin", "squeue", "exit 1")
    command = ["minatar_prune", "--engine=slurm", "--base_dir=x"]
    assert main(command) == (130 if interrupted else 2)
    late = "dormant.reproduce: sbatch must answer within 0.1 s; got nothing so far"
    assert interrupted or capsys.readouterr().err.splitlines()[-1] == late
    # It holds the folder until it has answered.
    assert main(command) == 2 and "no other process works on" in capsys.readouterr().err
    (tmp_path / "bin" / "sbatch.go").touch()
    (process,) = slurm._late
    assert process.wait(10) == 0
    slurm._late.clear()
    assert main(command) == 0
    handles = Slurm(tmp_path / "x").handles().values()
    assert handles and {each.array for each in handles} == {Array("7")}


@pytest.mark.parametrize(
    "answer, runs", [("7", True), ("News!\n7;b\n", True), ("", True), ("8;b\n", False)]
)
def test_a_task_of_an_array_that_is_not_the_one_on_record_runs_nothing(tmp_path, answer, runs):
    own = tmp_path / "an $(odd) folder" / "1"
    own.parent.mkdir()
    own.with_suffix(".id").write_text(answer, "utf-8")
    done = subprocess.run(
        ["sh", slurm.TASK_SCRIPT, "echo", str(tmp_path), str(own), "1"],
        env={"PATH": "/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"},
        check=False,
    )
    (log,) = own.parent.glob("*.log")
    if runs:
        assert done.returncode == 0 and log.name == "1_0.log"
    else:
        assert done.returncode == 1 and log.name == "1_array_7.log"
        said = f"task 0 must be of array 8, which {own}.id names; got one of array 7"
        assert log.read_text("utf-8") == f"{said}: nothing is run\n"


@pytest.fixture
def cluster(sbatch, tmp_path, monkeypatch):
    """`cluster(state)`: all tasks that were submitted are in that state."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bin"
    counts = 'number=$(($(cat "$0.last" 2>/dev/null || echo 0) + 1)); echo $number | tee "$0.last"'
    put_program(folder, "sbatch", counts)

    def be(state):
        lines = "".join(f"{array} {task} {state} 256 None\n" for array in "123" for task in "0123")
        put_program(folder, "squeue", f"cat <<'END'\n{lines}END")

    return be


PACKED = ("fig21", "--scale=smoke", "--engine=slurm", "--seeds=2", "--base_dir=x")


def submitted(folder):
    """The names of each submission."""
    paths = sorted((folder / "engine" / "slurm").glob("*.names"))
    return [path.read_text("utf-8").splitlines() for path in paths]


def make_whole(folder, run):
    (other, *_) = planned_runs()
    own = {"folder": run.folder, "seed": run.seed, "agent_steps": run.agent_steps}
    write_run(folder, other._replace(**own))


def test_a_pack_that_has_ended_goes_on_as_what_is_left_of_it(cluster, tmp_path, capsys):
    folder, command = tmp_path / "x", [*PACKED, "--seeds_per_process=2"]
    assert main(command) == 0
    (first,) = submitted(folder)
    (pack,) = (name for name in first if "leaky" in name)
    game = pack.removesuffix("/seed_0_to_1")
    runs = [run for run in read_experiment(folder).runs if run.folder.startswith(f"{game}/")]
    assert len(runs) == 2 and pack != game
    make_whole(folder, runs[0])
    cluster("RUNNING")
    assert main(command) == 0 and submitted(folder) == [first]  # its task goes on
    cluster("FAILED")
    assert main([*command, "--retries=0"]) == 1  # the other's
    assert submitted(folder) == [first, [runs[1].folder]]
    assert pack not in Slurm(folder).handles()
    # What was submitted alone is known once all are whole, too.
    make_whole(folder, runs[1])
    cluster("RUNNING")
    assert main(command) == 0


def test_another_packing_is_refused_before_anything_is_written(cluster, tmp_path, capsys):
    folder = tmp_path / "x"
    assert main([*PACKED, "--seeds_per_process=2"]) == 0
    cluster("RUNNING")
    before = {
        path: path.read_bytes() for path in folder.rglob("*.json") if "lease" not in path.name
    }
    assert main(PACKED) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "dormant.reproduce: `--seeds_per_process` must be that of the call whose"
    )
    assert "seed_0_to_1" in said and before == {path: path.read_bytes() for path in before}
    cluster("FAILED")
    assert main(PACKED) == 0 and len(submitted(folder)) == 2
