# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The updates between two environment steps: one function over a learner's update, two ways to run.
XLA on CPU runs convolutions inside a loop about ten times slower, so there the loop is Python's."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dormant.learners import Learner

# (state, batches, score_inputs, due, after_update) -> (state, metrics of the last scored update)
Burst = Callable[..., tuple[Any, dict[str, Any]]]


def make_burst(learner: Learner, on_cpu: bool) -> Burst:
    """Builds `burst(state, batches, score_inputs, due, after_update=None) -> (state, metrics)`.

    The state is donated: it must not be used again. `batches` yields one batch per update, `due`
    says for each update whether neurons are scored at it, on `score_inputs` (None where none is).
    On the CPU the optimizer's step is a program of its own, the same whether neurons are scored or
    not; elsewhere there is one program with scores and one without. `after_update(metrics)` is
    called for each update in order: at once on the CPU, so that it may change what the next batch
    is, and after the whole burst elsewhere. `metrics` are those of the last update that was due, or
    of the last update where none was.

    Args:
      learner: whose `update` is called.
      on_cpu: what it is compiled for: a CPU, for a Python loop over compiled updates, or something
        else, for one compiled `lax.scan` over the burst.
    """
    return _host_loop(learner) if on_cpu else _device_scan(learner)


def _host_loop(learner: Learner) -> Burst:
    step = jax.jit(learner.step, donate_argnums=0)
    after_step = jax.jit(learner.after_step, donate_argnums=0)

    def burst(state, batches, score_inputs, due, after_update=None):
        reported, report_index = {}, reported_update(due)
        # Batches are drawn one by one: sampling the next overlaps with the update under way.
        for index, (batch, is_due) in enumerate(zip(batches, due, strict=True)):
            state, metrics = step(state, batch)
            # The batch is needed where something is scored; without it fewer arrays are moved.
            inputs = (batch, score_inputs) if is_due else (None, None)
            state = after_step(state, *inputs)
            if after_update is not None:
                after_update(metrics)
            if index == report_index:
                reported = metrics
        return state, reported

    return burst


def compiled_scan_of(learner: Learner) -> Callable[..., tuple[Any, Any]]:
    """`scan_of`, compiled, of a tuple of batches; the state is donated."""
    scan = scan_of(learner)

    def stacked_scan(state, batches, score_inputs):
        # Stacked by the device: on the host every byte would be copied once more.
        return scan(state, stack(batches), score_inputs)

    return jax.jit(stacked_scan, donate_argnums=0)


def _device_scan(learner: Learner) -> Burst:
    compiled_scan = compiled_scan_of(learner)

    def burst(state, batches, score_inputs, due, after_update=None):
        inputs = score_inputs if any(due) else None
        state, metrics = compiled_scan(state, tuple(batches), inputs)
        if after_update is not None:
            tell(after_update, metrics, len(due))
        return state, jax.tree.map(operator.itemgetter(reported_update(due)), metrics)

    return burst


def scan_of(learner: Learner) -> Callable[..., tuple[Any, Any]]:
    """`scan(state, batches, score_inputs) -> (state, metrics)`: the updates of a burst, to compile.

    The batches are stacked, and the metrics of all updates come stacked.
    """

    def scan(state, batches, score_inputs):
        # The learner itself skips the scores of every update at which nothing is due.
        def one_update(state, batch):
            return learner.update(state, batch, score_inputs)

        return jax.lax.scan(one_update, state, batches)

    return scan


def stack(trees: Sequence[Any]) -> Any:
    """Pytrees of one structure as one, whose arrays have a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def tell(after_update: Callable[[Any], None], metrics: Any, updates: int) -> None:
    """Calls `after_update` with the metrics of each update, which come stacked."""
    for update in range(updates):
        after_update(jax.tree.map(operator.itemgetter(update), metrics))


def reported_update(due: Sequence[bool]) -> int:
    """The index of the last update that was due, or of the last one where none was."""
    return max((index for index, is_due in enumerate(due) if is_due), default=len(due) - 1)
