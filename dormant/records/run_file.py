# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run was: config.gin and run.json beside its metrics, enough to repeat it."""

import contextlib
import datetime
import functools
import importlib.metadata
import json
import platform
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import jax

from dormant.interruption import last_words
from dormant.records import compilation
from dormant.records.files import CONFIG_FILE, RUN_FILE, read_object, write_atomically
from dormant.records.lease import LeaseLost
from dormant.records.results import FAILED, FINISHED, INTERRUPTED, RUNNING
from dormant.version import __version__

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "numpy", "dopamine-rl", "ale-py", "gymnasium", "tensorflow",
    "mujoco", "MinAtar", "gymnax",
)  # fmt: skip


# What of a process decides the numbers that it computes, beside its settings.
_MAKERS = ("git_commit", "dormant_commit", "versions", "device")


class RunRecord:
    """run.json: versions, seed, git commits, command, device, times, what was compiled, and the
    status of the last process that had something to do; what made the iterations before, where that
    was another.

    The status is "running" until `finish` or `fail` is called; a process that was killed leaves it.
    """

    def __init__(
        self,
        base_dir: str,
        *,
        seed: int,
        start_iteration: int,
        command: list[str],
        config: str,
        side_by_side: Mapping[str, float] | None = None,
        changed: Mapping[str, tuple[str, str]] = MappingProxyType({}),
        is_over: bool = False,
        confirm: Callable[[], object] = lambda: None,
    ):
        """Writes config.gin and run.json into an existing folder.

        Args:
          base_dir: the run's folder.
          seed: the run's seed.
          start_iteration: 0, or the iteration at which a checkpoint is resumed.
          command: the process's arguments, the program first.
          config: the text of config.gin, gin's operative configuration.
          side_by_side: {option: value}, where runs side by side differ in more than their seed.
          changed: {setting: (before, now)} of those that are others than when the checkpoint that
            is resumed was saved.
          is_over: whether nothing is left to be done. Then both files of a run that ended as it
            should stay as they are: they tell of the process that made it.
          confirm: raises LeaseLost where another process has taken the run over, whose record it is
            then.
        """
        self._confirm = confirm
        self._path = Path(base_dir) / RUN_FILE
        before = _read(self._path)
        self._stays = is_over and before.get("status") == FINISHED
        if not self._stays:
            write_atomically(Path(base_dir) / CONFIG_FILE, config)
        device = jax.devices()[0]
        self._entries: dict[str, Any] = {
            "status": RUNNING,
            "command": shlex.join(command),
            "seed": seed,
            "side_by_side": dict(side_by_side or {}),
            "start_iteration": start_iteration,
            "changed": {name: list(values) for name, values in changed.items()},
            "git_commit": git_commit(),
            "dormant_commit": git_commit(Path(__file__).parent),
            "versions": versions(),
            "device": {
                "platform": device.platform,
                "kind": device.device_kind,
                "count": jax.device_count(),
            },
            "start_time": _now(),
            "end_time": None,
            "error": None,
        }
        self._entries["earlier"] = _earlier(before, self._entries)
        self._write()

    @property
    def device(self) -> str:
        """The device that JAX computes on."""
        return "{count} {platform} ({kind})".format(**self._entries["device"])

    def finish(self) -> None:
        """Records that the run ended as it should; nothing where another process has taken it
        over."""
        self._end(FINISHED, None)

    def fail(self, error: BaseException) -> None:
        """Records that the run ended with an error, or was interrupted; nothing where another
        process has taken it over."""
        if isinstance(error, LeaseLost):
            return
        if isinstance(error, KeyboardInterrupt):
            self._end(INTERRUPTED, str(error) or "interrupted")
        else:
            self._end(FAILED, f"{type(error).__name__}: {error}".strip(": "))

    def _end(self, status: str, error: str | None) -> None:
        # Whatever ended this process: it may have been thought dead, and have a successor.
        with contextlib.suppress(LeaseLost):
            self._confirm()
            self._write(status=status, end_time=_now(), error=error)

    def _write(self, **changed: Any) -> None:
        self._entries |= changed | {"compilation": compilation.so_far()._asdict()}
        if not self._stays:
            write_atomically(self._path, json.dumps(self._entries, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """What a run.json says; {} for none that can be read."""
    try:
        return read_object(path)
    except (OSError, ValueError):
        return {}


def _earlier(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What made the iterations that a process goes on from, where that was not always the same as
    now: each up to, and without, its `end_iteration`.

    Args:
      before, now: the entries of the process before and of this one.
    """
    start, reached = now["start_iteration"], 0
    found, listed = [], before.get("earlier")
    last = {name: before.get(name) for name in _MAKERS} | {"end_iteration": start}
    for each in [*(listed if isinstance(listed, list) else ()), *([last] if before else ())]:
        end = each.get("end_iteration") if isinstance(each, dict) else None
        # Of what came after the checkpoint that is gone on from nothing is left.
        if isinstance(end, int) and reached < (end := min(end, start)):
            found.append(each | {"end_iteration": end})
            reached = end
    if found and all(found[-1].get(name) == now[name] for name in _MAKERS):
        found.pop()
    return found


class RunRecords:
    """The `RunRecord`s of runs side by side, by their numbers."""

    def __init__(self, records: Sequence[RunRecord]):
        self._records = dict(enumerate(records))
        self._going = dict(self._records)  # of members that have not ended

    @property
    def device(self) -> str:
        """The device that JAX computes on."""
        return self._records[0].device

    def end(self, number: int, error: BaseException | None = None) -> None:
        """Records how a member ended, once, whatever the others do."""
        record = self._going.pop(number, None)
        if record is not None:
            record.finish() if error is None else record.fail(error)

    def finish(self) -> None:
        """Records that every member that had not ended did so as it should."""
        for number in self._records:
            self.end(number)

    def fail(self, error: BaseException) -> None:
        """Records the error of every member that had not ended."""
        for number in self._records:
            self.end(number, error)


class Ending(Protocol):
    """What records how a run ended: a `RunRecord`, or those of several runs."""

    def finish(self) -> None: ...

    def fail(self, error: BaseException) -> None: ...


@contextlib.contextmanager
def ending(record: Ending) -> Iterator[None]:
    """Has it recorded how what is run inside ended, also where the process is ended from outside
    the main thread; see `interruption`."""
    with last_words(record.fail):
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk may be what failed
                record.fail(error)
            raise
        record.finish()


@functools.cache
def versions() -> dict[str, str | None]:
    """Versions of Python, of dormant and of the packages that decide a run's numbers."""
    found: dict[str, str | None] = {"python": platform.python_version(), "dormant": __version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


@functools.cache
def git_commit(package: Path | None = None) -> str | None:
    """The commit of the repository that the working directory is in, with "-dirty" where its files
    are others than the commit's; None where there is none.

    Args:
      package: a folder of Python files; then that of the repository that holds them, and None
        where none does, as when the package was installed.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, cwd=package
        ).stdout.strip()

    try:
        if package is not None:
            git("ls-files", "--error-unmatch", "__init__.py")
        return git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
