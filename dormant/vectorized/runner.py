# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs on the device as a user starts them: seeds side by side, each with the records of a run."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dormant import hardware, vectorized
from dormant.checks import ConfigurationError, errors_of, require, require_counter
from dormant.learners import Finiteness, LearnerState
from dormant.learners.finiteness import of_all, places
from dormant.memory import check_memory, device_memory, readable
from dormant.records import metrics
from dormant.runs.compiling import CompiledFunction
from dormant.runs.host_arrays import forms_of, to_host
from dormant.runs.host_loop import Call, HostLoop, Summary, Work
from dormant.runs.members import Member
from dormant.runs.options import LearnerOptions
from dormant.vectorized.agent import VectorizedDQN
from dormant.vectorized.options import VectorizedRun
from dormant.vectorized.program import Program, RunState, axes_of_run, bytes_of_a_seed
from dormant.vectorized.seeds import axes_of
from dormant.vectorized.sharding import (
    local_seeds,
    shapes_on_devices,
    shard,
    usable_devices,
)
from dormant.xla_cpu import is_cpu, one_by_one

# Calls of the program between two records, of which each takes some milliseconds on the host.
_MOST_CALLS = 20
# A run's state: one program's, or that of each seed where they run one by one.
_State = RunState | tuple[RunState, ...]


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
        folder, plan = Path(base_dir), _planned(run, agent, options)
        members, devices, self._settings = plan.members, plan.devices, plan.settings
        self._program, self._unit = plan.program, plan.unit
        self._options, self._run = options, run
        local = [members[index] for index in local_seeds(len(members), devices)]
        self._loop = HostLoop(folder, {folder / each.folder: each for each in local}, run)
        keys = jax.vmap(jax.random.key)(jnp.array([member.seed for member in members]))
        names = members[0].values
        values = {n: jnp.array([m.values[n] for m in members], jnp.float32) for n in names}
        self._state: _State = self._program.init(keys, values)
        if self._loop.start_iteration:
            self._resume()
        self._description = (
            f"DQN on {plan.environment.name}, {len(members)} runs side by side (seeds"
            f" {members[0].seed} to {members[-1].seed}) on {len(devices)}"
            f" device{'s' * (len(devices) > 1)}, replay"
            f" {plan.replay * len(members) / 2**20:.0f} MiB, {self._loop.left()}"
        )

    def _resume(self) -> None:
        step = self._loop.start_step
        steps = [(step, self._settings.gradient_steps(step))] * len(_parts(self._state))
        forms, expected = forms_of(self._state), (_given(self._state), steps)
        # The arrays that were made to know their places go before those of the checkpoint come.
        del self._state
        self._state = self._loop.load(forms, _identity, expected)

    def describe(self) -> str:
        """What runs, in a line."""
        return self._description

    def run_experiment(self, command: list[str]) -> None:
        """Runs the iterations that are left: `HostLoop.run`."""
        work = Work(
            start=lambda: self._state,
            advance=self._advance,
            gradient_steps=self._settings.gradient_steps,
            learners=_learners,
            options=self._options,
            summarize=self._summarize,
            places=places(_parts(self._state)[0].learner),
            finiteness=_finiteness,
            cleared=_cleared,
        )
        self._loop.run(work, command)

    def _advance(self, state: _State, step: int) -> tuple[_State, Call]:
        if step == 0:
            state, progress = self._program.fill(state)
        else:
            state, progress = self._program.advance(state, self._unit)
        progress = to_host(progress)
        members, rounds, steps = progress.episode_return.shape
        scalars = [
            {name: values[index] for name, values in progress.metrics.items()}
            for index in range(members)
        ]
        episodes = (progress.episode_return, progress.episode_length)
        return state, Call(rounds * steps, scalars, progress.finiteness, episodes)

    def _summarize(
        self,
        state: _State,
        iteration: int,
        brought: list[tuple[np.ndarray, np.ndarray]],
        members: Sequence[int],
    ) -> tuple[list[Summary], str]:
        """The episodes that ended, and those of evaluation, member by member."""
        returns, lengths = (np.concatenate(parts, axis=1) for parts in zip(*brought, strict=True))
        train = _episodes(returns, lengths, members)
        evaluation: list[metrics.Episodes | None] = [None] * len(train)
        phases = {"average return": train}
        if self._run.evaluates(iteration):
            found = to_host(self._program.evaluate(state, self._run.evaluation_episodes))
            returns, lengths = (np.asarray(values) for values in found)
            # One that was given up has no return.
            evaluated = _episodes(returns, np.where(np.isnan(returns), 0, lengths), members)
            evaluation, phases["in evaluation"] = [*evaluated], evaluated
        texts = []
        for phase, episodes in phases.items():
            means = [each.average for each in episodes if each.returns]
            texts.append(f"{phase} {np.mean(means):.2f}" if means else "no episode ended")
        summaries = [Summary(*each) for each in zip(train, evaluation, strict=True)]
        return summaries, f"{', '.join(texts)} of {len(summaries)} runs"


