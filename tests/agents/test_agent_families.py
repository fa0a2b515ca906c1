# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every agent family for 300 agent steps on its real environment, from the gin file that it ships.
Slow: `make test-slow`."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)

with warnings.catch_warnings():
    # Gym and TensorFlow Probability warn about themselves while they are imported.
    warnings.simplefilter("ignore")
    from dormant.agents import rainbow_agent, sac_agent  # noqa: F401

from tests.host_states import numpy_state

FAMILY_NAMES = (
    "dqn", "dqn_cartpole", "dqn_minatar", "c51", "rainbow", "full_rainbow", "drq_eps", "der", "sac"
)  # fmt: skip

pytestmark = pytest.mark.slow


def length(family):
    name = "ContinuousRunner" if family == "sac" else "Runner"
    return {f"{name}__training_steps": 150}


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def trained(family, train_family, tmp_path_factory):
    base_dir = tmp_path_factory.mktemp(family)
    return train_family(base_dir, family, **length(family))


def records(base_dir, kind):
    lines = (base_dir / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def moved(before, after):
    return [
        not np.array_equal(old, new)
        for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    ]


def test_parameters_targets_moments_and_metrics_move(trained):
    agent, state = trained.runner.agent, trained.state
    assert agent.training_steps >= 300
    assert int(state.gradient_step) == agent.gradient_step > 10
    root = jax.random.key(agent.seed)
    fresh = jax.jit(agent._learner.init)(jax.random.split(root, 3)[0])
    assert all(moved(fresh.params, state.params))
    assert any(moved(fresh.target_params, state.target_params))
    first_moments = optax.tree.get_all_with_path(state.opt_state, "mu")
    assert first_moments
    for _, moments in first_moments:
        assert any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(moments))
    tracking = records(trained.base_dir, "tracking")
    assert len(tracking) >= 2
    for name in ("loss", "weight_norm_total", "gradient_norm_total"):
        assert len({record[name] for record in tracking}) > len(tracking) / 2
    assert all(record["gradient_norm_total"] > 0 for record in tracking)
    assert tracking[-1]["recycled_total"] > 0
    assert len(records(trained.base_dir, "iteration")) == 2


def silenced(params, apply, inputs):
    """Parameters whose first two neurons of every hidden layer are silent: weights 0, biases -1."""
    graph = dormant.trace(apply, params, *inputs)
    leaves = graph.parameters.leaves("params", params)
    for layer in graph.layers:
        first_two = jnp.arange(layer.neurons) < 2
        for entries in layer.incoming:
            value = -1.0 if entries.role == "elementwise" else 0.0
            leaf = leaves[entries.path]
            leaves[entries.path] = jnp.where(entries.mask(first_two, leaf.ndim), value, leaf)
    return graph.parameters.unflatten(leaves)


def test_a_recycle_at_tau_0_changes_no_output(family, load_family, trained):
    """The same update with a recycle after it and without: the outputs are equal to the bit."""
    load_family(family, ReDo__tau=0.0)
    ran = trained.runner.agent
    update = jax.jit(type(ran).for_environment(trained.runner._environment)._learner.update)
    inputs, batch = ran._score_inputs(10_000, 8), ran._training_batch()
    params = ran.learner_state.params
    for apply in ran._traced:
        params = silenced(params, apply, inputs)

    def updated(step):
        def count(state):
            return state._replace(step=jnp.int32(step))

        state = ran.learner_state._replace(params=params)
        own = state.intervention
        own = {n: count(s) for n, s in own.items()} if isinstance(own, dict) else count(own)
        return update(state._replace(intervention=own), batch, inputs)[0]

    # ReDo.period is 8: a recycle follows the first of the two.
    recycled, untouched = updated(7), updated(8)
    changed = sum(moved(recycled.params, untouched.params))
    # What feeds and what reads the silent neurons of each network.
    assert changed >= 2 * len(ran._traced)
    for apply in ran._traced:
        jax.tree.map(
            np.testing.assert_array_equal,
            apply(recycled.params, *inputs),
            apply(untouched.params, *inputs),
        )


def test_tracking_changes_nothing_that_is_trained(family, train_family, tmp_path):
    """With tracking at every fourth gradient step, and with none: bit-equal states."""
    changes = {"LearnerOptions__intervention": None}
    tracked = train_family(tmp_path / "tracked", family, **changes)
    untracked = train_family(
        tmp_path / "untracked", family, Tracker__tracking_period=100_000, **changes
    )
    assert records(tracked.base_dir, "tracking")
    assert not records(untracked.base_dir, "tracking")
    ours, theirs = (numpy_state(run.state) for run in (tracked, untracked))
    for name in ("params", "target_params", "opt_state", "gradient_step"):
        jax.tree.map(np.testing.assert_array_equal, getattr(ours, name), getattr(theirs, name))
