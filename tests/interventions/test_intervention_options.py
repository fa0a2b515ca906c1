"""Options of all interventions reach what they are made of: timing, batch, taus and recycling."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant

STATES = jax.random.normal(jax.random.key(4), (16, 3))


def init(key):
    one, two, three = jax.random.split(key, 3)
    return {
        "w1": jax.random.uniform(one, (3, 8), minval=-1.0),
        "w2": jax.random.uniform(two, (8, 8), minval=-1.0),
        "w3": jax.random.uniform(three, (8, 2), minval=-1.0),
    }


def mlp(params, states):
    return jax.nn.softplus(jax.nn.softplus(states @ params["w1"]) @ params["w2"]) @ params["w3"]


GRAPH = dormant.trace(mlp, init(jax.random.key(0)), STATES)
FACTORIES = {
    "redo": lambda optimizer, **o: dormant.redo(GRAPH, init, optimizer, 0.9, 2, **o),
    "fixed_budget": lambda optimizer, **o: dormant.fixed_budget(
        GRAPH, init, optimizer, 0.25, 2, **o
    ),
    "layer_reset": lambda optimizer, **o: dormant.layer_reset(
        GRAPH, init, optimizer, "last_hidden", 2, **o
    ),
    "prune": lambda optimizer, **o: dormant.prune(GRAPH, optimizer, 0.9, 2, **o),
}


def run(intervention, optimizer, steps, params=None):
    """States after each step, from moments that are nowhere 0."""
    params = init(jax.random.key(1)) if params is None else params
    opt_state = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params))[1]
    carry, seen = (params, opt_state, intervention.init(jax.random.key(2))), []
    update = jax.jit(intervention.update)
    for _ in range(steps):
        carry = update(*carry, STATES)
        seen.append(carry)
    return seen


@pytest.fixture(params=FACTORIES)
def factory(request):
    return FACTORIES[request.param]


def test_start_and_end_bound_when_something_is_done(factory):
    optimizer = optax.adam(1e-2)
    seen = run(factory(optimizer, start=3, end=8), optimizer, 10)
    acted = [step for step, (_, _, state) in enumerate(seen, start=1)
             if any(bool(mask.any()) for mask in state.masks.values())]  # fmt: skip
    scored = sorted({int(state.report.step) for _, _, state in seen} - {-1})
    assert scored == [4, 6]
    assert acted and set(acted) <= {4, 6}


def test_taus_are_those_that_the_report_has(factory):
    optimizer = optax.adam(1e-2)
    _, _, state = run(factory(optimizer, taus=(0.0, 0.5, 0.9, 100.0)), optimizer, 2)[-1]
    assert state.report.pooled.shape == (4,)
    assert float(state.report.pooled[-1]) == 1.0
    assert all(sets.shape == (4, 8) for sets in state.dormant.values())


def test_only_the_first_rows_are_scored(factory):
    optimizer = optax.adam(1e-2)
    _, _, state = run(factory(optimizer, score_batch=4), optimizer, 2)[-1]
    params = init(jax.random.key(1))
    scores = dormant.dormancy_scores(GRAPH.activations(params, STATES[:4]))
    expected = dormant.dormant_fraction(dormant.dormant_masks(scores, 0.1))
    assert float(state.report.pooled[-1]) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match="at least `score_batch` = 17 rows"):
        run(factory(optimizer, score_batch=17), optimizer, 1)


@pytest.mark.parametrize(
    "option",
    [
        {},
        pytest.param({"outgoing": "fresh"}, marks=pytest.mark.slow),
        pytest.param({"incoming_scale": "live_norm"}, marks=pytest.mark.slow),
        {"moments": "keep"},
        {"score": "contribution_utility"},
        {"adam_count": "per_entry"},
    ],
    ids=str,
)
def test_a_budget_recycles_as_redo_does(option):
    """A budget of the lowest quarter is ReDo whose tau all neurons pass, capped at a quarter."""
    optimizer = dormant.adam(1e-2)

    def after(intervention):
        params, opt_state, state = run(intervention, optimizer, 2)[-1]
        assert int(state.report.recycled_total) == 4
        return params, opt_state

    budget = after(dormant.fixed_budget(GRAPH, init, optimizer, 0.25, 2, **option))
    redo = after(dormant.redo(GRAPH, init, optimizer, 1e6, 2, max_fraction=0.25, **option))
    jax.tree.map(np.testing.assert_array_equal, budget, redo)
    if option:
        plain = after(dormant.fixed_budget(GRAPH, init, optimizer, 0.25, 2))
        same = jax.tree.map(lambda a, b: bool((a == b).all()), budget, plain)
        assert not all(jax.tree.leaves(same))
