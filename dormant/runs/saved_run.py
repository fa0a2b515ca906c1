# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run has on disk: its checkpoints and its records, each accounting for the other."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gin
import jax

from dormant.checks import ConfigurationError
from dormant.interruption import last_words
from dormant.records.files import METRICS_FILE
from dormant.records.lease import Lease, LeaseLost
from dormant.records.metrics import MetricsFile, Position
from dormant.records.settings import FREE, settings_in
from dormant.runs.checkpoints import Checkpoints, Damaged

_NUMBERS = (
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_matmul_precision",
    "jax_disable_jit",
)
# The value of a setting that gin does not write.
ITS_DEFAULT = "its default"


class SavedRun:
    """A run's checkpoints, with the records and the settings that belong to them."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        folders: Sequence[Path],
        settings: Mapping[str, str],
        number: int | None = None,
    ):
        """Looks for the newest whole checkpoint; writes nothing.

        Args:
          checkpoints: of the run.
          folders: of the records, one for each of its members.
          settings: as `operative_settings` has them.
          number: of the checkpoint to go on from; None for the newest.

        Raises:
          ConfigurationError: when another process works on the run, when there are records that no
            checkpoint accounts for, when the checkpoint was saved with other settings, of gin or of
            JAX, or another number of members, or the records are not those of then.
        """
        self._lease = Lease(checkpoints.own_folder, checkpoints.folder.parent)
        self._lease.check_free()
        self._checkpoints, self._settings = checkpoints, dict(settings)
        self._none_yet = checkpoints.none_yet
        self.number = checkpoints.newest() if number is None else number
        # {name: (before, now)} of settings that are others than when the checkpoint was saved.
        self.changed: dict[str, tuple[str, str]] = {}
        positions = [Position()] * len(folders)
        self._saved: dict[str, Any] = {}
        if self.number is not None:
            try:
                self._saved = checkpoints.load(self.number)
            except Damaged as error:
                raise ConfigurationError(
                    f"the checkpoint to go on from must be one of {checkpoints.numbers()} that is"
                    f" whole; got {self.number}: {error}"
                ) from error
            self._check_settings(self._saved["settings"] | self._saved.get("jax", {}))
            records = self._saved["records"]
            if len(records) != len(folders):
                raise ConfigurationError(
                    f"the runs side by side in each process must be as many as {self.where} was"
                    f" saved with, {len(records)}: continue with as many processes and hosts as"
                    f" before, or give another --base_dir; got {len(folders)}"
                )
            positions = [Position(**records[str(index)]) for index in range(len(folders))]
        elif not self._none_yet.exists():
            _check_no_records(folders)
        self.files = [
            _metrics_file(folder, position)
            for folder, position in zip(folders, positions, strict=True)
        ]

    @property
    def where(self) -> str:
        """Which checkpoint it is, for messages."""
        return f"checkpoint {self.number} in {self._checkpoints.folder}"

    @property
    def start_iteration(self) -> int:
        """The iteration that comes next: 0, or the one after the checkpoint's."""
        return 0 if self.number is None else self.number + 1

    def take_state(self) -> dict[str, Any]:
        """What was saved as the run's state, nested dicts, once: `Checkpoints.load`.

        It is not kept here: its arrays are views of a file, which could not leave the disk.
        """
        return self._saved.pop("state")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process works on the run; nothing may be written outside.

        What processes that were killed left half done is removed.

        Raises:
          ConfigurationError: when another process does, or has since this object was made.
        """
        if self._lease.is_held:
            yield
            return
        self._lease.acquire()
        try:
            with last_words(lambda interrupted: self._leave()):
                self._checkpoints.clean()
                if self.number is not None:
                    self._none_yet.unlink(missing_ok=True)
                yield
        finally:
            self._leave()

    def start(self) -> None:
        """Makes the run's folder ready for records that no checkpoint accounts for yet.

        Raises:
          LeaseLost: when another process has taken the run over; then nothing is removed.
        """
        self.confirm()  # what is made before a run's first step may take hours
        if self.number is None:
            self._none_yet.touch()
            self._checkpoints.drop_all()
        for file in self.files:
            file.open()

    def confirm(self) -> None:
        """Checks that the run is still this process's own, where it is held.

        Raises:
          LeaseLost: when another process has taken it over; then nothing may be written.
        """
        self._lease.confirm()

    def save(self, iteration: int, state: Any) -> None:
        """Saves a checkpoint after an iteration, when all records are on disk.

        Raises:
          LeaseLost: when another process has taken the run over; then nothing is written.
          OSError: when it cannot be written; the checkpoints before it stay.
        """
        self.confirm()
        records = {str(index): file.position()._asdict() for index, file in enumerate(self.files)}
        made_by = {"settings": self._settings, "jax": number_settings()}
        saved = made_by | {"records": records, "state": state}
        self._checkpoints.save(iteration, saved)
        self._none_yet.unlink(missing_ok=True)

    def _leave(self) -> None:
        # What cannot be removed stands in nobody's way, and what another process writes stays.
        with contextlib.suppress(OSError, LeaseLost):
            self.confirm()
            self._checkpoints.clean()
        self._lease.release()

    def _check_settings(self, saved: Mapping[str, str]) -> None:
        # A setting that only one of the two versions of the package has is not another.
        self.changed = {
            name: (saved[name], value)
            for name, value in (self._settings | number_settings()).items()
            if saved.get(name, value) != value
        }
        refused = [name for name in self.changed if name.rpartition(".")[2] not in FREE]
        if refused:
            before, now = self.changed[refused[0]]
            more = f" (and {len(refused) - 1} more)" if refused[1:] else ""
            raise ConfigurationError(
                f"`{refused[0]}` must be {before}, as {self.where} was saved with it: continue this"
                f" run with its own gin file or give another --base_dir; got {now}{more}"
            )


def number_settings() -> dict[str, str]:
    """Those options of JAX, {name: value}, by which the same program computes other numbers."""
    return {name: str(getattr(jax.config, name)) for name in _NUMBERS if hasattr(jax.config, name)}


def operative_settings() -> dict[str, str]:
    """Gin's operative configuration as it stands, {scope/configurable.parameter: value}; with what
    gin leaves out of it, defaults that it cannot write, such as functions, as `ITS_DEFAULT`."""
    found = settings_in(gin.operative_config_str(max_line_length=1_000))
    for scope, selector in gin.config._OPERATIVE_CONFIG:
        called = "/".join(filter(None, (scope, gin.config._REGISTRY.minimal_selector(selector))))
        for parameter in _unwritten_defaults(selector):
            found.setdefault(f"{called}.{parameter}", ITS_DEFAULT)
    return found


def _unwritten_defaults(selector: str) -> list[str]:
    configurable = gin.config._REGISTRY[selector]
    try:
        parameters = inspect.signature(configurable.wrapped).parameters
    except (TypeError, ValueError):  # of a builtin
        return []
    allowed, denied = configurable.allowlist, configurable.denylist or ()
    return [
        name
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
        and not gin.config._is_literally_representable(parameter.default)
        and (not allowed or name in allowed)
        and name not in denied
    ]


def _metrics_file(folder: Path, position: Position) -> MetricsFile:
    try:
        return MetricsFile(folder, position)
    except ValueError as error:
        raise ConfigurationError(f"{error}; restore it or give another --base_dir") from error


def _check_no_records(folders: Sequence[Path]) -> None:
    for path in (folder / METRICS_FILE for folder in folders):
        if path.exists() and path.stat().st_size:
            raise ConfigurationError(
                f"--base_dir must be without records where there is no checkpoint to go on from:"
                f" restore the checkpoints or give another --base_dir; got {path}"
            )
