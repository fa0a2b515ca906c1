# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""From an experiment to its runs: which processes there are, and where each run lies."""

import dataclasses
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dormant.checks import check, check_choice, check_count
from dormant.records.experiment_file import ExperimentFile, PlannedRun
from dormant.reproduce.experiments import (
    SCALES,
    TRAIN,
    TRAIN_VECTORIZED,
    Experiment,
    Family,
    Variant,
)
from dormant.reproduce.methods import REPLAY_RATIO, on_device

PYTHON = "python"
DATA = Path("data")
# The first seed of a process, and of runs on the device how many there are.
_FIRST_SEED, _DEVICE_SEEDS = SEED_PARAMETERS = ("LearnerOptions.seed", "VectorizedRun.seeds")


@dataclasses.dataclass(frozen=True)
class Job:
    """One process: a run, or all seeds of one variant and game.

    Attributes:
      name: the folder under which all of its runs lie, relative to the experiment's; of several
        Atari runs side by side, which are some of those under one folder, what tells them apart.
      arguments: after the interpreter's name.
      runs: in the order of their seeds.
      speed, replay_ratio: what its hours are estimated from.
      needs: folders of the runs that it reads, relative to the experiment's.
      data: what it reads of a data set, as its command would name it; None for nothing.
    """

    name: str
    arguments: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    speed: str
    replay_ratio: float
    needs: tuple[str, ...] = ()
    data: Path | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """What holds its runs and nothing else, relative to the experiment's folder."""
        folders = tuple(run.folder for run in self.runs)
        own = {self.name, *(f"{self.name}/seed_{run.seed}" for run in self.runs)}
        return (self.name,) if own.issuperset(folders) else folders

    @property
    def command(self) -> str:
        """The shell command."""
        return shlex.join([PYTHON, *self.arguments])

    @property
    def gin_file(self) -> str:
        """The configuration that its bindings change."""
        flag = "--gin_files="
        return next(word for word in self.arguments if word.startswith(flag)).removeprefix(flag)

    @property
    def agent_steps(self) -> int:
        """Of all runs together."""
        return sum(run.agent_steps for run in self.runs)


def jobs(
    experiment: Experiment,
    scale: str,
    folder: Path,
    seeds: int | range | None = None,
    games: Sequence[str] = (),
    data: Path = DATA,
    seeds_per_process: int = 1,
) -> list[Job]:
    """All processes of an experiment.

    Args:
      experiment: which.
      scale: one of `SCALES`.
      folder: the experiment's, as the commands name it.
      seeds: how many of each, or which; None for as many as the scale has.
      games: out of the scale's; none for all.
      data: the folder of all data sets, as the commands name it.
      seeds_per_process: of the agents on Dopamine's runners, side by side in one process; each is
        the run that it is alone.

    Raises:
      ValueError: the scale or a game is not one of the experiment's, or a number is not at least 1.
    """
    check_choice("--scale", scale, SCALES)
    if isinstance(seeds, int):
        check_count("--seeds", seeds, 1)
        seeds = range(seeds)
    check_count("--seeds_per_process", seeds_per_process, 1)
    cells = _cells(experiment, scale)
    check(bool(cells), "--scale", f"one that {experiment.name} has families of", scale)
    known = list(dict.fromkeys(game for cell in cells for game in cell.family.games))
    for game in games:
        check_choice("--games", game, known)
    plan = _Plan(folder, data, {cell.variant.method: cell.folder for cell in cells})
    return [
        _job(plan, cell, game, each)
        for cell in cells
        for game in cell.family.games
        if not games or game in games
        for each in _processes(cell.family, seeds or range(cell.family.seeds), seeds_per_process)
    ]


class _Cell(NamedTuple):
    """A variant at a scale."""

    variant: Variant
    family: Family
    bindings: dict[str, str]

    @property
    def folder(self) -> str:
        """The folder of all its runs."""
        return slug(f"{self.variant.method} {self.variant.setting}")


class _Plan(NamedTuple):
    """What all jobs of an experiment share."""

    folder: Path
    data: Path  # the folder of all data sets
    cells: dict[str, str]  # {method: the folder of all its runs}


def _cells(experiment: Experiment, scale: str) -> list[_Cell]:
    """The variants that there are at a scale."""
    cells = []
    for variant in experiment.variants:
        family = (variant.families or experiment.families).get(scale)
        if family is None:
            continue
        beside = [each for each in experiment.variants if each.families == variant.families]
        device, said = family.on_device, on_device(variant)
        # Methods are compared on one environment: all of a family's variants move, or none.
        if device is not None and said is not None and None not in map(on_device, beside):
            family, bindings = device, {**device.bindings, **said}
        else:
            # What makes a run short must hold whatever the variant says of periods.
            bindings = {**variant.bindings, **family.bindings}
        cells.append(_Cell(variant, family, {**bindings, **experiment.extra.get(scale, {})}))
    return cells


def _processes(family: Family, seeds: Sequence[int], together: int) -> list[Sequence[int]]:
    """The seeds of each process."""
    most = {TRAIN_VECTORIZED: len(seeds), TRAIN: together}.get(family.program, 1)
    return [seeds[first : first + most] for first in range(0, len(seeds), most)]


