# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""experiment.json: which runs an experiment has, where each lies, and what the paper reports.
`python -m dormant.reproduce` writes it and the report reads it."""

import json
import sys
import typing
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dormant.records.files import EXPERIMENT_FILE, read_object

DEFAULT_TAU = 0.1  # the paper's, at which runs count dormant neurons where nothing else is said


class PlannedRun(NamedTuple):
    """One run of an experiment."""

    folder: str  # the run's folder, relative to that of experiment.json, with "/" between its parts
    method: str  # what is compared, such as "DQN + ReDo": a column of the table, a curve of a plot
    # Under what it is compared, such as "replay ratio 1": a row; "" where nothing varies.
    setting: str
    # The number in the setting, a plot's horizontal axis; None where it is none.
    value: float | None
    game: str  # the environment's name as its configuration has it, such as "Asterix" or "Ant-v4"
    seed: int  # the run's seed
    agent_steps: int  # how many the whole run has
    command: str  # the shell command that starts it or goes on with it, from where it was planned


class PaperValue(NamedTuple):
    """What the paper reports for one cell of the experiment's table."""

    # Method and setting are those of the `PlannedRun`s it is compared with.
    method: str
    setting: str
    # "iqm" (of normalized scores), "return" (mean), "dormant_percent", the same of one of an
    # agent's networks ("dormant_percent, actor"), "overlap" or "rank".
    measure: str
    game: str | None  # the game it is of; None where it is of all games
    value: float  # the number
    source: str  # "figure 10", "table 6"
    read_off: bool  # whether it was read off a figure, to within 10 %
    # What the paper gives after a plus-minus sign; None where it gives none.
    spread: float | None = None


class ExperimentFile(NamedTuple):
    """An experiment as it was planned."""

    name: str  # its name, such as "fig10"
    scale: str  # "paper", "mini" or "smoke"
    title: str  # what it is, in a line
    expected: str  # what the paper finds, in a line or two
    setting_name: str  # what varies between the rows, such as "replay ratio"; "" where nothing does
    # What the figure shows, in the order of importance, of "iqm", "return", "dormant_percent",
    # "dormant_percent_by_network", "overlap", "rank", "evaluation",
    # "train_accuracy".
    shows: tuple[str, ...]
    baseline: str  # the method that the others are compared with
    command: str  # the shell command that runs or continues the whole experiment
    runs: tuple[PlannedRun, ...]  # all runs
    paper: tuple[PaperValue, ...]  # what the paper reports
    # The threshold at which dormant neurons are counted and their overlap is taken.
    tau: float = DEFAULT_TAU
    # What these runs lack of the whole experiment, such as "3 of 17 games"; "" for none.
    reduced: str = ""


def log_path(name: str) -> str:
    """Where the output of a process is kept, relative to experiment.json's folder.

    Its name is the folder of its run, or that of the runs of all its seeds, with "/" between parts.
    """
    return f"logs/{name.replace('/', '__')}.log"


def to_json(experiment: ExperimentFile) -> str:
    """The text of experiment.json."""
    entries = experiment._asdict()
    entries["runs"] = [run._asdict() for run in experiment.runs]
    entries["paper"] = [value._asdict() for value in experiment.paper]
    return json.dumps(entries, indent=1, allow_nan=False) + "\n"


def read_experiment(folder: str | Path) -> ExperimentFile:
    """Reads the experiment.json of a folder.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is not one, or a run's folder leaves its own; the message names the file and
        the entry.
    """
    path = Path(folder) / EXPERIMENT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no {EXPERIMENT_FILE} in {folder}")
    experiment = _take(ExperimentFile, read_object(path), str(path))
    runs = _all(PlannedRun, experiment.runs, f"{path}, runs")
    for index, run in enumerate(runs):
        parts = PurePosixPath(run.folder)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError(
                f"{path}, runs[{index}]: folder must lie in that of the file; got {run.folder!r}"
            )
    return experiment._replace(
        shows=tuple(experiment.shows),
        runs=runs,
        paper=_all(PaperValue, experiment.paper, f"{path}, paper"),
    )


def _all(form: Any, entries: Any, where: str) -> tuple[Any, ...]:
    return tuple(_take(form, entry, f"{where}[{index}]") for index, entry in enumerate(entries))


def _take(form: Any, entries: Any, where: str) -> Any:
    """A NamedTuple of an object's entries; those it does not know are passed over."""
    if not isinstance(entries, dict):
        raise ValueError(f"{where} must be an object; got {entries!r}")
    known = form._field_defaults | {name: entries[name] for name in form._fields if name in entries}
    if missing := [name for name in form._fields if name not in known]:
        raise ValueError(f"{where} must have the entries {missing}; got {sorted(entries)}")
    for name, hint in typing.get_type_hints(form).items():
        if not _fits(known[name], hint):
            expected = getattr(hint, "__name__", str(hint))
            raise ValueError(f"{where}: {name} must be {expected}; got {known[name]!r}")
    return form(**known)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is of a field's type; a tuple is written as a list."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        # The runs and values inside are looked at one by one, each with its own place.
        return isinstance(value, list) and (options[0] is not str or set(map(type, value)) <= {str})
    if options:
        return any(_fits(value, option) for option in options)
    if hint is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is hint
