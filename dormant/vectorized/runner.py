"""Runs on the device as a user starts them: seeds side by side, each with the records of a run.
The host only counts, writes records and checkpoints; everything else is one compiled program."""

import contextlib
import math
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np

from dormant import vectorized
from dormant.learners import LearnerState
from dormant.records import metrics
from dormant.records.run_file import RunRecord
from dormant.runs.array_checkpoints import ArrayCheckpoints, template_of
from dormant.runs.host_arrays import to_host
from dormant.runs.interventions import tracker_of
from dormant.runs.members import Member
from dormant.runs.options import ConfigurationError, LearnerOptions, require
from dormant.runs.progress import Progress, iterations_left
from dormant.vectorized.agent import VectorizedDQN
from dormant.vectorized.options import VectorizedRun
from dormant.vectorized.program import Program, RunState
from dormant.vectorized.sharding import local_seeds, shard, usable_devices
from dormant.xla_cpu import one_by_one

# Calls of the program between two records, of which each takes some milliseconds on the host.
_MOST_CALLS = 20


class VectorizedRunner:
    """Trains, records and saves all members of a `VectorizedRun`.

    Nothing is created on disk before the program's state stands.
    """

    def __init__(
        self, base_dir: str, run: VectorizedRun, agent: VectorizedDQN, options: LearnerOptions
    ):
        """Builds the program and its state, or loads it where there is a checkpoint.

        Args:
          base_dir: the folder of all members.
          run, agent, options: as gin configures them.

        Raises:
          ConfigurationError: when an option is not allowed, or the checkpoint is of another run.
        """
        self._run = run
        first_seed = 0 if options.seed is None else options.seed
        self._first_seed = first_seed
        members = run.members(first_seed)
        self._count = len(members)
        last = first_seed + run.seeds - 1
        require(last < 2**31, "LearnerOptions.seed", "such that all seeds are below 2**31", last)
        program, self._settings, environment = agent.program(options, tuple(run.side_by_side or ()))
        agent.check_side_by_side(options, run.side_by_side or {})
        self._acts = options.intervention is not None
        self._check_lengths(options)
        devices = _devices(run.devices, len(members))
        self._program = _over(program, devices, run.threads)
        keys = jax.vmap(jax.random.key)(jnp.array([member.seed for member in members]))
        names = members[0].values
        values = {n: jnp.array([m.values[n] for m in members], jnp.float32) for n in names}
        self._state = self._program.init(keys, values)
        local = local_seeds(len(members), devices)
        self._members = [members[index] for index in local]
        _allow_open_files(len(self._members))
        self._checkpoints = ArrayCheckpoints(Path(base_dir) / "checkpoints")
        self._start_iteration = 0
        latest = self._checkpoints.latest()
        if latest is not None:
            self._start_iteration = latest + 1
            self._resume(latest)
        self._base_dir = Path(base_dir)
        replay = self._settings.capacity * vectorized.bytes_per_transition(environment)
        self._memory = replay * len(members)
        self._name = f"DQN on {environment.name}"
        self._device_count = len(devices)

    def _resume(self, number: int) -> None:
        """Loads a checkpoint, which must be of the same members and lengths."""
        fresh = _identity(self._state)
        template = template_of(self._state)
        # The arrays that were made to know their places go before those of the checkpoint come.
        self._state = None
        state = self._checkpoints.load(number, template)
        same = jax.tree.map(np.array_equal, fresh, _identity(state))
        first = _parts(state)[0]
        steps = (int(first.agent_step), int(first.learner.gradient_step))
        agent_step = self._start_iteration * self._run.training_steps
        expected = (agent_step, self._gradient_step(agent_step))
        if not all(jax.tree.leaves(same)) or steps != expected:
            raise ConfigurationError(
                f"the run in {self._checkpoints.folder} was started with other seeds, values side"
                " by side or lengths; continue it with its own gin file or give another --base_dir;"
                f" received {', '.join(member.name for member in self._members[:4])} and iterations"
                f" of {self._run.training_steps} agent steps"
            )
        self._state = state

    def _gradient_step(self, agent_step: int) -> int:
        """The gradient steps of each seed after so many agent steps, which all seeds share."""
        settings = self._settings
        rounds = agent_step // settings.update_period - settings.warm_up_rounds
        return max(0, rounds) * settings.updates_per_burst

    def _check_lengths(self, options: LearnerOptions) -> None:
        settings, run = self._settings, self._run
        rounds, rest = divmod(run.training_steps, settings.update_period)
        allowed = f"a multiple of VectorizedDQN.update_period, {settings.update_period}"
        require(rest == 0, "VectorizedRun.training_steps", allowed, run.training_steps)
        warm_up = settings.warm_up_rounds * settings.update_period
        allowed = f"more than the {warm_up} agent steps of VectorizedDQN.min_replay_history"
        require(rounds > settings.warm_up_rounds, "VectorizedRun.training_steps", allowed,
                run.training_steps)  # fmt: skip
        total = run.num_iterations * run.training_steps
        allowed = "fewer than 2**31 agent steps"
        require(total < 2**31, "VectorizedRun.num_iterations * training_steps", allowed, total)
        period = tracker_of(options).tracking_period
        tracking, rest = divmod(period, settings.updates_per_burst)
        allowed = (
            f"a multiple of the {settings.updates_per_burst} gradient steps of one burst"
            " (replay_ratio * update_period)"
        )
        require(rest == 0, "Tracker.tracking_period", allowed, period)
        self._tracking_period = period
        # What every call of the program advances: a record or an iteration ends with one.
        shared = math.gcd(rounds, tracking)
        self._unit = math.gcd(shared, settings.warm_up_rounds)
        if self._unit * _MOST_CALLS < min(shared, tracking):
            nearest = max(1, round(settings.warm_up_rounds / shared)) * shared
            raise ConfigurationError(
                "VectorizedDQN.min_replay_history must share a large divisor with"
                " VectorizedRun.training_steps and the agent steps between two records, such as"
                f" {nearest * settings.update_period}; received {settings.min_replay_history}"
            )

    def describe(self) -> str:
        """What runs, in a line."""
        left = iterations_left(self._start_iteration, self._run.num_iterations)
        first = self._first_seed
        devices = "1 device" if self._device_count == 1 else f"{self._device_count} devices"
        return (
            f"{self._name}, {self._count} runs side by side (seeds {first} to"
            f" {first + self._run.seeds - 1}) on"
            f" {devices}, replay {self._memory / 2**20:.0f} MiB, {left}"
        )

    def run_experiment(self, command: list[str]) -> None:
        """Runs the iterations that are left, with a checkpoint after each.

        Args:
          command: the process's arguments, for run.json.

        Raises:
          FloatingPointError: when a loss is not finite, naming the gradient step and the seed.
        """
        folders = [self._base_dir / member.folder for member in self._members]
        records: list[RunRecord] = []
        try:
            for folder, member in zip(folders, self._members, strict=True):
                folder.mkdir(parents=True, exist_ok=True)
                record = RunRecord(
                    str(folder),
                    seed=member.seed,
                    start_iteration=self._start_iteration,
                    command=command,
                    config=gin.operative_config_str(),
                    side_by_side=member.values,
                )
                records.append(record)
            self._train(folders)
        except BaseException as error:
            for record in records:
                record.fail(error)
            raise
        for record in records:
            record.finish()

    def _train(self, folders: list[Path]) -> None:
        agent_step = int(_parts(self._state)[0].agent_step)
        with contextlib.ExitStack() as stack:
            files = []
            for folder in folders:
                file = metrics.MetricsFile(
                    str(folder),
                    iteration=self._start_iteration,
                    agent_step=agent_step,
                    gradient_step=self._gradient_step(agent_step),
                )
                files.append(stack.enter_context(contextlib.closing(file)))
            # One process speaks for all.
            quiet = open(os.devnull, "w") if jax.process_index() else contextlib.nullcontext(None)
            progress = stack.enter_context(Progress(agent_step, stack.enter_context(quiet)))
            writer = _Writer(files, self._members, self._acts, progress)
            for iteration in range(self._start_iteration, self._run.num_iterations):
                left = self._run.num_iterations - iteration
                progress.expect(left * self._run.training_steps)
                self._iterate(iteration, writer, progress)
                self._checkpoints.save(iteration, self._state)

    def _iterate(self, iteration: int, writer: "_Writer", progress: Progress) -> None:
        start, episodes = time.monotonic(), []
        agent_step = iteration * self._run.training_steps
        end = agent_step + self._run.training_steps
        while agent_step < end:
            if agent_step == 0:
                self._state, brought = self._program.fill(self._state)
            else:
                self._state, brought = self._program.advance(self._state, self._unit)
            taken = brought.episode_return.shape[1] * self._settings.update_period
            agent_step += taken
            gradient_step = self._gradient_step(agent_step)
            brought = to_host(brought)
            writer.check_finite(brought.nonfinite_step)
            progress.step(taken)
            episodes.append((brought.episode_return, brought.episode_length))
            if gradient_step and gradient_step % self._tracking_period == 0:
                writer.tracking(self._measured(), brought.metrics, agent_step)
        speed = self._run.training_steps / (time.monotonic() - start)
        writer.iteration(iteration, (agent_step, gradient_step), episodes, speed)

    def _measured(self) -> list[LearnerState]:
        """Each member's learner, without its parameters: the records hold none."""
        parts = _parts(self._state)
        seeds = len(self._members) // len(parts)
        learners = [
            to_host(part.learner._replace(params=(), target_params=(), opt_state=(), key=()))
            for part in parts
        ]
        return [vectorized.take_seed(each, seed) for each in learners for seed in range(seeds)]


