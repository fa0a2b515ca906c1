# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Where processes go on a machine with accelerators, and how seeds are packed into them."""

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

from dormant.reproduce import catalog, running
from dormant.reproduce.command_line import main
from dormant.reproduce.engines.engine import Task
from dormant.reproduce.engines.local import Local
from dormant.reproduce.engines.places import (
    Place,
    held_cores,
    places_of,
    read_accelerators,
    shares_of_cores,
)
from dormant.reproduce.jobs import Job, jobs
from dormant.reproduce.progress import Verified
from tests.report.hostile_runs import planned_runs, write_run

FOLDER = Path("runs/x")


FRACTIONS = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")


@pytest.fixture(autouse=True)
def no_gpu_chosen(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", *FRACTIONS):
        monkeypatch.delenv(name, raising=False)


def variables_of(accelerators):
    return [place.variables for place in places_of(accelerators)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no processes")
def test_processes_at_a_time_share_the_cores_out(monkeypatch, tmp_path):
    def shares(cores, processes):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
        return [sorted(share) for share in shares_of_cores(processes)]

    assert shares_of_cores(1) == [None]
    assert shares(2, 2) == [[0], [1]] and shares(5, 2) == [[0, 1], [2, 3]]
    assert shares(2, 3) == [[0], [1], [0]]
    monkeypatch.undo()

    core = max(os.sched_getaffinity(0))
    engine = Local(tmp_path, [Place(cores=frozenset({core}))])
    program = (
        "import time, os, threading; time.sleep(0.5)\n"
        "def tell(): print(os.sched_getaffinity(0))\n"
        "thread = threading.Thread(target=tell); thread.start(); thread.join()"
    )
    (handle,) = engine.submit([Task("one", ("-c", program), Path("one.log"), ())])
    assert handle.wait() == 0 and engine.poll(handle).code == 0
    assert (tmp_path / "one.log").read_text("utf-8").splitlines()[-1] == str({core})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no processes")
def test_cores_are_held_by_one_process_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    with held_cores(2, tmp_path / "cores") as two:
        assert two == {3, 5}
        with held_cores(2, tmp_path / "cores") as too_many:
            assert too_many is None
            with held_cores(1, tmp_path / "cores") as one:  # what was too few is not kept
                assert one == {7}
    with held_cores(3, tmp_path / "cores") as all_of_them:
        assert all_of_them == {3, 5, 7}
    (tmp_path / "file").write_text("")
    with held_cores(1, tmp_path / "file") as nowhere:
        assert nowhere is None


def test_a_tpu_chip_has_one_process_and_a_port_of_its_own():
    places = variables_of(read_accelerators("tpu:4", 1))
    assert [place["TPU_VISIBLE_CHIPS"] for place in places] == ["0", "1", "2", "3"]
    assert len({place["TPU_PROCESS_PORT"] for place in places}) == 4
    assert {place["TPU_PROCESS_BOUNDS"] for place in places} == {"1,1,1"}


def test_processes_share_a_gpu_by_memory(monkeypatch):
    places = variables_of(read_accelerators("gpu:2", 3))
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "1"] * 3
    assert all(float(place["XLA_PYTHON_CLIENT_MEM_FRACTION"]) * 3 < 1 for place in places)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    places = variables_of(read_accelerators("gpu:2", 1))
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["5", "7"]
    with pytest.raises(ValueError, match="no more than the 2 of CUDA_VISIBLE_DEVICES; got 'gpu:3'"):
        read_accelerators("gpu:3", 1)


@pytest.mark.parametrize("name", FRACTIONS)
def test_the_users_own_share_of_a_gpus_memory_stands(monkeypatch, name):
    monkeypatch.setenv(name, "0.3")
    places = variables_of(read_accelerators("gpu:1", 2))
    assert places == [{"CUDA_VISIBLE_DEVICES": "0"}] * 2


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--accelerators=gpu"], "`--accelerators` must be such as gpu:8 or tpu:4; got 'gpu'"),
        (["--accelerators=tpu:0"], "`--accelerators` must be such as"),
        (
            ["--accelerators=tpu:4", "--processes_per_accelerator=2"],
            "to one process; got 2",
        ),
        (["--accelerators=gpu:4", "--processes_per_accelerator=0"], "got 0"),
        (["--accelerators=gpu:4", "--parallel=2"], "left out with --accelerators; got 2"),
        (["--processes_per_accelerator=2"], "given with --accelerators only; got 2"),
        (["--seeds_per_process=0"], "`--seeds_per_process` must be"),
    ],
)
def test_a_mistake_is_one_line(flags, said, tmp_path, capsys):
    assert main(["fig1", f"--base_dir={tmp_path / 'x'}", *flags]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not (tmp_path / "x").exists()


def test_each_process_has_a_place_of_its_own_while_it_runs(tmp_path):
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.2)"
    engine = Local(tmp_path, places_of(read_accelerators("gpu:2", 1)))
    seen = []
    for turn in range(2):
        tasks = [Task(f"{turn}{k}", ("-c", code), Path(f"logs/{turn}{k}"), ()) for k in (0, 1)]
        for handle in engine.submit(tasks):
            while engine.poll(handle) is None:
                pass
        seen.append({(tmp_path / task.log).read_text("utf-8").split()[-1] for task in tasks})
    assert seen == [{"0", "1"}] * 2


def test_what_was_started_ends_where_the_next_cannot_be(tmp_path):
    (tmp_path / "logs" / "b").mkdir(parents=True)
    engine = Local(tmp_path, [Place()] * 2)
    code = "import time; time.sleep(60)"
    tasks = [Task(name, ("-c", code), Path(f"logs/{name}"), ()) for name in "ab"]
    with pytest.raises(IsADirectoryError):
        engine.submit(tasks)
    (process,) = engine._taken
    assert process.returncode is not None


