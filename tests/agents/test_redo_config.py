"""The gin-configurable options of recycling and tracking: what is allowed, and what they build."""

import dataclasses
import functools
import inspect

import gin
import jax
import jax.numpy as jnp
import optax
import pytest

import dormant
from dormant.agents.options import ConfigurationError, LearnerOptions, updates_per_burst
from dormant.agents.redo_config import ReDo, Tracker


@pytest.fixture(autouse=True)
def empty_gin():
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tau": -0.1}, r"ReDo.tau must be a number >= 0 or a schedule.*; received -0.1"),
        ({"tau": float("nan")}, "ReDo.tau must be .*; received nan"),
        ({"tau": True}, "ReDo.tau must be .*; received True"),
        ({"period": 0}, "ReDo.period must be a whole number of gradient steps >= 1; received 0"),
        ({"period": 1e3}, "ReDo.period must be .*; received 1000.0"),
        ({"start": -1}, "ReDo.start must be .* >= 0; received -1"),
        ({"start": 5, "end": 5}, "ReDo.end must be .* >= 6; received 5"),
        ({"outgoing": "random"}, "ReDo.outgoing must be one of 'zero', 'fresh'; received 'random'"),
        ({"incoming_scale": 1}, "ReDo.incoming_scale must be one of .*; received 1"),
        ({"moments": None}, "ReDo.moments must be one of .*; received None"),
        ({"adam_count": "reset"}, "ReDo.adam_count must be one of .*; received 'reset'"),
        ({"flatten_layout": "tile"}, "ReDo.flatten_layout must be one of .*; received 'tile'"),
        ({"max_fraction": 0.0}, r"ReDo.max_fraction must be None or .*\(0, 1\]; received 0.0"),
        ({"max_fraction": 1.5}, "ReDo.max_fraction must be .*; received 1.5"),
        ({"score_batch": 0}, "ReDo.score_batch must be .*; received 0"),
    ],
)
def test_an_option_of_redo_that_is_not_allowed_is_named(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        ReDo(**options)


@pytest.mark.parametrize("options", [{"tracking_period": 0}, {"score_batch": -1}])
def test_an_option_of_the_tracker_that_is_not_allowed_is_named(options):
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"Tracker.{name} must be a whole number"):
        Tracker(**options)


def test_defaults_are_the_papers():
    redo = ReDo()
    assert (redo.tau, redo.period, redo.score_batch) == (0.1, 1_000, 64)
    assert (redo.outgoing, redo.moments, redo.adam_count) == ("zero", "reset", "keep")
    # The core's own defaults are the same ones.
    core = inspect.signature(dormant.redo).parameters
    for field in dataclasses.fields(ReDo):
        if field.name != "score_batch":
            assert getattr(redo, field.name) == core[field.name].default


def test_gin_sets_the_options_and_schedules():
    gin.parse_config("""
        ReDo.tau = @optax.linear_schedule()
        optax.linear_schedule.init_value = 0.2
        optax.linear_schedule.end_value = 0.0
        optax.linear_schedule.transition_steps = 100
        ReDo.period = 10
        Tracker.tracking_period = 5
    """)
    assert float(ReDo().tau(50)) == pytest.approx(0.1)
    assert ReDo().period == 10
    assert ReDo(period=20).period == 20
    assert Tracker().tracking_period == 5


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReDo().tau = 0.5


def test_due_steps_lie_between_start_and_end():
    redo = ReDo(period=10, start=15, end=40)
    assert [step for step in range(60) if redo.is_due(step)] == [20, 30]
    assert [step for step in range(30) if Tracker(tracking_period=10).is_due(step)] == [10, 20]


def test_interventions_act_as_configured():
    def apply(params, x):
        return jax.nn.relu(x @ params["hidden"]) @ params["output"]

    def init(key):
        first, second = jax.random.split(key)
        return {
            "hidden": jax.random.normal(first, (3, 8)), "output": jax.random.normal(second, (8, 2))
        }  # fmt: skip

    params = init(jax.random.key(0))
    # The first two neurons are silent, the others are not.
    params["hidden"] = jnp.abs(params["hidden"]).at[:, :2].set(0.0)
    inputs = jnp.abs(jax.random.normal(jax.random.key(1), (16, 3)))
    graph = dormant.trace(apply, params, inputs)
    optimizer = optax.adam(1e-3)
    for intervention, recycled in (
        (ReDo(tau=0.0, period=2).intervention(graph, init, optimizer), 2),
        (ReDo(tau=0.0, period=2, max_fraction=0.125).intervention(graph, init, optimizer), 1),
        (Tracker(tracking_period=2).intervention(graph), 0),
    ):
        state = intervention.init(jax.random.key(2))
        new, opt_state = params, optimizer.init(params)
        update = jax.jit(intervention.update)
        for _ in range(2):
            new, opt_state, state = update(new, opt_state, state, inputs)
        assert int(state.report.step) == 2
        assert int(state.report.recycled_total) == recycled
        changed = jnp.any(new["hidden"] != params["hidden"], axis=0)
        assert int(jnp.sum(changed)) == recycled


@pytest.mark.parametrize(
    ("replay_ratio", "update_period", "updates"),
    [(0.25, 4, 1), (0.5, 4, 2), (1, 4, 4), (2, 4, 8), (1, 1, 1), (1 / 3, 3, 1), (0.1, 10, 1)],
)
def test_updates_of_one_burst(replay_ratio, update_period, updates):
    assert updates_per_burst(replay_ratio, update_period) == updates


@pytest.mark.parametrize(
    ("replay_ratio", "nearest"),
    [(0.3, "0.25 and 0.5"), (0.1, "0.25"), (0.0, "0.25"), (1.1, "1 and 1.25")],
)
def test_an_invalid_replay_ratio_names_the_nearest_valid_ones(replay_ratio, nearest):
    message = f"update_period 4: {nearest}; received {replay_ratio}$"
    with pytest.raises(ConfigurationError, match=message):
        updates_per_burst(replay_ratio, 4)


def test_learner_options_are_checked():
    options = functools.partial(
        LearnerOptions, replay_ratio=1, target_update_unit="agent_steps", weight_decay=0.0,
        redo=None, tracker=Tracker(),
    )  # fmt: skip
    options()
    for wrong in ({"target_update_unit": "frames"}, {"weight_decay": -1e-5}, {"redo": True}):
        (name,) = wrong
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            options(**wrong)
