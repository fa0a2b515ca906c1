# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A whole run as one compiled program: environments, replay, learner, tracker and intervention.

The functions of one seed are written without a seed axis and mapped over the seeds, except for the
counters, which all seeds share."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.checks import check, check_count, check_function
from dormant.learners import (
    Batch,
    Finiteness,
    Learner,
    LearnerState,
    WeightedBatch,
    linearly_decaying_epsilon,
)
from dormant.memory import bytes_of
from dormant.vectorized.environments import Environment
from dormant.vectorized.episodes import play_episodes
from dormant.vectorized.replay import Transitions, make_replay
from dormant.vectorized.seeds import axes_of, seed_axis_of_all
from dormant.vectorized.settings import Settings
from dormant.xla_cpu import holds_keys, is_cpu, laid_out_as_kernels, of_kind, unrolled

# {name: float32 () or (S,)}
Hyperparameters = Mapping[str, jax.Array]
# The streams of random numbers of one seed, folded into its key.
_ACT, _SAMPLE, _SCORE, _EVALUATE = range(4)
# Agent steps after which an evaluation episode that goes on is given up: Dopamine's limit.
_MOST_STEPS = 27_000


class RunState(NamedTuple):
    """Everything a run carries on, a pytree of arrays. S seeds, N environments, C transitions.

    Attributes:
      learner: leaves (S, ...), except the counters that `seeds.axes_of` names.
      environment_state: leaves (S, N, ...).
      observation: (S, N, ...), to act on next.
      replay: leaves (S, C, ...).
      key: (S,), folded with what it is used for, never advanced.
      agent_step: int32 (), agent steps of each seed so far.
      hyperparameters: {name: (S,)}.
      running_return: float32 (S, N), of the episodes under way.
      running_length: int32 (S, N), their agent steps so far.
    """

    learner: LearnerState
    environment_state: Any
    observation: jax.Array
    replay: Transitions
    key: jax.Array
    agent_step: jax.Array
    hyperparameters: dict[str, jax.Array]
    running_return: jax.Array
    running_length: jax.Array


class Progress(NamedTuple):
    """What some rounds brought. S seeds, R rounds of U = update_period agent steps.

    Agent step `i` of a round is that of environment `i % N`.

    Attributes:
      episode_return: float32 (S, R, U), undiscounted; NaN where no episode ended.
      episode_length: int32 (S, R, U), agent steps; 0 where no episode ended.
      metrics: float32 (S,) each, of the last update; zeros without updates.
      finiteness: of the learners' states, leaves (S, ...).
    """

    episode_return: jax.Array
    episode_length: jax.Array
    metrics: dict[str, jax.Array]
    finiteness: Finiteness


class Program(NamedTuple):
    """A run of S seeds side by side. A seed's results do not depend on those
    beside it, up to rounding; to the bit for the same number of seeds on a device.

    Attributes:
      init: `init(keys, hyperparameters={}) -> RunState`, with one key for each seed and each
        hyperparameter of shape (S,).
      fill: `fill(state) -> (state, Progress)`: the warm-up, `Settings.warm_up_rounds` rounds of
        random actions without updates. To be called once, first.
      advance: `advance(state, rounds) -> (state, Progress)`, so many rounds with their updates;
        one program for each number of rounds. Both donate the state: it must not be used again.
      evaluate: `evaluate(state, episodes) -> (returns (S, E), agent steps (S, E))` of so many
        greedy episodes of each seed, apart from training, which goes on as if there had been none.
        A return is NaN where the episode went on for 27 000 agent steps. The state is not donated.
    """

    # A state is a `RunState`, or the tuple of them that `xla_cpu.one_by_one` makes of it.
    init: Callable[..., Any]
    fill: Callable[[Any], tuple[Any, Progress]]
    advance: Callable[[Any, int], tuple[Any, Progress]]
    evaluate: Callable[[Any, int], tuple[jax.Array, jax.Array]]