class _Writer:
    """Writes what the program brought, each member's to its own file."""

    def __init__(
        self,
        files: list[metrics.MetricsFile],
        members: list[Member],
        acts: bool,
        progress: Progress,
    ):
        self._files, self._members, self._acts = files, members, acts
        self._progress = progress

    def check_finite(self, nonfinite_step: np.ndarray) -> None:
        for member, step in zip(self._members, nonfinite_step, strict=True):
            if step >= 0:
                raise FloatingPointError(
                    f"the loss is not finite at gradient step {step} of {member.name}"
                )

    def tracking(
        self, learners: list[LearnerState], scalars: Mapping[str, np.ndarray], agent_step: int
    ) -> None:
        percents = []
        for index, (file, learner) in enumerate(zip(self._files, learners, strict=True)):
            record = metrics.tracking_record(
                learner.tracker,
                learner.intervention if self._acts else None,
                {name: values[index] for name, values in scalars.items()},
                agent_step=agent_step,
            )
            file.write(record)
            percents.append(record["dormant_percent_pooled"][-1])
        self._progress.show(dormant=f"{np.mean(percents):.1f} % (tau {record['taus'][-1]:g})")

    def iteration(
        self,
        iteration: int,
        steps: tuple[int, int],
        episodes: list[tuple[np.ndarray, np.ndarray]],
        steps_per_second: float,
    ) -> None:
        means = []
        returns, lengths = (np.concatenate(parts, axis=1) for parts in zip(*episodes, strict=True))
        for index, file in enumerate(self._files):
            ended = ~np.isnan(returns[index])
            found = returns[index][ended].tolist()
            mean = float(np.mean(found)) if found else 0.0
            record = metrics.iteration_record(
                iteration,
                agent_step=steps[0],
                gradient_step=steps[1],
                steps_per_second=steps_per_second,
                train=metrics.Episodes(found, lengths[index][ended].tolist(), mean),
            )
            file.write(record)
            means += [mean] if found else []
        average = f"average return {np.mean(means):.2f}" if means else "no episode ended"
        self._progress.line(
            f"iteration {iteration} done  {average} of {len(self._files)} runs"
            f"  {steps_per_second * len(self._files):,.0f} agent steps/s together"
        )


