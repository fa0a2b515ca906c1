# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A real Slurm of two nodes on this machine: Debian's packages, unpacked into a folder.

It is run as root. Nothing is installed, and nothing outside the folder is changed: the names n1 and
n2 stand in a file of hosts that only the nodes see. There is neither munge nor accounting.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "libhwloc15")
NODES = ("n1", "n2")
# A task of `high` takes the node of one of `low`, which is asked to end and is queued again.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
PluginDir={root}/usr/lib/x86_64-linux-gnu/slurm-wlm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,requeue_setup_env_fail
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=10
MinJobAge=10
MpiDefault=none
PlugStackConfig={folder}/plugstack.conf
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={first} CPUs=1 RealMemory=1000
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={second} CPUs=1 RealMemory=1000
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 MaxTime=INFINITE
PartitionName=high Nodes=n1,n2 PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE
"""


class Unavailable(Exception):
    """There can be no Slurm here, and why."""


def unpack(folder: Path) -> Path:
    """Debian's packages, fetched and unpacked into a folder; returns their root.

    Raises:
      Unavailable: this is no Debian, not run by root, or the packages cannot be had.
    """
    root = folder / "root"
    if os.geteuid() != 0:
        raise Unavailable("Slurm's daemons are run as root here")
    if not all(map(shutil.which, ("apt-get", "dpkg", "unshare"))):
        raise Unavailable("Slurm is taken from Debian's packages, and there is no apt-get")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "download", "--quiet", *PACKAGES], cwd=folder)
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"Debian's packages cannot be had: {error.stderr[-300:]}") from error
    for package in folder.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(root)])
    return root


class Cluster:
    """slurmctld and a slurmd for each node; to be used with `with`."""

    def __init__(self, root: Path, folder: Path, ports: Sequence[int]):
        """Writes its files.

        Args:
          root: of the packages.
          folder: of its state.
          ports: three that are free.
        """
        self.folder, self._root = folder, root
        self._daemons: dict[str, subprocess.Popen] = {}
        for name in ("state", *(f"spool_{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        (folder / "plugstack.conf").touch()
        first, second, third = ports
        host, values = os.uname().nodename, {"port": first, "first": second, "second": third}
        text = CONFIGURATION.format(host=host, folder=folder, root=root, **values)
        (folder / "slurm.conf").write_text(text)
        (folder / "hosts").write_text(f"127.0.0.1 localhost {host} {' '.join(NODES)}\n")
        libraries = root / "usr/lib/x86_64-linux-gnu"
        self.variables = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{libraries}:{libraries}/slurm-wlm",
            "PATH": f"{root}/usr/bin:{os.environ['PATH']}",
        }

    def __enter__(self) -> "Cluster":
        self._start("slurmctld", "slurmctld-wlm", "-D")
        for node in NODES:
            self.start(node)
        try:
            self.wait(lambda: self.states().count("idle") == len(NODES), "idle nodes", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self._daemons:
            self("scancel", "--user=root", "--partition=low")
            self("scancel", "--user=root", "--partition=high")
        for daemon in self._daemons.values():
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for process in self._processes():  # what a node that was killed left behind
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def __call__(self, *command: str) -> str:
        """The output of one of Slurm's commands."""
        return _run(command, env=os.environ | self.variables)

    def states(self) -> list[str]:
        """Of the nodes, such as idle or down."""
        return self("sinfo", "--noheader", "--Node", "--partition=low", "--format=%T").split()

    def start(self, node: str) -> None:
        """Starts a node's slurmd; its processes see the names of all nodes."""
        stepd = self._root / "usr/sbin/slurmstepd-wlm"
        # A mount namespace of its own: the machine's file of hosts stays as it is.
        bound = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        wrapped = ["unshare", "--mount", "sh", "-c", bound, "sh", str(self.folder / "hosts")]
        self._start(node, "slurmd-wlm", "-D", "-N", node, "-d", str(stepd), wrapped=wrapped)

    def kill(self, node: str, and_tasks: bool = True) -> list[int]:
        """SIGKILL of a node's slurmd and what watches its tasks, as when the machine is lost; where
        the tasks live on it is cut off only. Returns those that live."""
        tasks = self._processes(f"SLURMD_NODENAME={node}")
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        parents = {_parent(process) for process in tasks}
        watching = {each for each in parents if _name(each).startswith("slurmstepd")}
        for process in watching | set(tasks if and_tasks else []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        # Tasks that are stopped while what watched them is still ending would be sent SIGHUP.
        self.wait(lambda: not any(map(_runs, watching)), "what watched the tasks to end")
        return [] if and_tasks else tasks

    def wait(self, is_so, what: str, seconds: float = 120) -> None:
        """Waits until something is so."""
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds:g} s for {what}:\n{self.describe()}")
            time.sleep(0.2)

    def describe(self) -> str:
        """The queue, and what the daemons said last."""
        logs = sorted(self.folder.glob("*.log"))
        said = "\n".join(f"{path.name}: {path.read_text()[-2_000:]}" for path in logs)
        return f"{self('squeue', '--states=all')}\n{self('sinfo', '--Node', '--long')}\n{said}"

    def _processes(self, variable: str = "") -> list[int]:
        """Those that belong to this cluster and have such a variable in their environment."""
        wanted = (f"SLURM_CONF={self.variables['SLURM_CONF']}", variable)
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                lines = path.read_bytes().decode(errors="replace").split("\0")
                if all(any(line.startswith(each) for line in lines) for each in wanted):
                    found.append(int(path.parent.name))
        return found

    def _start(self, name: str, program: str, *arguments: str, wrapped: Sequence[str] = ()) -> None:
        with open(self.folder / f"{name}.log", "a") as log:
            self._daemons[name] = subprocess.Popen(
                [*wrapped, str(self._root / "usr/sbin" / program), *arguments],
                env=os.environ | self.variables,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _parent(process: int) -> int:
    return int(_status(process, "PPid") or 0)


def _runs(process: int) -> bool:
    """Whether a process is there, and not only what is left of it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _name(process: int) -> str:
    return _status(process, "Name")


def _status(process: int, entry: str) -> str:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return ""
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{entry}:"))


def _run(command: Sequence[str], **options) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=300, **options
    ).stdout
