# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What of the engine needs no Slurm: its options, and what it makes of Slurm's answers. tests/slurm
has those on a real one."""

import pytest

from dormant.reproduce.command_line import main
from dormant.reproduce.engines import slurm
from dormant.reproduce.engines.engine import Ended
from dormant.reproduce.engines.slurm import Handle, Report, Slurm, read_options

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


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """`answers(queue, accounts)`: an engine of a submission of seven tasks, and what Slurm says."""

    def make(queue, accounts):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in (("squeue", queue), ("sacct", accounts)):
            (folder / f"{name}.txt").write_text(text or "", "utf-8")
            program = f'#!/bin/sh\ncat "$0.txt"\nexit {0 if text is not None else 1}\n'
            (folder / name).write_text(program, "utf-8")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        own = tmp_path / "engine" / "slurm"
        own.mkdir(parents=True)
        (own / "1.names").write_text("a\nb\nc\nd\ne\nf\ng\n", "utf-8")
        (own / "1.id").write_text("2;cluster\n", "utf-8")
        (own / "1_2.log").write_text("worker: it is wrong\n", "utf-8")
        (own / "2.names").write_text("a\n", "utf-8")  # sbatch was never called
        (own / "2.id").write_text("", "utf-8")
        return Slurm(tmp_path)

    return make


def test_what_slurm_says_becomes_how_a_task_ended(answers):
    engine = answers(QUEUE, ACCOUNTS)
    handles = engine.handles()
    assert handles == {name: Handle(1, "2", index) for index, name in enumerate("abcdefg")}
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
    said = "1 tasks wait (1 for BeginTime), 1 run: squeue --jobs=2; the same command settles"
    assert engine.report().startswith(said)


def test_without_accounting_nobody_knows_how_it_ended(answers):
    assert answers(QUEUE, None).poll(Handle(1, "2", 6)) == Ended(None)


def test_where_the_queue_does_not_answer_nothing_has_ended(answers, capsys):
    engine = answers(None, ACCOUNTS)
    assert engine.poll(Handle(1, "2", 0)) is None and engine.report() == ""
    assert "squeue must succeed; got exit code 1: ; nothing is taken" in capsys.readouterr().err


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """An sbatch that refuses all that it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    put_sbatch(folder, "echo no such partition >&2\nexit 1")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def put_sbatch(folder, script):
    (folder / "sbatch").write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    (folder / "sbatch").chmod(0o755)


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
    ],
)
def test_what_sbatch_refuses_leaves_no_plan(sbatch, tmp_path, monkeypatch, capsys, script, said):
    monkeypatch.chdir(tmp_path)
    if script is not None:
        put_sbatch(tmp_path / "bin", script)
    assert main(["minatar_prune", "--engine=slurm", "--base_dir=x"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"dormant.reproduce: {said}"
    assert not (tmp_path / "x").exists()


def test_what_sbatch_took_before_it_refused_stays_submitted(sbatch, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "_LARGEST_ARRAY", 1)
    put_sbatch(tmp_path / "bin", 'test -e "$0.called" && exit 1\ntouch "$0.called"; echo 7')
    assert main(["minatar_prune", "--engine=slurm", "--base_dir=x"]) == 2
    assert (tmp_path / "x" / "experiment.json").exists()
    assert [each.array for each in Slurm(tmp_path / "x").handles().values()] == ["7"]