def _job(plan: _Plan, cell: _Cell, game: str, seeds: Sequence[int]) -> Job:
    variant, family = cell.variant, cell.family
    folders = [f"{cell.folder}/{game}/seed_{seed}" for seed in seeds]
    name = base = folders[0]
    side_by_side: dict[str, str] = {}
    if family.program == TRAIN_VECTORIZED:
        name = base = f"{cell.folder}/{game}"
        side_by_side = {_DEVICE_SEEDS: str(len(seeds))}
    elif len(seeds) > 1:
        base = f"{cell.folder}/{game}"
        name = f"{folders[0]}_to_{seeds[-1]}"
        side_by_side = {"create_dormant_runner.seeds": str(len(seeds))}
    # Only a process of a single run reads other runs or a data set: those of its seed.
    needs = {
        parameter: f"{plan.cells[method]}/{game}/seed_{seeds[0]}"
        for parameter, method in variant.reads.items()
        if method in plan.cells
    }
    places = {parameter: plan.folder / need for parameter, need in needs.items()}
    needed = None
    if family.data is not None:
        places[family.data.parameter] = plan.data / family.data.folder
        run = 1 + seeds[0] % family.data.runs
        needed = plan.data / family.data.folder / family.data.holds.format(game=game, run=run)
    bindings = {
        family.game_parameter: gin_text(game),
        **cell.bindings,
        **{parameter: gin_text(place.as_posix()) for parameter, place in places.items()},
    }

    def arguments(base: str, seed: int, more: Mapping[str, str]) -> tuple[str, ...]:
        bound = {**bindings, _FIRST_SEED: str(seed), **more}
        return (
            "-m",
            family.program,
            f"--gin_files={family.gin_file or variant.gin_file}",
            f"--base_dir={(plan.folder / base).as_posix()}",
            *(f"--gin_bindings={parameter} = {value}" for parameter, value in bound.items()),
        )

    # What runs side by side here may go on alone, or beside others, another time.
    alone = family.program != TRAIN_VECTORIZED
    together = arguments(base, seeds[0], side_by_side)
    runs = tuple(
        PlannedRun(
            folder=folder,
            method=variant.method,
            setting=variant.setting,
            value=variant.value,
            game=game,
            seed=seed,
            agent_steps=family.agent_steps,
            command=shlex.join([PYTHON, *(arguments(folder, seed, {}) if alone else together)]),
        )
        for seed, folder in zip(seeds, folders, strict=True)
    )
    said = {**variant.stated, **variant.bindings}
    return Job(
        name,
        together,
        runs,
        family.speed,
        float(said.get(REPLAY_RATIO, family.replay_ratio)),
        tuple(dict.fromkeys(needs.values())),
        needed,
    )


def alone(job: Job, run: PlannedRun) -> Job:
    """The process of one run of several that can also run by themselves."""
    arguments = tuple(shlex.split(run.command)[1:])
    return dataclasses.replace(job, name=run.folder, arguments=arguments, runs=(run,))


def gin_text(text: str) -> str:
    """A text as gin writes it, whatever is in it: a string of Python on one line."""
    return json.dumps(text, ensure_ascii=False)


def slug(text: str) -> str:
    """A folder's name: "DQN + ReDo replay ratio 1" is dqn_redo_replay_ratio_1."""
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("_")


def experiment_file(
    experiment: Experiment, scale: str, planned: Sequence[Job], command: str
) -> ExperimentFile:
    """What experiment.json says of it."""
    runs = tuple(run for job in planned for run in job.runs)
    return ExperimentFile(
        name=experiment.name,
        scale=scale,
        title=experiment.title,
        expected=experiment.expected,
        setting_name=experiment.setting_name,
        shows=experiment.shows,
        baseline=experiment.baseline or experiment.variants[0].method,
        command=command,
        runs=runs,
        # Smoke runs play other games or a thousandth of the steps: there is nothing to compare.
        paper=() if scale == "smoke" else experiment.paper,
        tau=experiment.tau,
        reduced=lacking(experiment, runs),
    )


def lacking(experiment: Experiment, runs: Sequence[PlannedRun]) -> str:
    """What the runs lack of an experiment's published ones: "3 of 17 games"; "" for nothing.

    Published are those of the methods that have runs; methods of other names may stand for any.
    """
    if not _cells(experiment, "paper"):
        return ""
    published = [run for job in jobs(experiment, "paper", Path()) for run in job.runs]
    methods = {run.method for run in runs}
    if methods <= {run.method for run in published}:
        published = [run for run in published if run.method in methods]
    ours, theirs = (
        {
            "games": len({run.game for run in each}),
            "seeds": min(Counter((run.method, run.setting, run.game) for run in each).values()),
            "agent steps a run": max(run.agent_steps for run in each),
        }
        for each in (runs, published)
    )
    if not {run.game for run in runs} <= {run.game for run in published}:
        del ours["games"]  # games that stand for others lack none of them
    return ", ".join(
        f"{count:,} {'of' if count < theirs[what] else 'in place of'} {theirs[what]:,} {what}"
        for what, count in ours.items()
        if count != theirs[what]
    )