class _Plan(NamedTuple):
    """What a run computes, before any array exists."""

    members: list[Member]
    devices: list[jax.Device]
    program: Program  # over these devices
    settings: vectorized.Settings
    environment: vectorized.Environment
    unit: int  # rounds of a call
    replay: int  # bytes of one member's


def _planned(run: VectorizedRun, agent: VectorizedDQN, options: LearnerOptions) -> _Plan:
    first = options.seed or 0
    last = first + run.seeds - 1
    require(last < 2**31, "LearnerOptions.seed", "such that all seeds are below 2**31", last)
    members = run.members(first)
    devices = _devices(run.devices, len(members))
    program, settings, environment = agent.program(options, run.side_by_side, devices)
    rounds = agent.rounds("VectorizedRun.training_steps", run.training_steps)
    total = settings.gradient_steps(run.total_steps)
    name = "VectorizedRun.num_iterations * training_steps * LearnerOptions.replay_ratio"
    require_counter(name, total, "gradient step")
    unit = _rounds_of_a_call(rounds, settings, options.tracker.tracking_period)
    replay = settings.replay_capacity * vectorized.bytes_per_transition(environment)
    one, here = bytes_of_a_seed(program, list(members[0].values)), len(members) // len(devices)
    what = (
        f"{here} runs on a device of {readable(one)} each, of which {readable(replay)} are the"
        f" replay of VectorizedDQN.replay_capacity = {settings.replay_capacity}"
    )
    with errors_of("VectorizedRun"):
        check_memory("seeds", run.seeds, here * one, what, device_memory(devices))
    program = _over(program, devices, run.threads)
    return _Plan(members, devices, program, settings, environment, unit, replay)


def compiled_functions(
    run: VectorizedRun, agent: VectorizedDQN, options: LearnerOptions
) -> list[CompiledFunction]:
    """What a run compiles, for the hardware that `hardware.target` says.

    Raises:
      ConfigurationError: when an option is not allowed.
    """
    plan = _planned(run, agent, options)
    runs, program, settings = len(plan.members), plan.program, plan.settings
    keys = jax.eval_shape(lambda: jax.vmap(jax.random.key)(jnp.zeros(runs, jnp.int32)))
    values = {name: jax.ShapeDtypeStruct((runs,), jnp.float32) for name in plan.members[0].values}
    state, *given = shapes_on_devices(program.init, keys, values, plan.devices)
    steps = plan.unit * settings.update_period
    found = [
        CompiledFunction("init", jax.jit(program.init), tuple(given), runs, 0, ""),
        CompiledFunction(
            "fill", program.fill, (state,), runs, settings.warm_up_steps, "agent step"
        ),
        CompiledFunction("advance", program.advance, (state, plan.unit), runs, steps, "agent step"),
    ]
    if run.evaluation_episodes:
        arguments = (state, run.evaluation_episodes)
        found.append(CompiledFunction("evaluate", program.evaluate, arguments, runs, 0, ""))
    return found


