"""From an experiment to its runs: which processes there are, and where each run lies."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from dormant.records.experiment_file import ExperimentFile, PlannedRun
from dormant.reproduce.experiments import (
    SCALES,
    TRAIN_VECTORIZED,
    DataSet,
    Experiment,
    Family,
    Variant,
)
from dormant.reproduce.families import SMALL
from dormant.reproduce.methods import DEVICE_FILE

PYTHON = "python"
DATA = Path("data")


@dataclasses.dataclass(frozen=True)
class Job:
    """One process: a run, or all seeds of one variant and game.

    Attributes:
      name: the folder under which all of its runs lie, relative to the experiment's.
      arguments: after the interpreter's name.
      runs: in the order of their seeds.
      speed, replay_ratio: what its hours are estimated from.
      needs: names of the jobs whose runs it reads.
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
    seeds: int | None = None,
    games: Sequence[str] = (),
    data: Path = DATA,
) -> list[Job]:
    """All processes of an experiment.

    Args:
      experiment: which.
      scale: one of `SCALES`.
      folder: the experiment's, as the commands name it.
      seeds: how many of each; None for as many as the scale has.
      games: out of the scale's; none for all.
      data: the folder of all data sets, as the commands name it.

    Raises:
      ValueError: the scale or a game is not one of the experiment's, or seeds is not at least 1.
    """
    if scale not in SCALES:
        raise ValueError(f"--scale must be one of {', '.join(SCALES)}; got {scale!r}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1; got {seeds}")
    kinds = [(each, _kind(experiment, each, scale)) for each in experiment.variants]
    kinds = [(variant, *kind) for variant, kind in kinds if kind is not None]
    known = list(dict.fromkeys(game for _, family, *_ in kinds for game in family.games))
    unknown = [game for game in games if game not in known]
    if unknown:
        raise ValueError(
            f"--games must be out of those of {experiment.name} at scale {scale},"
            f" {', '.join(known)}; got {unknown[0]!r}"
        )
    found = []
    bases = {variant.method: _base(variant) for variant, *_ in kinds}
    for variant, family, gin_file, bindings in kinds:
        bindings = {**bindings, **experiment.extra.get(scale, {})}
        reads = {parameter: bases[method] for parameter, method in variant.reads.items()}
        for game in family.games:
            if games and game not in games:
                continue
            made = _Maker(variant, family, gin_file, bindings, reads, folder, data, game)
            found += made.jobs(seeds or family.seeds)
    return found


def _kind(experiment: Experiment, variant: Variant, scale: str) -> tuple[Family, str, dict] | None:
    """The runs of a variant at a scale, with the gin file and the bindings that say so; or None."""
    families = experiment.scales[scale]
    if SMALL in families and variant.small is not None:
        family = families[SMALL]
        return family, DEVICE_FILE, {**family.bindings, **variant.small}
    if variant.family not in families:
        return None
    family = families[variant.family]
    # What makes a run short must hold whatever the variant says of periods.
    return family, variant.gin_file, {**variant.bindings, **family.bindings}


def _base(variant: Variant) -> str:
    """The folder of all runs of a variant."""
    return slug(f"{variant.method} {variant.setting}")


@dataclasses.dataclass(frozen=True)
class _Maker:
    """Makes the jobs of one variant and game."""

    variant: Variant
    family: Family
    gin_file: str
    bindings: dict
    reads: dict  # {gin parameter: the folder of all runs of the variant that it reads}
    folder: Path
    data: Path  # the folder of all data sets
    game: str

    def jobs(self, seeds: int) -> list[Job]:
        name = f"{_base(self.variant)}/{self.game}"
        if self.family.program == TRAIN_VECTORIZED:
            bindings = {"LearnerOptions.seed": "0", "VectorizedRun.seeds": str(seeds)}
            return [self._job(name, name, bindings, range(seeds))]
        return [
            self._job(
                f"{name}/seed_{seed}",
                f"{name}/seed_{seed}",
                {"LearnerOptions.seed": str(seed)},
                [seed],
            )
            for seed in range(seeds)
        ]

    def _job(self, name: str, base: str, own: dict, seeds: Sequence[int]) -> Job:
        # Whoever reads runs is alone with its seed.
        needs = {what: f"{base}/{self.game}/seed_{seeds[0]}" for what, base in self.reads.items()}
        read = {what: f'"{(self.folder / need).as_posix()}"' for what, need in needs.items()}
        data = self.family.data
        if data is not None:
            read[data.parameter] = f'"{(self.data / data.folder).as_posix()}"'
        bindings = {self.family.game_parameter: f'"{self.game}"', **self.bindings, **read, **own}
        arguments = (
            "-m",
            self.family.program,
            f"--gin_files={self.gin_file}",
            f"--base_dir={(self.folder / base).as_posix()}",
            *(f"--gin_bindings={parameter} = {value}" for parameter, value in bindings.items()),
        )
        job = Job(
            name,
            arguments,
            (),
            self.family.speed,
            self.variant.replay_ratio,
            tuple(dict.fromkeys(needs.values())),
            data and self._read_of(data, seeds[0]),
        )
        alone = self.family.program != TRAIN_VECTORIZED
        runs = tuple(
            PlannedRun(
                folder=name if alone else f"{name}/seed_{seed}",
                method=self.variant.method,
                setting=self.variant.setting,
                value=self.variant.value,
                game=self.game,
                seed=seed,
                agent_steps=self.family.agent_steps,
                command=job.command,
            )
            for seed in seeds
        )
        return dataclasses.replace(job, runs=runs)

    def _read_of(self, data: DataSet, seed: int) -> Path:
        run = 1 + seed % data.runs
        return self.data / data.folder / data.holds.format(game=self.game, run=run)


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
        reduced=_reduced(experiment, runs),
    )


def _reduced(experiment: Experiment, runs: Sequence[PlannedRun]) -> str:
    """What the runs lack of those published; "" for nothing."""
    published = [run for job in jobs(experiment, "paper", Path()) for run in job.runs]
    games, theirs = ({run.game for run in each} for each in (runs, published))
    counts = [
        # Games that stand for others lack none of them.
        ("games", len(games), len(theirs) if games <= theirs else len(games)),
        ("seeds", *(len({run.seed for run in each}) for each in (runs, published))),
        (
            "agent steps a run",
            *(max(run.agent_steps for run in each) for each in (runs, published)),
        ),
    ]
    return ", ".join(f"{ours:,} of {all_:,} {what}" for what, ours, all_ in counts if ours != all_)
