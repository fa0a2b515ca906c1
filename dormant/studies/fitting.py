# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Gradient steps on data that never change, as one compiled program.
What a step draws follows from its number alone, so that a state is all that a checkpoint needs."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dormant.learners import Learner, LearnerState
from dormant.learners.learner import Metrics

Data = Any  # pytree of arrays, never donated and never written
# The streams of random numbers of a run, folded into its key.
_LEARNER, _DRAW, _SCORE = range(3)


class Study(NamedTuple):
    """What is fitted to what, as pure functions of the data, and what the host does around it.

    Attributes:
      name: what is trained, in a few words.
      learner: whose gradient steps are taken.
      init: `init(key, data) -> LearnerState`, at the start. The key is consumed.
      draw: `draw(data, key, gradient_step) -> batch` for the learner; gradient_step, int32 (), is 0
        for the first. The key is consumed.
      observations: `observations(data, key, size) -> (size, ...)`, network inputs on which neurons
        are scored. The key is consumed.
      prepare: `prepare(key, say) -> data`. The key is consumed; `say(text)` tells how far it is.
      measure: `measure(learner_state, data, key) -> entries` of the "iteration" record besides its
        counters, numbers or lists of numbers. The key is consumed.
      prepared: shapes and dtypes of the data where making them takes long: then they are kept in
        the run's folder. None where they are made again when a run is resumed.
      has_convolutions: whether the network computes convolutions, which XLA on CPU does slowly
        inside a compiled loop.
    """

    name: str
    learner: Learner
    init: Callable[[jax.Array, Data], LearnerState]
    draw: Callable[[Data, jax.Array, jax.Array], Any]
    observations: Callable[[Data, jax.Array, int], jax.Array]
    prepare: Callable[[jax.Array, Callable[[str], None]], Data]
    measure: Callable[[LearnerState, Data, jax.Array], Mapping[str, Any]]
    prepared: Any = None
    has_convolutions: bool = False


class FitState(NamedTuple):
    """Everything that a fit carries from one gradient step to the next; a pytree of arrays."""

    learner: LearnerState
    key: jax.Array  # (), folded with what it is used for, never advanced


class Fit(NamedTuple):
    """The compiled functions of a fit.

    Attributes:
      init: `init(key, data) -> FitState`. The key is consumed.
      advance: `advance(state, data, steps, scored) -> (state, metrics)`: so many gradient steps,
        with the scalar metrics of the last, float32 (). `scored` says that tracker or intervention
        may be due at the last step, and at no other. Both are static. The state is donated.
    """

    init: Callable[[jax.Array, Data], FitState]
    advance: Callable[[FitState, Data, int, bool], tuple[FitState, Metrics]]


def make_fit(study: Study, score_batch: int) -> Fit:
    """Compiles a study, whose neurons are scored on so many observations."""

    @jax.jit
    def init(key: jax.Array, data: Data) -> FitState:
        learner = study.init(jax.random.fold_in(key, _LEARNER), data)
        return FitState(learner, jnp.copy(key))

    def update(state: FitState, data: Data, scored: bool) -> tuple[FitState, Metrics]:
        step = state.learner.gradient_step

        def key(stream: int) -> jax.Array:
            return jax.random.fold_in(jax.random.fold_in(state.key, stream), step)

        batch = study.draw(data, key(_DRAW), step)
        learner, metrics = study.learner.step(state.learner, batch)
        inputs = (study.observations(data, key(_SCORE), score_batch),) if scored else None
        learner = study.learner.after_step(learner, batch, inputs)
        metrics = {name: value for name, value in metrics.items() if value.ndim == 0}
        return FitState(learner, state.key), metrics

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=(2, 3))
    def advance(state: FitState, data: Data, steps: int, scored: bool) -> tuple[FitState, Metrics]:
        def unscored(_: jax.Array, carry: tuple[FitState, Metrics]) -> tuple[FitState, Metrics]:
            return update(carry[0], data, scored=False)

        metrics = jax.eval_shape(functools.partial(update, scored=False), state, data)[1]
        metrics = {name: jnp.zeros(value.shape, value.dtype) for name, value in metrics.items()}
        turns = steps - 1 if scored else steps
        if turns == 1:
            # Not even a loop of one turn, in which XLA on CPU computes convolutions slowly.
            state, metrics = update(state, data, scored=False)
            turns = 0
        state, metrics = jax.lax.fori_loop(0, turns, unscored, (state, metrics))
        return update(state, data, scored=True) if scored else (state, metrics)

    return Fit(init, advance)
