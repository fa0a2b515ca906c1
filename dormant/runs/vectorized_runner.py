"""Runs on the device as a user starts them: seeds side by side, each with the records of a run.
The host only counts, writes records and checkpoints; everything else is one compiled program."""

import contextlib
import math
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from dormant import vectorized
from dormant.runs import metrics
from dormant.runs.array_checkpoints import ArrayCheckpoints
from dormant.runs.members import Member
from dormant.runs.options import (
    ConfigurationError,
    LearnerOptions,
    require,
)
from dormant.runs.progress import Progress
from dormant.runs.run_record import RunRecord
from dormant.runs.vectorized_agent import VectorizedDQN, tracker_of
from dormant.runs.vectorized_options import VectorizedRun
from dormant.vectorized.sharding import local_seeds, shard, to_host


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
        members = run.members(first_seed)
        program, self._settings, environment = agent.program(
            options, tuple(run.side_by_side or ())
        )
        self._acts = options.intervention is not None
        self._check_lengths(options)
        devices = _devices(run.devices, len(members))
        self._program = shard(program, devices) if len(devices) > 1 else program
        keys = jax.vmap(jax.random.key)(jnp.array([member.seed for member in members]))
        names = members[0].values
        values = {n: jnp.array([m.values[n] for m in members], jnp.float32) for n in names}
        self._state = self._program.init(keys, values)
        local = local_seeds(len(members), devices)
        self._members = [members[index] for index in local]
        self._checkpoints = ArrayCheckpoints(Path(base_dir) / "checkpoints")
        self._start_iteration = 0
        latest = _latest_of_all(self._checkpoints)
        if latest is not None:
            self._state = self._checkpoints.load(latest, self._state)
            self._start_iteration = latest + 1
        self._base_dir = Path(base_dir)
        replay = self._settings.capacity * vectorized.bytes_per_transition(environment)
        self._memory = replay * len(members)
        self._name = f"DQN on {environment.name}"
        self._device_count = len(devices)

    def _check_lengths(self, options: LearnerOptions) -> None:
        settings, run = self._settings, self._run
        rounds, rest = divmod(run.training_steps, settings.update_period)
        allowed = f"a multiple of VectorizedDQN.update_period, {settings.update_period}"
        require(rest == 0, "VectorizedRun.training_steps", allowed, run.training_steps)
        require(
            rounds > settings.warm_up_rounds,
            "VectorizedRun.training_steps",
            f"more than VectorizedDQN.min_replay_history, {settings.min_replay_history}",
            run.training_steps,
        )
        period = tracker_of(options).tracking_period
        tracking, rest = divmod(period, settings.updates_per_burst)
        allowed = (
            f"a multiple of the {settings.updates_per_burst} gradient steps of one burst"
            " (replay_ratio * update_period)"
        )
        require(rest == 0, "Tracker.tracking_period", allowed, period)
        self._iteration_rounds, self._tracking_rounds = rounds, tracking
        # What every call of the program advances: a record or an iteration ends with one.
        self._unit = math.gcd(rounds - settings.warm_up_rounds, rounds, tracking)

    def describe(self) -> str:
        """What runs, in a line."""
        start, end = self._start_iteration, self._run.num_iterations
        left = f"iterations {start} to {end - 1}" if start < end else f"all {end} iterations done"
        count, seeds = len(self._members), sorted({member.seed for member in self._members})
        return (
            f"{self._name}, {count} runs side by side (seeds {seeds[0]} to {seeds[-1]}) on"
            f" {self._device_count} devices, replay {self._memory / 2**20:.0f} MiB, {left}"
        )

    def run_experiment(self, command: list[str]) -> None:
        """Runs the iterations that are left, with a checkpoint after each.

        Args:
          command: the process's arguments, for run.json.

        Raises:
          FloatingPointError: when a loss is not finite, naming the gradient step and the seed.
        """
        folders = [self._base_dir / member.folder for member in self._members]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        _allow_open_files(len(folders))
        records = [
            RunRecord(
                str(folder),
                seed=member.seed,
                start_iteration=self._start_iteration,
                command=command,
                side_by_side=member.values,
            )
            for folder, member in zip(folders, self._members, strict=True)
        ]
        try:
            self._train(folders)
        except BaseException as error:
            for record in records:
                record.fail(error)
            raise
        for record in records:
            record.finish()

    def _train(self, folders: list[Path]) -> None:
        agent_step = int(self._state.agent_step)
        gradient_step = int(self._state.learner.gradient_step)
        with contextlib.ExitStack() as stack:
            files = []
            for folder in folders:
                file = metrics.MetricsFile(
                    str(folder),
                    iteration=self._start_iteration,
                    agent_step=agent_step,
                    gradient_step=gradient_step,
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
        start, rounds, episodes = time.monotonic(), 0, []
        while rounds < self._iteration_rounds:
            if iteration == rounds == 0:
                self._state, brought = self._program.fill(self._state)
            else:
                self._state, brought = self._program.advance(self._state, self._unit)
            taken = brought.episode_return.shape[1]
            rounds += taken
            # Fetched at once: the program's own inputs and outputs are on their way already.
            state, brought = to_host(
                (self._state._replace(replay=(), environment_state=()), brought)
            )
            writer.check_finite(brought.nonfinite_step)
            progress.step(taken * self._settings.update_period)
            episodes.append((brought.episode_return, brought.episode_length))
            gradient_step = int(state.learner.gradient_step)
            period = self._tracking_rounds * self._settings.updates_per_burst
            if gradient_step and gradient_step % period == 0:
                writer.tracking(state, brought.metrics)
        seconds = time.monotonic() - start
        writer.iteration(iteration, state, episodes, self._run.training_steps / seconds)


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

    def tracking(self, state: vectorized.RunState, scalars: Mapping[str, np.ndarray]) -> None:
        percents = []
        for index, file in enumerate(self._files):
            learner = vectorized.take_seed(state.learner, index)
            record = metrics.tracking_record(
                learner.tracker,
                learner.intervention if self._acts else None,
                {name: values[index] for name, values in scalars.items()},
                agent_step=int(state.agent_step),
            )
            file.write(record)
            percents.append(record["dormant_percent_pooled"][-1])
        self._progress.show(dormant=f"{np.mean(percents):.1f} % (tau {record['taus'][-1]:g})")

    def iteration(
        self,
        iteration: int,
        state: vectorized.RunState,
        episodes: list[tuple[np.ndarray, np.ndarray]],
        steps_per_second: float,
    ) -> None:
        means = []
        returns, lengths = (np.concatenate(parts, axis=1) for parts in zip(*episodes, strict=True))
        for index, file in enumerate(self._files):
            ended = ~np.isnan(returns[index])
            found = returns[index][ended].tolist()
            mean = float(np.mean(found)) if found else 0.0
            statistics = {
                "train_episode_returns": found,
                "train_episode_lengths": lengths[index][ended].tolist(),
                "train_average_return": [mean],
                "train_average_steps_per_second": [steps_per_second],
            }
            file.write(
                metrics.iteration_record(
                    iteration,
                    statistics,
                    agent_step=int(state.agent_step),
                    gradient_step=int(state.learner.gradient_step),
                )
            )
            means += [mean] if found else []
        average = f"average return {np.mean(means):.2f}" if means else "no episode ended"
        self._progress.line(
            f"iteration {iteration} done  {average} of {len(self._files)} runs"
            f"  {steps_per_second * len(self._files):,.0f} agent steps/s together"
        )


def _latest_of_all(checkpoints: ArrayCheckpoints) -> int | None:
    """The newest checkpoint that every process has; a killed run may leave one ahead."""
    latest = max(checkpoints.numbers(), default=-1)
    if jax.process_count() > 1:
        latest = int(np.min(multihost_utils.process_allgather(np.asarray(latest))))
    return None if latest < 0 else latest


def _devices(asked: int | None, members: int) -> list[jax.Device]:
    devices = jax.devices()
    if jax.process_count() > 1:
        allowed = f"a multiple of the {len(devices)} devices of all processes"
        require(members % len(devices) == 0, "the number of runs side by side", allowed, members)
        require(asked in (None, len(devices)), "VectorizedRun.devices", "None here", asked)
        return devices
    if asked is None:
        return devices[: math.gcd(len(devices), members)]
    require(asked <= len(devices), "VectorizedRun.devices", f"at most {len(devices)}", asked)
    allowed = f"a divisor of the {members} runs side by side"
    require(members % asked == 0, "VectorizedRun.devices", allowed, asked)
    return devices[:asked]


def _allow_open_files(count: int) -> None:
    """Every member's records are a file of their own; many systems allow 1 024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 256
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"VectorizedRun.seeds: {count} runs need {needed} open files; this system allows {hard}"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
