# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Manifests for Kubernetes, which a person applies: an indexed Job whose pods run a process each,
or a JobSet for each run that is one program on several hosts, such as those of a TPU slice.

The folders of the runs alone say what has become of them: nothing here asks a cluster.
"""

import argparse
import hashlib
import json
import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dormant.checks import require
from dormant.records.files import write_atomically
from dormant.reproduce.engines.engine import (
    ENGINE_FOLDER,
    EVICTED,
    MISTAKE,
    PARALLEL_OPTION,
    TEMPFAIL,
    Budgets,
    Ended,
    Engine,
    Task,
)
from dormant.reproduce.engines.hosts import HOSTS_OPTION
from dormant.reproduce.engines.worker import is_whole, worker_arguments

_PAIRS = {"action": "append", "metavar": "NAME=VALUE"}
OPTIONS: dict[str, dict[str, Any]] = {
    "image": {"help": "of the container, with dormant installed"},
    "volume": {"metavar": "CLAIM:PATH", "help": "the shared folder's claim, and where it is"},
    "resource": _PAIRS | {"help": "of a pod, such as google.com/tpu=1; repeatable"},
    "node_selector": _PAIRS | {"help": "a label of the nodes; repeatable"},
    **HOSTS_OPTION,
    **PARALLEL_OPTION,
}
_INDEX = "$(JOB_COMPLETION_INDEX)"  # which Kubernetes itself replaces
_CONTAINER = "dormant"
# Words that YAML takes for other things than texts.
_NOT_TEXTS = ("y", "yes", "on", "true", "n", "no", "off", "false", "null")
_SLICE = "alpha.jobset.sigs.k8s.io/exclusive-topology"


def prepare(options: argparse.Namespace) -> Callable[[Path, int], Engine]:
    """See `catalog.Entry`."""
    pod = read_pod(options)
    for each in (Path.cwd(), Path(options.base_dir or "").resolve()):
        allowed = f"mounted where {each} lies, which the pods must see"
        require(each.is_relative_to(pod.path), "--volume", allowed, str(pod.path))
    budgets = Budgets(options.retries, options.preemptions)
    # A disruption costs a pod of an indexed Job nothing.
    allowed = f"left at {Budgets().preemptions} without --hosts, as Kubernetes counts none then"
    counts = pod.hosts > 1 or budgets.preemptions == Budgets().preemptions
    require(counts, "--preemptions", allowed, budgets.preemptions)
    return lambda folder, descriptor: JobSet(folder, pod, budgets)


class Pod(NamedTuple):
    """What all pods have in common.

    Attributes:
      image: of the container.
      claim, path: of the volume that holds the shared folder, and where it is mounted.
      resources: {name: how many} of each container, such as chips.
      selector: {label: value} of the nodes.
      hosts: of each run.
      at_once: pods of a Job at once; None for all.
    """

    image: str
    claim: str
    path: Path
    resources: Mapping[str, str]
    selector: Mapping[str, str]
    hosts: int = 1
    at_once: int | None = None


class JobSet:
    """Writes a manifest into `FOLDER/engine/jobset` for what is not whole."""

    outlives = True
    at_once: int | None = None

    def __init__(self, folder: Path, pod: Pod, budgets: Budgets = Budgets()):  # noqa: B008
        """Writes nothing.

        Args:
          folder: the experiment's, which the pods see under this path.
          pod: what all pods have in common.
          budgets: how often Kubernetes starts a pod again that failed, or all of a slice.
        """
        self._folder, self._pod, self._budgets = folder.resolve(), pod, budgets
        self._own = self._folder / ENGINE_FOLDER / "jobset"
        # Another one than before: pods of that may still run, and an ended Job is not run again.
        self._number = 1 + max((int(path.stem) for path in self._own.glob("*.names")), default=0)
        self._tasks: list[Task] = []

    def submit(self, tasks: Sequence[Task]) -> list[Hashable]:
        # All of them again where some come later, as they need others.
        self._tasks += tasks
        names = "".join(f"{task.name}\n" for task in self._tasks)
        self._own.mkdir(parents=True, exist_ok=True)
        if self._pod.hosts == 1:
            documents = [self._job()]
        else:
            documents = [self._slice(index) for index in range(len(self._tasks))]
        # The names last: they say that there is such a manifest.
        write_atomically(self._path("yaml"), "---\n".join(map(yaml, documents)))
        write_atomically(self._path("names"), names)
        return list(tasks)

    def poll(self, handle: Hashable) -> Ended | None:
        assert isinstance(handle, Task)
        return Ended(0) if is_whole(self._folder, handle) else None

    def cancel(self, handles: Sequence[Hashable]) -> None:
        """Nothing: who applied a manifest deletes it."""

    def handles(self) -> dict[str, Hashable]:
        return {}

    def report(self) -> str:
        if not self._tasks:
            return "nothing is left to apply"
        return f"{len(self._tasks)} tasks are to be applied: {self._path('yaml')}"

    def _path(self, kind: str) -> Path:
        return self._own / f"{self._number}.{kind}"

    def _job(self) -> dict[str, Any]:
        """An indexed Job: a process each, whichever node has room."""
        count, names = len(self._tasks), self._path("names")
        at_once = count if self._pod.at_once is None else min(count, self._pod.at_once)
        arguments = [
            *map(_literal, worker_arguments(self._folder, "")[:-1]),
            f"--names={_literal(str(names))}",
            _INDEX,
        ]
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self._name()},
            "spec": {
                "completionMode": "Indexed",
                "completions": count,
                "parallelism": at_once,
                "backoffLimitPerIndex": self._budgets.retries,
                "maxFailedIndexes": count,  # the others go on
                "podFailurePolicy": {"rules": _RULES},
                "template": self._template(arguments),
            },
        }

    def _slice(self, index: int) -> dict[str, Any]:
        """A JobSet: one program on all hosts, which are started again together."""
        arguments = [
            *map(_literal, worker_arguments(self._folder, self._tasks[index].name)),
            f"--hosts={self._pod.hosts}",
            # JAX finds the others itself; this one's log and lease are those of its rank.
            f"--rank={_INDEX}",
        ]
        template = self._template(arguments)
        job = {
            "completionMode": "Indexed",
            "completions": self._pod.hosts,
            "parallelism": self._pod.hosts,
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [_on_exit("FailJob", MISTAKE)]},
            "template": template,
        }
        reasons = ["PodFailurePolicy"]
        mistake = {"name": "mistake", "action": "FailJobSet", "onJobFailureReasons": reasons}
        return {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {
                "name": f"{self._name()}-{index}",
                "annotations": {_SLICE: "cloud.google.com/gke-nodepool"},
            },
            "spec": {
                # A JobSet cannot tell a preemption from a failure.
                "failurePolicy": {"maxRestarts": sum(self._budgets), "rules": [mistake]},
                "replicatedJobs": [
                    {"name": "run", "replicas": 1, "template": {"spec": job}},
                ],
            },
        }

    def _template(self, arguments: Sequence[str]) -> dict[str, Any]:
        pod = self._pod
        container: dict[str, Any] = {
            "name": _CONTAINER,
            "image": pod.image,
            "command": ["python"],
            "args": list(arguments),
            "workingDir": str(Path.cwd()),
            "volumeMounts": [{"name": "shared", "mountPath": str(pod.path)}],
        }
        if pod.resources:
            container["resources"] = {"limits": dict(pod.resources)}
        volume = {"name": "shared", "persistentVolumeClaim": {"claimName": pod.claim}}
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
        return {"spec": spec | ({"nodeSelector": dict(pod.selector)} if pod.selector else {})}

    def _name(self) -> str:
        """A name that no other folder's Job has, with room for what is appended: Kubernetes allows
        a pod 63 characters, -12345-run-0-1234-abcde included."""
        slug = re.sub(r"[^a-z0-9]+", "-", self._folder.name.lower())[:18].strip("-")
        own = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:6]
        return f"dormant-{slug or 'runs'}-{own}-{self._number}"


def _on_exit(action: str, *codes: int) -> dict[str, Any]:
    exits = {"containerName": _CONTAINER, "operator": "In", "values": list(codes)}
    return {"action": action, "onExitCodes": exits}


_RULES: list[dict[str, Any]] = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    _on_exit("FailIndex", MISTAKE),
    _on_exit("Ignore", TEMPFAIL, *EVICTED),
]


def read_pod(known: argparse.Namespace) -> Pod:
    """What the command line says of the pods.

    Raises:
      ConfigurationError: an option is missing or wrong.
    """
    require(bool(known.image), "--image", "given with --engine=jobset", known.image)
    claim, _, path = (known.volume or "").partition(":")
    allowed = "CLAIM:PATH, with the absolute path at which the volume is mounted"
    require(bool(claim) and path.startswith("/"), "--volume", allowed, known.volume)
    if known.parallel is not None:
        allowed = "left out with --hosts, as the run of each JobSet is a Job of its own"
        require((known.hosts or 1) == 1, "--parallel", allowed, known.parallel)
    resources = _pairs("--resource", known.resource)
    selector = _pairs("--node_selector", known.node_selector)
    return Pod(
        known.image, claim, Path(path), resources, selector, known.hosts or 1, known.parallel
    )


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    pairs = [word.partition("=") for word in given or ()]
    for name, _, value in pairs:
        require(bool(name and value), option, "NAME=VALUE", name)
    return {name: value for name, _, value in pairs}


def _literal(word: str) -> str:
    """An argument in which Kubernetes replaces nothing."""
    return word.replace("$", "$$")


def yaml(value: Any, indent: str = "") -> str:
    """A manifest as YAML in blocks; texts and numbers are as in JSON, which YAML includes."""
    if isinstance(value, dict):
        entries = [(f"{indent}{name}:" if _is_plain(name) else f"{indent}{json.dumps(name)}:", each)
                   for name, each in value.items()]  # fmt: skip
    else:
        entries = [(f"{indent}-", each) for each in value]
    lines = []
    for start, each in entries:
        if isinstance(each, dict | list) and each:
            lines.append(f"{start}\n{yaml(each, indent + '  ')}")
        else:
            lines.append(f"{start} {json.dumps(each)}\n")
    return "".join(lines)


def _is_plain(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z]+", name)) and name.lower() not in _NOT_TEXTS
