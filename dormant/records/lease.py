# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""One writer a folder: a lease, held by the process that works there.

On one machine the kernel holds it, by flock, and lets go of it when the process ends, however it
does. From another machine, or by way of another mount, it is held as long as its holder renews it.
(The package filelock has the former alone, and keeps to itself the descriptor that the runs of an
experiment inherit.)
"""

import collections
import contextlib
import datetime
import errno
import fcntl
import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dormant.checks import ConfigurationError, RunFailed
from dormant.records.files import LEASE_FILE, is_passing, naming

# Seconds between two renewals, and without one until a holder on another machine counts as dead.
_RENEWED_EVERY = 10.0
_STALE_AFTER = 60.0
_HOLDER = "process {process} on {host} (attempt {attempt}, since {start_time})"
# What a file system that knows no flock answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
# Another process may look whether the lease is free at the very moment at which it is asked for.
_TRIES, _BETWEEN_TRIES = 10, 0.02
# This process, and those of other machines whose leases were watched in vain.
_TOKEN = uuid.uuid4().hex
_dead: set[str] = set()


class LeaseLost(RunFailed):
    """Another process works on what this one held; nothing more may be written."""


class Lease:
    """Of a folder: who works there, `lease.json`, which stays when it is released.

    Its entries are the number of the attempt, counted from 1, whether it is held, and the holder's
    host, machine, process with the namespace in which that number counts, file system (the number
    of its mount on that machine) and time of start.
    """

    def __init__(self, folder: Path, held: Path | None = None):
        """Notes the attempts so far; creates nothing.

        Args:
          folder: where the lease lies.
          held: the folder that it holds, for messages; None for the same.
        """
        self._folder, self._path, self._held = folder, folder / LEASE_FILE, held or folder
        self._seen = self._read()
        self._own: dict[str, Any] = {}
        self._descriptor: int | None = None
        self._renewing = threading.Event()

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def fileno(self) -> int:
        """The descriptor of the open file: a process that inherits it holds the lease too, until
        it ends."""
        if self._descriptor is None:
            raise ValueError(f"the lease of {self._folder} must be held; got one that is not")
        return self._descriptor

    def check_free(self) -> None:
        """Checks that no other process holds it. Creates nothing.

        Raises:
          ConfigurationError: when one does.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError:
            return  # `acquire` says what is wrong
        try:
            self._check_dead(descriptor, self._lock(descriptor, fcntl.LOCK_SH))
        finally:
            os.close(descriptor)

    def acquire(self) -> None:
        """Makes the folder, and holds it against other processes until `release`.

        Raises:
          ConfigurationError: when another process holds it, or has worked there since this object
            was made; or the folder cannot be written.
          OSError: when that may pass, such as a full disk; it names the file.
        """
        with _writable(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._check_dead(descriptor, self._lock(descriptor, fcntl.LOCK_EX))
            before = self._read()
            if before != self._seen:
                raise ConfigurationError(
                    f"{self._held} must be as this process found it, and another has worked there"
                    f" since: start it again; got {_holder(_entries(before))}"
                )
            self._own = {
                "attempt": _attempt(_entries(before)) + 1,
                "held": True,
                "host": platform.node(),
                "machine": _machine(),
                "file_system": _file_system(descriptor),
                "process": os.getpid(),
                "process_namespace": _process_namespace(),
                "start_time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "token": _TOKEN,
            }
            with _writable(self._path):
                _write(descriptor, self._own)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._renewing.clear()
        threading.Thread(target=self._renew, args=(descriptor,), daemon=True).start()

    def confirm(self) -> None:
        """Checks that it is still this process's own, where it was acquired.

        Raises:
          LeaseLost: when another process has taken it over, or it was removed.
        """
        if self._descriptor is None:
            return
        found = _entries(self._read())
        if not self._is_own(found):
            who = _holder(found) if found else "no lease, as it was removed"
            raise LeaseLost(
                f"{self._held} must be held by this process, attempt {self._own['attempt']},"
                f" until it has ended; got {who}"
            )

    def release(self) -> None:
        """Lets go of it; nothing happens where it is not held, or not any more."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        self._renewing.set()
        self._seen = self._read()
        if self._is_own(_entries(self._seen)):
            with contextlib.suppress(OSError):  # then it is as one whose holder died
                _write(descriptor, self._own | {"held": False})
                self._seen = self._read()
        # What has inherited the descriptor goes on holding it.
        os.close(descriptor)

    def _renew(self, descriptor: int) -> None:
        while not self._renewing.wait(_RENEWED_EVERY):
            # A file server that is away for a while is no reason to stop.
            with contextlib.suppress(OSError):
                os.utime(descriptor)

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def _is_own(self, found: dict[str, Any]) -> bool:
        return all(found.get(name) == self._own[name] for name in ("token", "attempt"))

    def _lock(self, descriptor: int, how: int) -> bool:
        """Whether the kernel says that no other process of this machine holds it; False where the
        file system does not know.

        Raises:
          ConfigurationError: when one does.
        """
        for _ in range(_TRIES):
            try:
                with naming(self._path):
                    fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(_BETWEEN_TRIES)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    return False
                raise
        raise self._refused(_entries(self._read()))

    def _check_dead(self, descriptor: int, unlocked: bool) -> None:
        """Checks that whoever wrote what stands there works no more.

        Args:
          descriptor: of the open file.
          unlocked: whether nobody on this machine has locked it there.

        Raises:
          ConfigurationError: when it is renewed while it is watched.
        """
        found = _entries(self._read())
        # Of two mounts, such as those of two containers, each may have locks of its own.
        mount = (_machine(), _file_system(descriptor))
        here = (found.get("machine"), found.get("file_system")) == mount
        if not found.get("held") or (here and unlocked) or found.get("token") in _dead:
            return
        # No two machines have the same clock: what counts is whether it is renewed meanwhile.
        before, start, told = self._renewed(), time.monotonic(), False
        while (waited := time.monotonic() - start) < _STALE_AFTER:
            time.sleep(min(1.0, _RENEWED_EVERY))
            if self._renewed() != before:
                raise self._refused(found)
            if waited > 1.5 * _RENEWED_EVERY and not told:
                told = True
                wait = f"waiting up to {_STALE_AFTER:g} s for a sign of life of {_holder(found)}"
                print(f"{self._held}: {wait}", file=sys.stderr, flush=True)
        _dead.add(str(found.get("token")))

    def _renewed(self) -> int:
        # Opened each time: a network file system then asks its server.
        with open(self._path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns

    def _refused(self, found: dict[str, Any]) -> ConfigurationError:
        return ConfigurationError(
            f"{self._held} must be a folder that no other process works on; got {_holder(found)},"
            " which still does, or a run that it started"
        )


class Holder(NamedTuple):
    """Who works on a run, or did last.

    Attributes:
      host, process: where.
      attempt: counted from 1.
      start_time: since when, ISO 8601.
      is_alive: whether it holds the lease and has renewed it within the last minute.
    """

    host: str
    process: int
    attempt: int
    start_time: str
    is_alive: bool

    def __str__(self) -> str:
        return _HOLDER.format_map(self._asdict())


def holder_of(lease: Path) -> Holder | None:
    """What a folder's lease says, and how old it is by this machine's clock; None without one."""
    try:
        found = _entries((lease / LEASE_FILE).read_bytes())
        age = time.time() - (lease / LEASE_FILE).stat().st_mtime
    except OSError:
        return None
    if not found:
        return None
    known = collections.defaultdict(lambda: "?", found)
    is_alive = bool(found.get("held")) and age < _STALE_AFTER
    # The containers of one machine count their processes each for themselves.
    namespace = _process_namespace()
    where = (known["machine"], known["process_namespace"])
    if namespace is not None and where == (_machine(), namespace):
        is_alive = is_alive and Path(f"/proc/{known['process']}").exists()
    return Holder(known["host"], known["process"], _attempt(found), known["start_time"], is_alive)


def _machine() -> str:
    """This machine since it was started: a process that it had before is dead."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return platform.node()


def _process_namespace() -> str | None:
    """In which the numbers of this process and of those beside it count; None where the system
    does not tell."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _file_system(descriptor: int) -> int:
    """What holds an open file, a number for each mounted file system of this machine."""
    return os.fstat(descriptor).st_dev


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Says of what cannot be written that it cannot.

    Raises:
      ConfigurationError: in place of an OSError that does not pass by itself.
    """
    try:
        with naming(path):
            yield
    except OSError as error:
        if is_passing(error):
            raise
        raise ConfigurationError(f"{path} cannot be written: {error}") from error


def _entries(text: bytes) -> dict[str, Any]:
    """What a lease says; {} where it was cut short."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _attempt(found: dict[str, Any]) -> int:
    attempt = found.get("attempt")
    return attempt if isinstance(attempt, int) else 0


def _holder(found: dict[str, Any]) -> str:
    if not found:
        return "another process"
    return _HOLDER.format_map(collections.defaultdict(lambda: "?", found))


def _write(descriptor: int, entries: dict[str, Any]) -> None:
    # In place, as a lock belongs to this very file.
    text = (json.dumps(entries) + "\n").encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)
