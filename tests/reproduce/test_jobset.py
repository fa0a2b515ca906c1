# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The manifests: what is in them, and that Kubernetes would take them. No cluster is asked."""

import json
import re
from pathlib import Path

import pytest
import yaml

from dormant.reproduce.command_line import main
from dormant.reproduce.engines import jobset, worker
from dormant.reproduce.engines.engine import TEMPFAIL, Budgets, Task
from dormant.reproduce.engines.jobset import JobSet, Pod
from tests.report.hostile_runs import planned_runs, write_run

ODD = 'it\'s; $(JOB_COMPLETION_INDEX) $$(x) $$ "x": {y} #\n- z\t'
TASKS = [Task(name, ("-m", "dormant.train", ODD), "log", (name,)) for name in ("a/x", "b/x", "c/x")]
ON_DEVICE = [Task("a/x", ("-m", "dormant.train_vectorized", ODD), "log", ("a/x",))]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """`made(tasks, hosts=1)`: the documents of a manifest, read back."""
    monkeypatch.chdir(tmp_path)

    def make(tasks, **changes):
        pod = Pod("image:1", "claim", tmp_path, {"google.com/tpu": "4"}, {"a/b": "4x4"}, **changes)
        folder = tmp_path / "Runs $$(x) of Fig_10"
        JobSet(folder, pod, Budgets(3, 7)).submit(tasks)
        (path,) = (folder / "engine" / "jobset").glob("*.yaml")
        return list(yaml.safe_load_all(path.read_text("utf-8")))

    return make


def container_of(template):
    (container,) = template["spec"]["containers"]
    return container


def validate(document):
    """Against the schema of Kubernetes."""
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate, which has the schemas, is not installed"
    )
    kubernetes.validate(document, "1.34", strict=True)


def test_a_job_runs_a_process_of_each_index(made, tmp_path):
    (job,) = made(TASKS, at_once=2)
    spec = job["spec"]
    assert re.fullmatch(r"dormant-runs-x-of-fig-10-[0-9a-f]{6}-1", job["metadata"]["name"])
    assert (spec["completions"], spec["parallelism"], spec["backoffLimitPerIndex"]) == (3, 2, 3)
    container = container_of(spec["template"])
    folder, names, index = container["args"][-3:]
    assert index == "$(JOB_COMPLETION_INDEX)"
    # Kubernetes writes $ for $$.
    assert folder == str(tmp_path / "Runs $$$$(x) of Fig_10") and "$$$$(x)" in names
    path = names.removeprefix("--names=").replace("$$", "$")
    assert Path(path).read_text("utf-8") == "a/x\nb/x\nc/x\n"
    assert container["resources"] == {"limits": {"google.com/tpu": "4"}}
    assert spec["template"]["spec"]["nodeSelector"] == {"a/b": "4x4"}


def test_jobs_of_two_folders_have_two_names_and_room_for_what_is_appended(tmp_path):
    pod, names = Pod("image:1", "claim", tmp_path, {}, {}, hosts=2), []
    for place in ("a", "b"):
        engine = JobSet(tmp_path / place / ("long" * 20), pod)
        engine.submit(ON_DEVICE * 12)
        path = engine.report().partition(": ")[2]
        documents = yaml.safe_load_all(Path(path).read_text("utf-8"))
        names += [document["metadata"]["name"] for document in documents]
    assert len(set(names)) == 24 and max(map(len, names)) + len("-run-0-1234-abcde") <= 63


def test_kubernetes_would_take_a_job(made):
    (job,) = made(TASKS)
    validate(job)