def _devices(asked: int | None, members: int) -> list[jax.Device]:
    devices = jax.devices()
    if jax.process_count() > 1:
        allowed = f"a multiple of the {len(devices)} devices of all processes"
        require(members % len(devices) == 0, "the number of runs side by side", allowed, members)
        require(asked in (None, len(devices)), "VectorizedRun.devices", "None here", asked)
        return devices
    if asked is None:
        return devices[: usable_devices(members, len(devices))]
    require(asked <= len(devices), "VectorizedRun.devices", f"at most {len(devices)}", asked)
    allowed = f"a divisor of the {members} runs side by side"
    require(members % asked == 0, "VectorizedRun.devices", allowed, asked)
    return devices[:asked]


def _over(program: Program, devices: list[jax.Device], threads: int | None) -> Program:
    """The program over several devices; on one CPU over its cores."""
    if len(devices) == 1 and devices[0].platform == "cpu":
        return one_by_one(program, threads)
    require(threads is None, "VectorizedRun.threads", "None but on one CPU device", threads)
    return shard(program, devices) if len(devices) > 1 else program


def _parts(state: RunState | tuple[RunState, ...]) -> tuple[RunState, ...]:
    """The states that a program's state consists of."""
    return (state,) if isinstance(state, RunState) else state


def _identity(state: RunState | tuple[RunState, ...]) -> list[Any]:
    """What a continued run must have in common with the run it continues."""
    return to_host([(part.key, part.hyperparameters) for part in _parts(state)])


def _allow_open_files(count: int) -> None:
    """Every member's records are a file of their own; many systems allow 1 024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 256
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"the runs side by side must be at most {hard - 256}, as this system allows {hard} open"
            f" files; received {count}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
