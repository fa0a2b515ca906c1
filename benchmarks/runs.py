# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Agent steps per second of whole runs, as `python -m dormant.reproduce` starts them: each kind in
a process of its own, some short iterations. `reproduce --list` computes its hours from these.

python benchmarks/runs.py [--repeats N] [--kinds nature sac ...] [--ours_only] [--json OUT]
"""

import gzip
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common
from dormant.records.files import METRICS_FILE
from dormant.records.reading import read_run
from dormant.reproduce.estimates import row_name
from dormant.reproduce.experiments import STUDY, TRAIN, TRAIN_VECTORIZED
from dormant.reproduce.families import DEVICE_FILE

ROOT = pathlib.Path(__file__).resolve().parents[1]
WARM_UP = 50  # agent steps of an agent before its first update, in the first iteration
SEEDS = 10  # of a run on the device


class Kind(NamedTuple):
    """Runs of one speed, and a gin file that stands for them.

    Attributes:
      program: what runs it.
      gin_file: its name among the package's own.
      iteration: `{gin parameter: its value}` that say how long an iteration is.
      replay_ratios: one or two that are measured; a line through two tells the others.
      bindings: what else differs from the file.
      reads: what is made before: "data", steps of a game, or "run", an agent's; "" for nothing.
    """

    program: str
    gin_file: str
    iteration: dict[str, int]
    replay_ratios: tuple[float, ...]
    bindings: dict[str, str] = {}
    reads: str = ""

    @property
    def needs_dopamine(self) -> bool:
        """Whether it, or what it reads, is a run of a Dopamine agent."""
        return self.program == TRAIN or self.reads == "run"


def _atari(name: str, steps: int, replay_ratios: tuple[float, ...], **bindings: str) -> Kind:
    own = {
        "JaxDQNAgent.min_replay_history": str(WARM_UP),
        # An iteration goes on to the end of an episode.
        "Runner.max_steps_per_episode": str(steps),
        **{name.replace("__", "."): value for name, value in bindings.items()},
    }
    return Kind(TRAIN, f"{name}.gin", {"Runner.training_steps": steps}, replay_ratios, own)


def _device(network: str, steps: int) -> Kind:
    bindings = {"VectorizedDQN.network": f"'{network}'", "VectorizedRun.seeds": str(SEEDS)}
    return Kind(
        TRAIN_VECTORIZED, DEVICE_FILE, {"VectorizedRun.training_steps": steps}, (0.25, 1), bindings
    )


def _study(name: str, bindings: dict[str, str], reads: str = "") -> Kind:
    steps = {"StudyRun.training_steps": 100}
    return Kind(STUDY, f"studies/{name}.gin", steps, (1,), bindings, reads)


# By the names that `Family.speed` has.
KINDS = {
    "nature": _atari("fig07", 400, (0.25, 1)),
    "resnet": _atari("fig10_resnet", 100, (0.25, 1)),
    "width 2": _atari("fig12_dqn", 100, (1,), DormantDQNAgent__width="2"),
    "width 4": _atari("fig12_dqn", 100, (1,), DormantDQNAgent__width="4"),
    "drq_eps": _atari("fig10_drq_eps", 200, (1, 2), MaxEpisodeEvalRunner__num_eval_episodes="1"),
    "sac": Kind(
        TRAIN,
        "fig14_sac.gin",
        {"ContinuousRunner.training_steps": 1_000, "ContinuousRunner.evaluation_steps": 10},
        (1,),
        {"SACAgent.min_replay_history": "500"},
    ),
    "minatar": _device("minatar", 2_000),
    "minatar mlp": _device("mlp", 2_000),
    "images": _study("fig03", {"Images.source": "'synthetic'"}),
    "digits": _study("digits", {}),
    "minatar offline": _study("fig04", {"OfflineDQN.data_steps": "2_000"}),
    "minatar distillation": _study("fig08", {"Distillation.teacher_steps": "2_000"}),
    "offline": _study("fig04_atari", {"OfflineDQN.evaluation_episodes": "1"}, "data"),
    "distillation": _study(
        "fig08_atari",
        {"Distillation.student": "'fresh'", "Distillation.evaluation_episodes": "1"},
        "run",
    ),
}


def measure(name: str, replay_ratio: float, repeats: int, folder: pathlib.Path) -> common.Row:
    """Runs a kind in an empty folder; the first iteration, which compiles, does not count.

    Raises:
      subprocess.CalledProcessError: the run failed; its own message is on the terminal.
    """
    kind = KINDS[name]
    bindings = {**kind.bindings, **_made(kind, folder)}
    if kind.program != STUDY:
        bindings["LearnerOptions.replay_ratio"] = f"{replay_ratio:g}"
    _run(kind.program, kind.gin_file, folder / "run", kind.iteration, repeats + 1, bindings)
    runs = [read_run(path.parent) for path in sorted((folder / "run").rglob(METRICS_FILE))]
    seeds = zip(*([each.steps_per_second for each in run.iterations] for run in runs), strict=True)
    # Seeds that run side by side: all their steps together.
    speeds = [sum(each) for each in seeds][1:]
    return common.Row(row_name(name, replay_ratio), "agent steps/s", [speeds])


def _run(
    program: str,
    gin_file: str,
    base_dir: pathlib.Path,
    iteration: dict[str, int],
    iterations: int,
    bindings: dict[str, str],
) -> None:
    runner = next(iter(iteration)).partition(".")[0]
    bindings = {**iteration, f"{runner}.num_iterations": iterations, **bindings}
    flags = [f"--gin_bindings={parameter} = {value}" for parameter, value in bindings.items()]
    command = [sys.executable, "-m", program, f"--gin_files={gin_file}", f"--base_dir={base_dir}"]
    subprocess.run([*command, *flags], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def _made(kind: Kind, folder: pathlib.Path) -> dict[str, str]:
    """Makes what a kind reads; the bindings that name it."""
    if kind.reads == "data":
        _write_data_set(folder / "data")
        return {"DQNReplay.folder": f"'{folder / 'data'}'"}
    if kind.reads == "run":
        agent = KINDS["nature"]
        _run(agent.program, agent.gin_file, folder / "read", agent.iteration, 1, agent.bindings)
        return {"Distillation.teacher_run": f"'{folder / 'read'}'"}
    return {}


def _write_data_set(folder: pathlib.Path, steps: int = 1_000) -> None:
    """A file of each array, as the DQN Replay data set has them; how fast a run is they decide
    by their shapes alone."""
    logs = folder / "DemonAttack" / "1" / "replay_logs"
    logs.mkdir(parents=True)
    arrays = {
        "observation": np.zeros((steps, 84, 84), np.uint8),
        "action": np.zeros(steps, np.int32),
        "reward": np.zeros(steps, np.float32),
        "terminal": np.zeros(steps, np.uint8),
    }
    for name, array in arrays.items():
        with gzip.open(logs / f"$store$_{name}_ckpt.0.gz", "wb", 1) as file:
            np.save(file, array)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes the JSON file asked for."""
    parser = common.parser(__doc__.splitlines()[0], repeats=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    rows = []
    for name in options.kinds:
        if options.ours_only and KINDS[name].needs_dopamine:
            continue
        for replay_ratio in KINDS[name].replay_ratios:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(name, replay_ratio, options.repeats, pathlib.Path(folder)))
    title = (
        "Whole runs, as `dormant.reproduce` starts them, by the kinds of its families: training"
        f" alone, in iterations that compile nothing; on the device {SEEDS} seeds together. An"
        " agent step of a study (images, digits, offline, distillation and those two on MinAtar) is"
        " a gradient step."
    )
    tables = [common.Table(title, ["agent steps/s"], rows)]
    settings = {"repeats": options.repeats}
    common.publish(common.record("runs", settings, described, tables), started, options.json)


if __name__ == "__main__":
    main()
