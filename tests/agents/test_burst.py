# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A burst of updates: the Python loop and the compiled scan do the same, and compile once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dormant.agents.burst import make_burst
from dormant.runs.host_arrays import forms_of, to_device
from tests.agents.small_learner import batches, make_learner
from tests.host_states import numpy_state

UPDATES = 3


@pytest.fixture
def learner():
    return make_learner(recycle=3)


def scores(seed):
    return (np.random.default_rng(seed).normal(size=(16, 4)).astype(np.float32),)


def run(learner, on_cpu, bursts=4):
    burst = make_burst(learner, on_cpu)
    state = learner.init(jax.random.key(0))
    for number in range(bursts):
        steps = range(number * UPDATES + 1, (number + 1) * UPDATES + 1)
        due = [step % 2 == 0 or step % 3 == 0 for step in steps]
        state, metrics = burst(state, batches(number, UPDATES), scores(number), due)
    return state, metrics


def test_the_loop_and_the_scan_agree(learner):
    looped, loop_metrics = run(learner, True)
    scanned, scan_metrics = run(learner, False)
    assert int(looped.gradient_step) == int(scanned.gradient_step) == 4 * UPDATES
    assert int(optax.tree.get(looped.opt_state, "count")) == 4 * UPDATES
    assert int(looped.intervention.report.recycled_total) > 0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        (numpy_state(looped), loop_metrics),
        (numpy_state(scanned), scan_metrics),
    )


@pytest.mark.parametrize("on_cpu", [True, False])
def test_the_metrics_are_those_of_the_scored_update(learner, on_cpu):
    seen = []
    burst = make_burst(learner, on_cpu)
    state = learner.init(jax.random.key(0))
    due = [False, True, False]
    _, reported = burst(state, batches(0, UPDATES), scores(0), due, seen.append)
    assert len(seen) == UPDATES
    losses = [float(metrics["loss"]) for metrics in seen]
    assert len(set(losses)) == UPDATES
    assert float(reported["loss"]) == losses[1]


def test_on_the_cpu_a_batch_is_drawn_after_the_update_before_it(learner):
    order = []

    def drawn():
        for batch in batches(0, UPDATES):
            order.append("batch")
            yield batch

    burst = make_burst(learner, True)
    state = learner.init(jax.random.key(0))
    burst(state, drawn(), None, [False] * UPDATES, lambda metrics: order.append("update"))
    assert order == ["batch", "update"] * UPDATES


@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_burst_compiles_one_program_with_scores_and_one_without(learner, on_cpu):
    traces = []

    def counting(function):
        def counted(*arguments):
            traces.append(function.__name__)
            return function(*arguments)

        return counted

    counted = {name: counting(getattr(learner, name)) for name in ("update", "step", "after_step")}
    burst = make_burst(learner._replace(**counted), on_cpu)
    state = learner.init(jax.random.key(0))
    for number in range(6):
        is_due = number % 2 == 1
        score_inputs = scores(number) if is_due else None
        state, _ = burst(state, batches(number, UPDATES), score_inputs, [is_due] * UPDATES)
        if number == 1:
            # A scan may trace its body more than once for one compiled program.
            after_both = len(traces)
    assert len(traces) == after_both
    # On the CPU the optimizer's step is one program for both.
    assert not on_cpu or after_both == 3


def test_a_state_survives_the_host_to_the_bit(learner):
    state, _ = run(learner, True, bursts=1)
    on_host = numpy_state(state)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(on_host))
    restored = to_device(forms_of(state), on_host)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    rest = [None, [False] * UPDATES]
    continued, _ = make_burst(learner, True)(restored, batches(9, UPDATES), *rest)
    expected, _ = make_burst(learner, True)(state, batches(9, UPDATES), *rest)
    jax.tree.map(np.testing.assert_array_equal, numpy_state(continued), numpy_state(expected))


def test_an_array_of_another_shape_is_refused():
    problem = r"must be float32 of shape \(3,\); got float32 of shape \(4,\)"
    with pytest.raises(ValueError, match=problem):
        to_device(forms_of(jnp.zeros(3)), np.zeros(4, np.float32))