def _rounds_of_a_call(rounds: int, settings: vectorized.Settings, period: int) -> int:
    """What every call of the program advances: a record, each `period` gradient steps, or an
    iteration, of so many rounds, ends with one."""
    tracking, rest = divmod(period, settings.updates_per_burst)
    allowed = (
        f"a multiple of the {settings.updates_per_burst} gradient steps of one burst"
        " (replay_ratio * update_period)"
    )
    require(rest == 0, "Tracker.tracking_period", allowed, period)
    shared = math.gcd(rounds, tracking)
    unit = math.gcd(shared, settings.warm_up_rounds)
    if unit * _MOST_CALLS < min(shared, tracking):
        nearest = max(1, round(settings.warm_up_rounds / shared)) * shared
        raise ConfigurationError(
            "`VectorizedDQN.min_replay_history` must share a large divisor with"
            " VectorizedRun.training_steps and the agent steps between two records, such as"
            f" {nearest * settings.update_period}; got {settings.min_replay_history}"
        )
    return unit


def _learners(state: _State) -> list[LearnerState]:
    """Each member's learner, without its parameters: the records hold none."""
    found = []
    for part in _parts(state):
        learner: Any = part.learner
        learner = to_host(learner._replace(params=(), target_params=(), opt_state=(), key=()))
        seeds = to_host(part.key).shape[0]
        found += [vectorized.take_seed(learner, seed) for seed in range(seeds)]
    return found


def _finiteness(state: _State) -> Finiteness:
    """Of all members, after a look at all that their learners carry on."""
    each = [to_host(_of_seeds(part.learner)) for part in _parts(state)]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *each)


@jax.jit
def _of_seeds(learner: LearnerState) -> Finiteness:
    return jax.vmap(of_all, in_axes=(axes_of(learner),))(learner)


def _cleared(state: _State) -> _State:
    """Zeros for what is not whole numbers in seeds whose state is not finite."""
    if isinstance(state, RunState):
        return _cleared_seeds(state)
    return tuple(_cleared_seeds(part) for part in state)


@functools.partial(jax.jit, donate_argnums=0)
def _cleared_seeds(state: RunState) -> RunState:
    def clear(seed: RunState) -> RunState:
        finiteness = of_all(seed.learner)

        def kept(leaf: jax.Array) -> jax.Array:
            is_real = jnp.issubdtype(leaf.dtype, jnp.inexact)
            return jnp.where(finiteness.step < 0, leaf, 0) if is_real else leaf

        cleared = jax.tree.map(kept, seed)
        # What the run was started with, and what happened, is to be known when it is continued.
        learner = cleared.learner._replace(finiteness=finiteness)
        return cleared._replace(learner=learner, hyperparameters=seed.hyperparameters)

    axes = axes_of_run(state)
    return jax.vmap(clear, in_axes=(axes,), out_axes=axes)(state)


def _episodes(
    returns: np.ndarray, lengths: np.ndarray, members: Sequence[int]
) -> list[metrics.Episodes]:
    """Those that ended, of each of these members; the arrays are of all members and episodes."""
    found = []
    for number in members:
        # Not by the return, which may be NaN.
        ended = lengths[number] > 0
        values = returns[number][ended].tolist()
        average = float(np.mean(values)) if values else 0.0
        found.append(metrics.Episodes(values, lengths[number][ended].tolist(), average))
    return found


def _devices(asked: int | None, members: int) -> list[jax.Device]:
    devices = hardware.devices()
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
    if len(devices) == 1 and is_cpu(devices):
        return one_by_one(program, threads)
    require(threads is None, "VectorizedRun.threads", "None but on one CPU device", threads)
    return shard(program, devices) if len(devices) > 1 else program


def _parts(state: _State) -> tuple[RunState, ...]:
    """The states that a program's state consists of."""
    return (state,) if isinstance(state, RunState) else state


def _given(state: _State) -> Any:
    """What a run was started with: the keys and values of its members."""
    return to_host([(part.key, part.hyperparameters) for part in _parts(state)])


def _identity(state: _State) -> Any:
    """What a continued run has in common with the run it continues, and where it stands."""
    steps = [(int(part.agent_step), int(part.learner.gradient_step)) for part in _parts(state)]
    return _given(state), steps
