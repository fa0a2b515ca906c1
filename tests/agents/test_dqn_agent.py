# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""DormantDQNAgent on made-up frames: the updates of Dopamine's own agent, at any replay ratio.
Every test asserts how many updates were made."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)
from dormant.checks import ConfigurationError
from dormant.runs.options import LearnerOptions

with warnings.catch_warnings():
    # Gym and TensorFlow Probability warn about themselves while they are imported.
    warnings.simplefilter("ignore")
    from dopamine.jax.agents.dqn.dqn_agent import JaxDQNAgent
    from dopamine.labs.redo.networks import ScalableNatureDQNNetwork

    from dormant.agents import replay_sampling

ACTIONS = 4


@pytest.fixture
def make_agent(load_gin, with_shared_programs):
    def make(**changes):
        load_gin(**changes)
        from dormant.agents.dqn_agent import DormantDQNAgent

        return with_shared_programs(DormantDQNAgent(num_actions=ACTIONS))

    return make


def play(*agents, steps, actions=None):
    """One episode of `steps` agent steps on random frames; the same one for every agent."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (steps, 84, 84, 1), dtype=np.uint8)
    rewards = rng.choice([-1.0, 0.0, 1.0], steps)
    for agent in agents:
        agent.begin_episode(frames[0])
        for step in range(1, steps):
            if actions is not None:
                agent.action = actions[step]
            agent.step(rewards[step], frames[step])
        agent.end_episode(1.0, True)


def count(agent):
    return int(optax.tree.get(agent.optimizer_state, "count"))


@pytest.mark.parametrize(
    ("replay_ratio", "updates"),
    [
        (0.25, 1),
        pytest.param(0.5, 2, marks=pytest.mark.slow),
        pytest.param(1, 4, marks=pytest.mark.slow),
        (2, 8),
    ],
)
def test_a_burst_makes_replay_ratio_times_update_period_updates(make_agent, replay_ratio, updates):
    agent = make_agent(LearnerOptions__replay_ratio=replay_ratio)
    play(agent, steps=30)
    # Learning starts with more than 20 transitions, at agent steps 24 and 28.
    assert agent.gradient_step == count(agent) == 2 * updates


@pytest.mark.slow
def test_updates_are_those_of_dopamines_agent_on_the_same_experience(make_agent):
    agent = make_agent(
        JaxDQNAgent__update_horizon=3,
        JaxDQNAgent__gamma=0.9,
        LearnerOptions__replay_ratio=0.25,
        LearnerOptions__intervention=None,
    )
    theirs = JaxDQNAgent(
        ACTIONS, network=functools.partial(ScalableNatureDQNNetwork, width=0.125), seed=0
    )
    before = jax.tree.map(np.array, agent.online_params)
    theirs.online_params = theirs.target_network_params = jax.tree.map(jnp.array, before)
    actions = np.random.default_rng(1).integers(0, ACTIONS, 60)
    play(agent, theirs, steps=60, actions=actions)
    assert count(agent) == count(theirs) == 9
    after = agent.online_params
    jax.tree.map(
        lambda ours, dopamines: np.testing.assert_allclose(ours, dopamines, rtol=1e-4, atol=2e-6),
        after,
        theirs.online_params,
    )
    moves = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), after, before)
    assert min(jax.tree.leaves(moves)) > 1e-5


@pytest.mark.parametrize(
    ("period", "unit"),
    [(28, {}), (4, {"LearnerOptions__target_update_unit": "gradient_steps"})],
    ids=["agent steps, as usual", "gradient steps"],
)
def test_the_target_follows_by_the_unit_of_its_period(make_agent, period, unit):
    agent = make_agent(JaxDQNAgent__target_update_period=period, **unit)
    play(agent, steps=28)
    assert count(agent) == 2
    kernels = [params["params"]["Conv_0"]["kernel"] for params in
               (agent.online_params, agent.target_network_params)]  # fmt: skip
    assert not np.array_equal(*kernels)
    play(agent, steps=1)
    assert count(agent) == 4
    jax.tree.map(np.testing.assert_array_equal, agent.online_params, agent.target_network_params)


def test_nothing_is_learned_or_stored_in_evaluation(make_agent):
    agent = make_agent()
    agent.eval_mode = True
    play(agent, steps=40)
    assert (count(agent), agent.gradient_step, agent.training_steps) == (0, 0, 0)
    assert agent.replay.add_count == 0
    agent.eval_mode = False
    play(agent, steps=30)
    assert count(agent) == 4


@pytest.mark.parametrize("between", ["a new episode", "an evaluation that goes on with it"])
def test_nothing_is_learned_across_an_episode_that_was_left_open(make_agent, between):
    agent = make_agent(JaxDQNAgent__min_replay_history=1_000)
    frames = [np.full((84, 84, 1), number, np.uint8) for number in range(1, 10)]
    agent.begin_episode(frames[0])
    for frame in frames[1:4]:
        agent.step(0.0, frame)
    if between == "a new episode":  # as where a run is resumed
        agent.begin_episode(frames[5])
    else:
        agent.eval_mode = True
        agent.step(0.0, frames[4])
        agent.step(0.0, frames[5])
        agent.eval_mode = False
    for frame in frames[6:]:
        agent.step(0.0, frame)
    agent.end_episode(0.0, True)
    batch = agent.replay.gather(np.arange(agent.replay.add_count))
    np.testing.assert_array_equal(batch.state[:, 0, 0, -1], [1, 2, 6, 7, 8, 9])
    np.testing.assert_array_equal(batch.next_state[:, 0, 0, -1], [2, 3, 7, 8, 9, 0])
    np.testing.assert_array_equal(batch.state[2, 0, 0], [0, 0, 0, 6])


def test_exploration_follows_the_schedule_and_the_seed(make_agent):
    def actions(**changes):
        agent = make_agent(JaxDQNAgent__min_replay_history=1_000, **changes)
        chosen = []
        agent.begin_episode(np.zeros((84, 84, 1), np.uint8))
        for _ in range(60):
            chosen.append(agent.step(0.0, np.zeros((84, 84, 1), np.uint8)))
        assert count(agent) == 0
        return chosen

    random = actions()
    assert set(random) == set(range(ACTIONS))
    assert actions() == random
    assert actions(LearnerOptions__seed=1) != random
    greedy = actions(JaxDQNAgent__epsilon_train=0.0, JaxDQNAgent__epsilon_decay_period=1)
    assert len(set(greedy)) > 1  # the warm-up of min_replay_history steps explores
    load_identity = {"JaxDQNAgent__epsilon_train": 0.0, "JaxDQNAgent__min_replay_history": 0}
    agent = make_agent(JaxDQNAgent__epsilon_decay_period=1, **load_identity)
    agent.eval_mode = True
    agent.begin_episode(np.zeros((84, 84, 1), np.uint8))
    assert len({agent.step(0.0, np.zeros((84, 84, 1), np.uint8)) for _ in range(30)}) == 1


def test_observations_stay_bytes(make_agent):
    agent = make_agent()
    play(agent, steps=30)
    assert agent.state.dtype == np.uint8
    assert agent.state.shape == (84, 84, 4)
    batch = agent._training_batch()
    assert batch.state.dtype == batch.next_state.dtype == np.uint8
    assert (batch.action.dtype, batch.reward.dtype) == (np.int32, np.float32)
    assert count(agent) == 4


def test_the_state_is_the_last_frames_of_the_episode(make_agent):
    agent = make_agent()
    frames = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 1), dtype=np.uint8)
    for _ in range(2):
        agent.begin_episode(frames[0])
        np.testing.assert_array_equal(agent.state, np.dstack([0 * frames[0]] * 3 + [frames[0]]))
        for frame in frames[1:]:
            agent.step(0.0, frame)
        np.testing.assert_array_equal(agent.state, np.dstack(list(frames[2:])))
        agent.end_episode(0.0, False)
    # What the environment does with its array afterwards is its own affair.
    expected = np.dstack(list(frames[2:]))
    frames[:] = 0
    np.testing.assert_array_equal(agent.state, expected)
    np.testing.assert_array_equal(agent.replay.gather(np.array([4])).next_state[0], expected)


def test_actions_compile_once(make_agent):
    agent = make_agent()
    play(agent, steps=30)
    agent.eval_mode = True
    play(agent, steps=5)
    assert agent._act_in_training._cache_size() == 1
    assert agent._act_in_evaluation._cache_size() == 1
    assert count(agent) == 4


def test_score_batches_leave_the_replays_sampler_alone(make_agent):
    agent = make_agent()
    play(agent, steps=130)  # more than the replay's capacity of 100
    replay = agent.replay
    before = replay._generator.bit_generator.state
    # All but the oldest, whose stacks lost a frame.
    assert len(replay) == 97 and replay.add_count == 130

    def draw(gradient_step):
        return replay_sampling.score_batch(replay, 0, gradient_step, 50).state

    states = draw(8)
    assert replay._generator.bit_generator.state == before
    assert (states.shape, states.dtype) == ((50, 84, 84, 4), np.uint8)
    np.testing.assert_array_equal(states, draw(8))
    assert not np.array_equal(states, draw(16))
    stored = replay.gather(np.arange(replay.add_count - len(replay), replay.add_count)).state
    assert {state.tobytes() for state in states} <= {state.tobytes() for state in stored}


def test_recycling_acts_and_tracking_tells(make_agent):
    agent = make_agent(ReDo__tau=0.5, ReDo__period=4, Tracker__tracking_period=2)
    records = []
    agent.set_tracking_listener(records.append)
    play(agent, steps=40)
    assert count(agent) == 8
    assert [record["gradient_step"] for record in records] == [2, 4, 6, 8]
    assert [record["agent_step"] for record in records] == [24, 28, 32, 36]
    assert records[0]["recycled_total"] == 0 < records[1]["recycled_total"]


def test_when_one_tracks_changes_no_recycle(make_agent):
    learned = []
    for period in (3, 1_000):  # with two updates a burst the first is due beside ReDo's
        agent = make_agent(ReDo__tau=0.9, ReDo__period=4, Tracker__tracking_period=period)
        play(agent, steps=40)
        assert int(agent.learner_state.intervention.report.recycled_total) > 0
        learned.append(jax.tree.map(np.array, agent.online_params))
    jax.tree.map(np.testing.assert_array_equal, *learned)


def changed_entries(agent, steps):
    before = jax.tree.map(np.array, agent.online_params)
    play(agent, steps=steps)
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, agent.online_params)
    return jax.tree.leaves(changed)


@pytest.mark.slow
def test_the_resnet_learns_with_another_optimizer(make_agent):
    agent = make_agent(
        DormantDQNAgent__network="impala",
        DormantDQNAgent__width=0.125,
        LearnerOptions__intervention=None,
        JaxDQNAgent__optimizer="rmsprop",
    )
    assert all(changed_entries(agent, steps=30))
    assert agent.gradient_step == int(agent.learner_state.gradient_step) == 4
    assert "Stack_0/Conv_0" in agent.learner_state.tracker.report.by_layer


@pytest.mark.slow
def test_recycling_works_with_weight_decay_and_counts_per_entry(make_agent):
    agent = make_agent(
        DormantDQNAgent__loss="mse",
        LearnerOptions__weight_decay=1e-5,
        ReDo__adam_count="per_entry",
        ReDo__tau=0.5,
        ReDo__period=4,
    )
    assert all(changed_entries(agent, steps=30))
    assert agent.gradient_step == int(agent.learner_state.gradient_step) == 4
    assert int(agent.learner_state.intervention.report.recycled_total) > 0
    counts = jax.tree.leaves(optax.tree.get(agent.optimizer_state, "counts"))
    assert {int(count) for leaf in counts for count in np.unique(leaf)} == {0, 4}


def test_dopamines_names_for_loss_and_seed_hold_unless_ours_are_bound(load_gin):
    from dormant.agents.dqn_agent import DormantDQNAgent

    load_gin(JaxDQNAgent__seed=5, JaxDQNAgent__loss_type="mse")
    agent = DormantDQNAgent(num_actions=ACTIONS)
    assert (agent.seed, agent._loss) == (5, "mse")
    agent = DormantDQNAgent(ACTIONS, loss="huber", options=LearnerOptions(seed=6))
    assert (agent.seed, agent._loss) == (6, "huber")


def test_without_any_binding_the_seed_is_not_the_clock():
    import gin

    from dormant.agents.dqn_agent import DormantDQNAgent

    gin.clear_config()
    gin.parse_config("ReplayBuffer.batch_size = 4\nReplayBuffer.max_capacity = 10")
    agent = DormantDQNAgent(num_actions=ACTIONS, width=0.25)
    assert agent.seed == 0
    assert agent._loss == "huber"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"LearnerOptions__replay_ratio": 0.3}, "update_period 4 with 0.25 or 0.5"),
        ({"DormantDQNAgent__network": "cnn"}, "`DormantDQNAgent.network` must be 'nature'"),
        ({"DormantDQNAgent__loss": "l1"}, "`DormantDQNAgent.loss` must be one of"),
        ({"DormantDQNAgent__width": 0}, "`DormantDQNAgent.width` must be"),
        ({"DormantDQNAgent__activation": "tanh"}, "`DormantDQNAgent.activation` must be one of"),
        ({"LearnerOptions__seed": -1}, "seed` must be"),
        ({"JaxDQNAgent__gamma": 1.5}, "`JaxDQNAgent.gamma` must be"),
        ({"JaxDQNAgent__update_horizon": 0}, "`JaxDQNAgent.update_horizon` must be"),
        ({"JaxDQNAgent__optimizer": "adamw"}, "`JaxDQNAgent.optimizer` must be one of"),
        ({"ReplayBuffer__batch_size": 0}, "`ReplayBuffer.batch_size` must be"),
        ({"ReplayBuffer__max_capacity": 4}, "`ReplayBuffer.max_capacity` must .* >= 5; got 4"),
        ({"ReplayBuffer__checkpoint_duration": 0}, "`ReplayBuffer.checkpoint_duration` must be"),
        ({"ReplayBuffer__compress": True}, "`ReplayBuffer.compress` must be False: .* got True"),
        ({"ReplayBuffer__sampling_distribution": 1}, "distribution` must be left out: the"),
        ({"Tracker__tracking_period": 1}, "`Tracker.tracking_period` must be at least the 2"),
    ],
)
def test_an_option_that_is_not_allowed_is_named(make_agent, changes, problem):
    with pytest.raises(ConfigurationError, match=problem):
        make_agent(**changes)


def test_a_network_bound_in_dopamines_way_is_refused(make_agent, load_gin):
    import gin

    load_gin()
    from dormant.agents.dqn_agent import DormantDQNAgent

    with gin.unlock_config():
        gin.parse_config("JaxDQNAgent.network = @networks.NatureDQNNetwork")
    with pytest.raises(ConfigurationError, match="bind DormantDQNAgent.network instead"):
        DormantDQNAgent(num_actions=ACTIONS)
