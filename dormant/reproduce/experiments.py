"""What an experiment is: methods and settings, and at each scale its games, seeds and lengths."""

import dataclasses
from collections.abc import Mapping

from dormant.records.experiment_file import PaperValue

SCALES = ("paper", "mini", "smoke")
TRAIN, TRAIN_VECTORIZED = "dormant.train", "dormant.train_vectorized"
STUDY = "dormant.study"

# {gin parameter: its value, as gin writes it}
Bindings = Mapping[str, str]


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
      data: what they read; None for nothing.
    """

    program: str
    game_parameter: str
    games: tuple[str, ...]
    seeds: int
    agent_steps: int
    bindings: Bindings = dataclasses.field(default_factory=dict)
    speed: str = ""
    data: DataSet | None = None


@dataclasses.dataclass(frozen=True)
class Variant:
    """One method in one setting: a cell of the experiment's table.

    Attributes:
      method: what is compared, such as "DQN + ReDo".
      gin_file: its configuration.
      setting: under what it is compared, such as "replay ratio 1"; "" where nothing varies.
      value: the number in the setting; None where it is none.
      bindings: what the setting changes in the gin file.
      family: the name, in the experiment's scales, of the runs that it has; a scale without them
        leaves the variant out.
      small: where a smoke run can be one on the device, the bindings that say on DQN there what
        gin_file and bindings say on the paper's agent; None where it cannot.
      replay_ratio: gradient steps per agent step, which decides how long a run takes.
      reads: {gin parameter: the method of this experiment whose run it names}, a run of the same
        game and seed, which comes first.
    """

    method: str
    gin_file: str
    setting: str = ""
    value: float | None = None
    bindings: Bindings = dataclasses.field(default_factory=dict)
    family: str = ""
    small: Bindings | None = None
    replay_ratio: float = 0.25
    reads: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A figure or table.

    Attributes:
      name: such as "fig10".
      title: what it is, in a line.
      expected: what the paper finds, in a line or two.
      variants: its cells.
      scales: {scale: {family: its runs}}.
      shows: as in `ExperimentFile`.
      setting_name: what varies between the rows; "" where nothing does.
      baseline: the method that the others are compared with; "" for the first variant's.
      paper: what the paper reports.
      aliases: other figures that show the same runs.
      extra: {scale: bindings of every run there}, where a length must be known elsewhere too.
      tau: the threshold at which the figure counts dormant neurons.
    """

    name: str
    title: str
    expected: str
    variants: tuple[Variant, ...]
    scales: Mapping[str, Mapping[str, Family]]
    shows: tuple[str, ...] = ("iqm", "return", "dormant_percent")
    setting_name: str = ""
    baseline: str = ""
    paper: tuple[PaperValue, ...] = ()
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, Bindings] = dataclasses.field(default_factory=dict)
    tau: float = 0.1