def make_program(
    environment: Environment,
    make_learner: Callable[[Hyperparameters], Learner],
    settings: Settings,
    *,
    is_due: Callable[[jax.Array], jax.Array] | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Program:
    """Builds the program of a run.

    Args:
      environment: as `gymnax_environment` makes them.
      make_learner: `make_learner(hyperparameters) -> Learner`, called inside the program with the
        values of one seed, arrays () that are traced: `optax.adam(hyperparameters["rate"])`, or
        `tau=lambda step: hyperparameters["tau"]`. The learner's discount must be
        `settings.discount`. Trace the network outside of it.
      settings: see `Settings`.
      is_due: `is_due(gradient_step) -> bool ()`: whether tracker or intervention do something at
        that gradient step, 1 for the first. What it says False to costs nothing. None: they are
        asked at every gradient step, with states drawn for them.
      devices: those that it is compiled for; None for JAX's default device.

    Raises:
      ValueError: when an argument is not of the kind asked for.
    """
    check_function("make_learner", make_learner, "(hyperparameters)")
    if is_due is not None:
        check_function("is_due", is_due, "(gradient_step)")
    is_environment = isinstance(environment, Environment)
    check(is_environment, "environment", "an `Environment`", environment)
    check(isinstance(settings, Settings), "settings", "a `Settings`", settings)
    one_seed = _OneSeed(environment, make_learner, settings, is_due, is_cpu(devices))

    @jax.jit
    def init(keys: jax.Array, hyperparameters: Hyperparameters) -> RunState:
        one = jax.eval_shape(one_seed.init, *jax.tree.map(lambda x: x[0], (keys, hyperparameters)))
        return jax.vmap(one_seed.init, out_axes=axes_of_run(one))(keys, hyperparameters)

    def checked_init(keys: jax.Array, hyperparameters: Hyperparameters | None = None) -> RunState:
        hyperparameters = dict(hyperparameters or {})
        _check_seeds(keys, hyperparameters)
        # An explicit dtype, for weak types would compile every program a second time.
        hyperparameters = {
            name: jnp.asarray(values, jnp.result_type(values))
            for name, values in hyperparameters.items()
        }
        return init(keys, hyperparameters)

    def over_seeds(function: Callable, state: RunState) -> tuple[RunState, Progress]:
        axes = axes_of_run(state)
        return jax.vmap(function, in_axes=(axes,), out_axes=(axes, 0))(state)

    @functools.partial(jax.jit, donate_argnums=0)
    def fill(state: RunState) -> tuple[RunState, Progress]:
        return over_seeds(one_seed.fill, state)

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=1)
    def advance(state: RunState, rounds: int) -> tuple[RunState, Progress]:
        check_count("rounds", rounds, 1)
        return over_seeds(functools.partial(one_seed.advance, rounds=rounds), state)

    @functools.partial(jax.jit, static_argnums=1)
    def evaluate(state: RunState, episodes: int) -> tuple[jax.Array, jax.Array]:
        check_count("episodes", episodes, 1)
        function = functools.partial(one_seed.evaluate, episodes=episodes)
        return jax.vmap(function, in_axes=(axes_of_run(state),))(state)

    return Program(checked_init, fill, advance, evaluate)


def axes_of_run(state: RunState) -> RunState:
    """The prefix tree of a run's state with 0 where a leaf has a seed axis, else None."""
    return seed_axis_of_all(RunState)._replace(learner=axes_of(state.learner), agent_step=None)


def _check_seeds(keys: jax.Array, hyperparameters: Hyperparameters) -> None:
    dtype = getattr(keys, "dtype", None)
    are_keys = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    allowed = "an array (S,) of keys, as `jax.random.split(jax.random.key(0), S)` is"
    check(are_keys and keys.ndim == 1, "keys", allowed, keys)
    for name, values in hyperparameters.items():
        if jnp.shape(values) != keys.shape:
            raise ValueError(
                f"`hyperparameters[{name!r}]` must have one value for each seed, shape"
                f" {keys.shape}; got shape {jnp.shape(values)}"
            )


