# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What an experiment is: methods and settings, and at each scale its games, seeds and lengths."""

import dataclasses
from collections.abc import Mapping

from dormant.records.experiment_file import DEFAULT_TAU, PaperValue

SCALES = ("paper", "mini", "smoke")
TRAIN, TRAIN_VECTORIZED = "dormant.train", "dormant.train_vectorized"
STUDY = "dormant.study"

# {gin parameter: its value, as gin writes it}
Bindings = Mapping[str, str]
NO_BINDINGS: Bindings = {}
# A measure, and the game it is of; None where it is of all games.
Measured = tuple[str, str | None]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Files that do not come with this package and that a run reads.

    Attributes:
      parameter: the gin parameter that names its folder.
      folder: its name, in the folder of all data sets.
      holds: what a run needs of it, in which {game} and {run} stand for the run's own.
      runs: how many it has of each game: seed k reads number 1 + k modulo so many.
    """

    parameter: str
    folder: str
    holds: str
    runs: int = 1


@dataclasses.dataclass(frozen=True)
class Family:
    """Runs of one kind at one scale: where they play, how many there are, how long each is.

    Attributes:
      program: `TRAIN` or `STUDY`, one process for each run, or `TRAIN_VECTORIZED`, one for all
        seeds.
      game_parameter: the gin parameter that names the game, or the data in a game's place.
      games: the values that it takes.
      seeds: how many, counted from 0.
      agent_steps: of one run.
      bindings: what makes the runs that long; none where the gin file says so itself.
      speed: which measurement of the benchmarks tells how fast they are; "" where none does.
      replay_ratio: gradient steps per agent step, where the cell does not set it.
      data: what they read; None for nothing.
      gin_file: their configuration where it is not the variant's own; "" where it is.
      on_device: the runs on the device that stand for these, where every cell of the family can be
        said in the words of the agent there; None where none do.
    """

    program: str
    game_parameter: str
    games: tuple[str, ...]
    seeds: int
    agent_steps: int
    bindings: Bindings = dataclasses.field(default_factory=dict)
    speed: str = ""
    replay_ratio: float = 0.25
    data: DataSet | None = None
    gin_file: str = ""
    on_device: "Family | None" = None


Families = Mapping[str, Family]  # {scale: its runs}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One method in one setting: a cell of the experiment's table.

    Attributes:
      method, setting, value: as in `PlannedRun`.
      gin_file: its configuration, one of the package's own or a path.
      stated: what of the method gin_file states itself; smoke runs on the device, which have
        another file, are made of it and of the bindings.
      bindings: what the setting changes in the gin file.
      families: its runs where they are not the experiment's; None where they are.
      reads: {gin parameter: the method of this experiment whose run it names}, a run of the same
        game and seed, which comes first; at a scale without that method it reads none.
    """

    method: str
    gin_file: str
    stated: Bindings = dataclasses.field(default_factory=dict)
    bindings: Bindings = dataclasses.field(default_factory=dict)
    setting: str = ""
    value: float | None = None
    families: Families | None = None
    reads: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A figure or table.

    Attributes:
      name, title, expected, shows, setting_name: as in `ExperimentFile`.
      variants: its cells.
      families: {scale: its runs}; a variant is left out of a scale that its families lack.
      reported: {measure and game: what the paper reports of the first variants, in their order}.
      baseline: the method that the others are compared with; "" for the first variant's.
      notes: what else a reader of the runs must know, in a line or two; "" for nothing.
      caveats: {measure: what limits the paper's values of it}.
      aliases: other figures that show the same runs.
      extra: {scale: bindings of every run there}, where a length must be known elsewhere too.
      tau: the threshold at which the figure counts dormant neurons.
      default_scale: the scale that is run unless another is asked for.
    """

    name: str
    title: str
    expected: str
    variants: tuple[Variant, ...]
    families: Families
    reported: Mapping[Measured, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    shows: tuple[str, ...] = ("iqm", "return", "dormant_percent")
    setting_name: str = ""
    baseline: str = ""
    notes: str = ""
    caveats: Mapping[str, str] = dataclasses.field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, Bindings] = dataclasses.field(default_factory=dict)
    tau: float = DEFAULT_TAU
    default_scale: str = "smoke"

    @property
    def paper(self) -> tuple[PaperValue, ...]:
        """What the paper reports, measure by measure: of a figure it is read off, within 10 %."""
        read_off = self.name.startswith("fig")
        source = f"{'figure' if read_off else 'table'} {self.name[3:]}"
        return tuple(
            PaperValue(
                method=variant.method,
                setting=variant.setting,
                measure=measure,
                game=game,
                value=value,
                source=", ".join(filter(None, (source, self.caveats.get(measure)))),
                read_off=read_off,
            )
            for (measure, game), values in self.reported.items()
            for variant, value in zip(self.variants, values, strict=False)
        )