def test_seeds_are_packed_and_each_run_stays_what_it_is():
    alone = jobs(catalog.find("fig1"), "paper", FOLDER, 5, ["Pong"])
    packed = jobs(catalog.find("fig1"), "paper", FOLDER, 5, ["Pong"], seeds_per_process=3)
    assert [len(job.runs) for job in packed] == [3, 2] * (len(alone) // 5)
    assert [run for job in packed for run in job.runs] == [run for job in alone for run in job.runs]
    first, second = packed[:2]
    assert "--gin_bindings=create_dormant_runner.seeds = 2" in second.arguments
    assert "--gin_bindings=LearnerOptions.seed = 3" in second.arguments
    assert f"--base_dir={FOLDER}/dqn/Pong" in second.arguments
    assert second.folders == ("dqn/Pong/seed_3", "dqn/Pong/seed_4")
    assert len({job.name for job in packed}) == len(packed)
    # Runs on the device are packed anyway, studies are not.
    for name, scale in [("minatar_long", "mini"), ("digits", "mini")]:
        assert jobs(catalog.find(name), scale, FOLDER) == jobs(
            catalog.find(name), scale, FOLDER, seeds_per_process=4
        )


def test_what_reads_a_packed_run_needs_it_however_it_is_packed():
    alone, packed = (
        jobs(catalog.find("fig8"), "paper", FOLDER, 2, ["Asterix"], seeds_per_process=size)
        for size in (1, 2)
    )
    needs = [{job.name: job.needs for job in each if job.needs} for each in (alone, packed)]
    assert needs[0] == needs[1] != {}
    folders = {run.folder for job in packed for run in job.runs}
    assert folders.issuperset(need for each in needs[1].values() for need in each)


@pytest.mark.slow
def test_packed_runs_equal_those_alone_and_may_change_their_packing(tmp_path):
    found = {}
    for name, sizes in (("alone", [1]), ("packed", [2]), ("changed", [2, 1])):
        folder = tmp_path / name
        for turn, size in enumerate(sizes):
            every = jobs(catalog.find("fig21"), "smoke", folder, 2, (), seeds_per_process=size)
            planned = [job for job in every if job.arguments[1] == "dormant.train"][: 2 // size]
            folder.mkdir(exist_ok=True)
            iterations = 1 if turn < len(sizes) - 1 else 2
            engine, longer = Local(folder), [_of_length(job, iterations) for job in planned]
            assert running.run_jobs(longer, folder, engine, running.Budgets(0)) == []
        found[name] = {
            run.folder: _records(folder / run.folder) for job in planned for run in job.runs
        }
    assert found["packed"] == found["alone"] and found["changed"] == found["alone"]


def _of_length(job, iterations):
    """A job whose runs are so many iterations of 200 agent steps long."""
    arguments = (*job.arguments, f"--gin_bindings=Runner.num_iterations = {iterations}")
    runs = tuple(run._replace(agent_steps=200 * iterations) for run in job.runs)
    return dataclasses.replace(job, arguments=arguments, runs=runs)


def _records(folder):
    text = (folder / "metrics.jsonl").read_text("utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    state = sorted(folder.glob("checkpoints/process_0/*/arrays.bin"))[-1].read_bytes()
    assert any(record["kind"] == "iteration" for record in records)
    return re.sub(r'"steps_per_second": [^,}]*', "", text), state


def test_a_pack_of_which_some_runs_are_whole_is_split(tmp_path):
    command = "python -m dormant.train --base_dir='a b'"
    first, *others = (run._replace(command=command) for run in planned_runs()[:3])
    write_run(tmp_path, first)
    pack = Job("pack", (), (first, *others), "", 1)
    device = Job(
        f"{first.folder}/x", (), (first._replace(folder=f"{first.folder}/x/seed_0"),), "", 1
    )
    found = running.left_of_packs(Verified(tmp_path), [pack, device])
    assert [job.name for job in found] == [run.folder for run in (first, *others)] + [device.name]
    assert found[1].arguments == ("-m", "dormant.train", "--base_dir=a b")
    assert running.left_of_packs(Verified(tmp_path), [pack], ["pack"]) == [pack]
    untouched = Job("pack", (), tuple(others), "", 1)
    assert running.left_of_packs(Verified(tmp_path), [untouched]) == [untouched]


def test_what_reads_a_run_of_a_pack_starts_when_no_process_works_on_that_any_more(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(running, "_POLL_SECONDS", 0.02)
    command = "python -c 'raise SystemExit(3)'"
    whole, broken, *reading = (run._replace(command=command) for run in planned_runs()[:4])
    write_run(tmp_path, whole)
    pack = Job("pack", ("-c", "raise SystemExit(3)"), (whole, broken), "", 1)
    readers = [
        Job(run.folder, ("-c", ""), (run,), "", 1, needs=(need.folder,))
        for run, need in zip(reading, (whole, broken), strict=True)
    ]
    for each in ([pack], running.left_of_packs(Verified(tmp_path), [pack])):
        engine = Local(tmp_path, [Place()] * 3)
        jobs = [*readers, *each]
        failures = running.run_jobs(jobs, tmp_path, engine, running.Budgets(1))
        problems = {failure.job: failure.problem for failure in failures}
        assert problems.pop(readers[1]) == f"it was not started: it needs {broken.folder}"
        assert problems.pop(readers[0]).startswith("it has no run.json")  # it was started
        assert len(problems) == 1 and not running.log_of(tmp_path, readers[1]).exists()