def bytes_of_a_seed(program: Program, names: Sequence[str] = ()) -> int:
    """Device memory that the state of one seed takes up, with hyperparameters of these names."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    values = {name: jax.ShapeDtypeStruct((1,), jnp.float32) for name in names}
    return bytes_of(jax.eval_shape(program.init, keys, values))


class _OneSeed(NamedTuple):
    """The functions of one seed; its `RunState` has no seed axis."""

    environment: Environment
    make_learner: Callable[[Hyperparameters], Learner]
    settings: Settings
    is_due: Callable[[jax.Array], jax.Array] | None
    on_cpu: bool

    def init(self, key: jax.Array, hyperparameters: Hyperparameters) -> RunState:
        learner = self.make_learner(hyperparameters)
        learner_key, reset_key, run_key = jax.random.split(key, 3)
        environments = self.settings.num_environments
        environment_state, observation = jax.vmap(self.environment.reset)(
            jax.random.split(reset_key, environments)
        )
        return RunState(
            learner=learner.init(learner_key),
            environment_state=environment_state,
            observation=observation,
            replay=make_replay(self.environment, self.settings).init(),
            key=run_key,
            agent_step=jnp.zeros((), jnp.int32),
            # Copied: the state will be donated, and what the caller gave must not be.
            hyperparameters=jax.tree.map(lambda x: jnp.array(x, copy=True), hyperparameters),
            running_return=jnp.zeros(environments, jnp.float32),
            running_length=jnp.zeros(environments, jnp.int32),
        )

    def fill(self, state: RunState) -> tuple[RunState, Progress]:
        learner = self.make_learner(state.hyperparameters)

        def one_round(state: RunState, _: None) -> tuple[RunState, tuple]:
            return self._interact(learner, state, 1.0)

        state, (returns, lengths) = jax.lax.scan(
            one_round, state, length=self.settings.warm_up_rounds
        )
        metrics = jax.eval_shape(lambda: self._burst(learner, state)[1])
        metrics = {name: jnp.zeros(value.shape) for name, value in metrics.items()}
        return state, Progress(returns, lengths, metrics, state.learner.finiteness)

    def advance(self, state: RunState, rounds: int) -> tuple[RunState, Progress]:
        learner, settings = self.make_learner(state.hyperparameters), self.settings
        warm_up = settings.warm_up_steps

        def one_round(state: RunState, _: None) -> tuple[RunState, tuple]:
            epsilon = linearly_decaying_epsilon(
                settings.epsilon_decay_period, state.agent_step, warm_up, settings.epsilon_train
            )
            state, episodes = self._interact(learner, state, epsilon)
            state, metrics = self._burst(learner, state)
            return state, (episodes, metrics)

        state, ((returns, lengths), metrics) = jax.lax.scan(one_round, state, length=rounds)
        metrics = {name: value[-1] for name, value in metrics.items()}
        return state, Progress(returns, lengths, metrics, state.learner.finiteness)

    def evaluate(self, state: RunState, episodes: int) -> tuple[jax.Array, jax.Array]:
        learner = self.make_learner(state.hyperparameters)
        key = jax.random.fold_in(jax.random.fold_in(state.key, _EVALUATE), state.agent_step)

        def act(observation: jax.Array, key: jax.Array) -> jax.Array:
            return learner.act_in_evaluation(state.learner, observation, key, 0.0)

        return play_episodes(self.environment, act, key, episodes, _MOST_STEPS)

    def _interact(
        self, learner: Learner, state: RunState, epsilon: Any
    ) -> tuple[RunState, tuple[jax.Array, jax.Array]]:
        """One round's agent steps: returns and lengths (U,) of the episodes that ended."""
        settings = self.settings
        steps, environments = settings.steps_per_round, settings.num_environments
        replay = make_replay(self.environment, settings)
        act = jax.vmap(learner.act, in_axes=(None, 0, 0, None))
        environment_step = jax.vmap(self.environment.step)
        run_key = unrolled(state.key) if self.on_cpu else state.key
        round_key = jax.random.fold_in(jax.random.fold_in(run_key, _ACT), state.agent_step)
        keys = jax.random.split(round_key, (steps, 2, environments))
        act_keys, step_keys = keys[:, 0], keys[:, 1]
        if holds_keys(state.environment_state):
            # Keys in its state are of the kind that `reset` was given, and so must these be.
            step_keys = of_kind(step_keys, state.key)

        def one_step(state: RunState, keys: tuple) -> tuple[RunState, tuple]:
            action = act(state.learner, state.observation, keys[0], epsilon)
            after = environment_step(state.environment_state, action, keys[1])
            new = Transitions(
                state.observation,
                after.final_observation,
                action,
                after.reward,
                after.terminal,
                after.truncated,
            )
            ended = after.terminal | after.truncated
            episode_return = state.running_return + after.reward
            episode_length = state.running_length + 1
            state = state._replace(
                environment_state=after.state,
                observation=after.observation,
                replay=replay.add(state.replay, new, state.agent_step),
                agent_step=state.agent_step + environments,
                running_return=jnp.where(ended, 0.0, episode_return),
                running_length=jnp.where(ended, 0, episode_length),
            )
            return state, (
                jnp.where(ended, episode_return, jnp.nan),
                jnp.where(ended, episode_length, 0),
            )

        state, episodes = jax.lax.scan(one_step, state, (act_keys, step_keys))
        return state, jax.tree.map(jnp.ravel, episodes)

    def _burst(self, learner: Learner, state: RunState) -> tuple[RunState, dict[str, jax.Array]]:
        """The gradient steps of one round, with the scalar metrics of the last one."""
        settings = self.settings
        replay = make_replay(self.environment, settings)
        run_key = unrolled(state.key) if self.on_cpu else state.key
        sample_key, score_key = (
            jax.random.fold_in(run_key, stream) for stream in (_SAMPLE, _SCORE)
        )
        # One draw for the whole burst: small draws one by one cost more than what they draw.
        rows = replay.draw(
            jax.random.fold_in(sample_key, state.agent_step),
            state.agent_step,
            (settings.updates_per_burst, settings.batch_size),
        )
        ring, agent_step = state.replay, state.agent_step

        def score_inputs(gradient_step: jax.Array) -> tuple[jax.Array]:
            key = jax.random.fold_in(score_key, gradient_step)
            return (replay.states(ring, replay.draw(key, agent_step, (settings.score_batch,))),)

        # All batches at once and before the loop, whose body would else be fused with the reading
        # of the replay: XLA then computes each pixel again for each place of a convolution.
        batches = replay.batch(ring, rows)
        weight = jnp.ones(settings.batch_size, jnp.float32)
        step = laid_out_as_kernels(learner.step) if self.on_cpu else learner.step

        def update(index: jax.Array, carry: tuple) -> tuple:
            learner_state, _ = carry
            transitions: Batch = jax.tree.map(lambda values: values[index], batches)
            # Weights of 1, for the learners that ask for them; the others do not look at them.
            batch = WeightedBatch(*transitions, weight)
            learner_state, metrics = step(learner_state, batch)
            learner_state = self._after_step(learner, learner_state, batch, score_inputs)
            metrics = {name: value for name, value in metrics.items() if value.ndim == 0}
            return learner_state, metrics

        _, metrics = jax.eval_shape(update, 0, (state.learner, {}))
        metrics = {name: jnp.zeros(value.shape, value.dtype) for name, value in metrics.items()}
        turns: Any = settings.updates_per_burst
        if self.on_cpu:
            # A number that XLA cannot know, so that a loop of a single turn stays a loop. An
            # accelerator would wait for the host at each turn of such a loop.
            turns = jnp.where(agent_step > 0, turns, 0)
        learner_state, metrics = jax.lax.fori_loop(0, turns, update, (state.learner, metrics))
        return state._replace(learner=learner_state), metrics

    def _after_step(
        self, learner: Learner, state: LearnerState, batch: WeightedBatch, score_inputs: Callable
    ) -> LearnerState:
        gradient_step = state.gradient_step + 1
        if self.is_due is None:
            return learner.after_step(state, batch, score_inputs(gradient_step))
        due = self.is_due(gradient_step)

        def scored(_: Any, state: LearnerState) -> LearnerState:
            # The carry's own step: what no turn changes XLA moves out, to be drawn at every step.
            return learner.after_step(state, batch, score_inputs(state.gradient_step + 1))

        def counted(_: Any, state: LearnerState) -> LearnerState:
            return learner.after_step(state, batch)

        # Loops of one turn or none: they work in place, where a `lax.cond` copies what it returns.
        count = jnp.asarray(due, jnp.int32)
        state = jax.lax.fori_loop(0, count, scored, state)
        return jax.lax.fori_loop(count, 1, counted, state)