def test_several_hosts_run_one_program(made, capsys):
    (document,) = made(ON_DEVICE, hosts=4)
    assert document["kind"] == "JobSet"
    assert document["spec"]["failurePolicy"]["maxRestarts"] == 10  # of either kind
    (replicated,) = document["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert (job["completions"], job["parallelism"], job["backoffLimit"]) == (4, 4, 0)
    # As Kubernetes would have them in the second pod: each goes through a worker of its rank.
    told = container_of(job["template"])["args"]
    index = "$(JOB_COMPLETION_INDEX)"
    assert [word for word in told if index in word.replace("$$", "")] == [f"--rank={index}"]
    _, module, *arguments = [word.replace(f"={index}", "=1").replace("$$", "$") for word in told]
    # The folder is not seen here, which the next node may do.
    assert module == worker.__name__ and worker.main(arguments) == TEMPFAIL
    said = f"worker of rank 1: exit code {TEMPFAIL}: [Errno 2] "
    assert capsys.readouterr().err.startswith(said)


def test_kubernetes_would_take_the_jobs_of_a_jobset(made):
    (document,) = made(ON_DEVICE, hosts=4)
    spec = document["spec"]["replicatedJobs"][0]["template"]["spec"]
    validate({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": spec})


@pytest.mark.parametrize(
    "value",
    [{"a": [], "b": {}, "c": [{"d": [1, None, True, ODD]}]}, {ODD: {"x.y/z": "1e3"}}, {"no": "on"}],
)
def test_what_is_written_is_what_was_meant(value):
    assert yaml.safe_load(jobset.yaml(value)) == value


FLAGS = ("--engine=jobset", "--image=i", "--resource=google.com/tpu=1", "--games=Breakout-MinAtar")


def test_asked_again_it_writes_what_is_not_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["minatar_prune", f"--volume=claim:{tmp_path}", "--base_dir=runs/x", *FLAGS]
    own = tmp_path / "runs" / "x" / "engine" / "jobset"
    for number in (1, 2):  # the Job of the first may have ended, and would not run again
        assert main(command) == 0
        out = capsys.readouterr().out
        said = f"2 tasks are to be applied: {own}/{number}.yaml"
        assert "0 of 4 runs are whole" in out and said in out
    first, second = (yaml.safe_load((own / f"{n}.yaml").read_text("utf-8")) for n in (1, 2))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    from dormant.records.experiment_file import read_experiment

    runs = read_experiment(tmp_path / "runs" / "x").runs
    for run in runs[:2]:
        write_whole(tmp_path / "runs" / "x", run)
    assert main(command) == 0
    assert "2 of 4 runs are whole" in capsys.readouterr().out
    assert (own / "3.names").read_text("utf-8") == "dqn_pruning/Breakout-MinAtar\n"
    tasks = json.loads((tmp_path / "runs/x/engine/tasks.json").read_text("utf-8"))["tasks"]
    assert len(tasks) == 2  # pods of the first manifest may still run


def write_whole(folder, run):
    (other, *_) = planned_runs()
    own = {"folder": run.folder, "seed": run.seed, "agent_steps": run.agent_steps}
    write_run(folder, other._replace(**own))


@pytest.mark.parametrize(
    "flags, said",
    [
        (FLAGS[:1], "`--image` must be given with --engine=jobset; got None"),
        (FLAGS, "`--volume` must be CLAIM:PATH, with the absolute path"),
        ((*FLAGS, "--volume=claim:x"), "`--volume` must be CLAIM:PATH, with the absolute path"),
        ((*FLAGS, "--volume=claim:/nowhere"), "`--volume` must be mounted where /"),
        ((*FLAGS, "--volume=c:/", "--hosts=0"), "`--hosts` must be a whole number >= 1; got 0"),
        (
            (*FLAGS, "--volume=c:/", "--hosts=2", "--parallel=2"),
            "`--parallel` must be left out with --hosts, as",
        ),
        (
            (*FLAGS, "--volume=c:/", "--preemptions=0"),
            "`--preemptions` must be left at 100 without --hosts, as Kubernetes counts none then;",
        ),
        ((*FLAGS, "--volume=c:/", "--resource=x"), "`--resource` must be NAME=VALUE; got 'x'"),
        (
            ("--image=i",),
            "`--image` must be left out with --engine=local, as --engine=jobset takes it",
        ),
        (
            ("--engine=slurm", "--image=i"),
            "`--image` must be left out with --engine=slurm, as --engine=jobset",
        ),
        (("--slurm_options=--x",), "`--slurm_options` must be left out with --engine=local"),
        (("--wait",), "`--wait` must be left out with --engine=local, as --engine=slurm takes it"),
    ],
)
def test_wrong_options_are_refused_in_a_line_and_nothing_is_written(
    flags, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["minatar_prune", *flags]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"dormant.reproduce: {said}") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_manifest_that_cannot_be_written_leaves_no_plan(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "engine").write_text("in the way", "utf-8")
    command = ["minatar_prune", f"--volume=claim:{tmp_path}", "--base_dir=x", *FLAGS]
    assert main(command) == 2 and capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["engine"]
    (folder / "engine").unlink()
    assert main([*command, "--seeds=4"]) == 0


def test_kubernetes_would_take_the_jobs_of_the_launcher():
    path = Path(__file__).parents[2] / "launchers" / "tpu_pod.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    spec = document["spec"]["replicatedJobs"][0]["template"]["spec"]
    validate({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": spec})
