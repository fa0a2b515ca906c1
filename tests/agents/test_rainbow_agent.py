# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Rainbow agents on made-up frames of 12 x 12: prioritized replay that is really on.
Every test asserts how many updates were made."""

import jax
import numpy as np
import optax
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)
from dormant.checks import NotFinite

ACTIONS = 3
FRAME = (12, 12)
SMALL = {
    "LearnerOptions__replay_ratio": 0.5,
    "LearnerOptions__intervention": "@ReDo()",
    "ReDo__period": 4,
}
RAINBOW = SMALL | {"JaxRainbowAgent__observation_shape": FRAME, "JaxRainbowAgent__num_atoms": 11}
FULL = SMALL | {"JaxDQNAgent__observation_shape": FRAME}


@pytest.fixture
def make_agent(load_family, with_shared_programs):
    def make(family, **changes):
        small = RAINBOW if family in ("rainbow", "c51") else FULL
        load_family(family, **(small | changes))
        from dormant.agents import rainbow_agent

        name = "DormantRainbowAgent" if small is RAINBOW else "DormantFullRainbowAgent"
        return with_shared_programs(getattr(rainbow_agent, name)(num_actions=ACTIONS))

    return make


def play(agent, steps):
    """One episode of random frames."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (steps, *FRAME), dtype=np.uint8)
    rewards = rng.choice([-1.0, 0.0, 1.0], steps)
    chosen = [agent.begin_episode(frames[0])]
    for step in range(1, steps):
        chosen.append(agent.step(rewards[step], frames[step]))
    agent.end_episode(1.0, True)
    return chosen


def all_keys(agent):
    return np.arange(agent.replay.add_count - len(agent.replay), agent.replay.add_count)


def priorities(agent, keys):
    return agent.replay._tree.get(keys % agent.replay.options.capacity)


def updates(agent):
    return int(optax.tree.get(agent.optimizer_state, "count"))


def test_priorities_follow_the_losses(make_agent):
    agent = make_agent("rainbow")
    drawn = []
    after_update = agent._after_update

    def noted(metrics):
        keys = agent._sampled_keys[0].copy()
        after_update(metrics)
        drawn.append((keys, np.asarray(metrics["sample_loss"])))

    agent._after_update = noted
    play(agent, 40)
    assert agent.prioritizes
    assert updates(agent) == agent.gradient_step == len(drawn) > 4
    last = {}
    for keys, losses in drawn:
        last |= dict(zip(keys.tolist(), losses.tolist(), strict=True))
    for key, loss in last.items():
        assert priorities(agent, key) == pytest.approx(np.sqrt(loss + 1e-10), rel=1e-6)
    assert len(np.unique(priorities(agent, all_keys(agent)))) > 4


def test_a_batch_is_drawn_with_the_priorities_of_the_update_before_it(make_agent):
    """Dopamine's order, of which the weights are the evidence: 1 / sqrt(p), over their maximum."""
    agent = make_agent("rainbow")
    play(agent, 40)
    batch = agent._training_batch()
    keys = agent._sampled_keys.pop()
    probability = priorities(agent, keys) / priorities(agent, all_keys(agent)).sum()
    weight = 1 / np.sqrt(probability + 1e-10)
    np.testing.assert_allclose(batch.weight, weight / weight.max(), rtol=1e-5)
    assert batch.weight.dtype == np.float32 and len(np.unique(batch.weight)) > 1


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("rainbow", {"LearnerOptions__replay_scheme": "released_code"}),
        pytest.param("c51", {}, marks=pytest.mark.slow),
        ("rainbow", {"JaxRainbowAgent__replay_scheme": "uniform"}),
    ],
    ids=["as released", "C51", "as bound"],
)
def test_uniform_replay_has_no_priorities(make_agent, family, changes):
    agent = make_agent(family, **changes)
    play(agent, 40)
    assert not agent.prioritizes
    assert updates(agent) == agent.gradient_step > 4
    assert not agent.replay.options.prioritized
    assert set(agent._training_batch().weight) == {1.0}


@pytest.mark.parametrize("family", ["rainbow", "der"])
@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(family, load_family, tmp_path):
    """On real games. Dopamine's checkpoint leaves out the priority of new transitions."""
    from dormant.agents.runner import create_dormant_runner

    def run(base_dir, iterations):
        load_family(family, Runner__num_iterations=iterations)
        runner = create_dormant_runner(str(base_dir))
        runner.run_experiment()
        return runner.agent

    whole = run(tmp_path / "whole", 2)
    run(tmp_path / "halves", 1)
    resumed = run(tmp_path / "halves", 2)
    found = [priorities(agent, all_keys(agent)) for agent in (whole, resumed)]
    np.testing.assert_array_equal(*found)
    assert found[0].max() > 1
    assert updates(whole) == updates(resumed) > 10
    jax.tree.map(np.testing.assert_array_equal, whole.online_params, resumed.online_params)


def test_the_table_of_priorities_holds_the_whole_replay(make_agent):
    """Dopamine's own overflows at a power of two."""
    agent = make_agent(
        "rainbow",
        ReplayBuffer__max_capacity=16,
        PrioritizedSamplingDistribution__max_capacity=16,
        JaxRainbowAgent__min_replay_history=1_000,
    )
    play(agent, 40)
    # The oldest three have lost frames of their stacks.
    assert len(agent.replay) == 13
    np.testing.assert_array_equal(priorities(agent, all_keys(agent)), np.ones(13))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"PrioritizedSamplingDistribution__max_capacity": 999}, "max_capacity. .* >= 1000; got"),
        ({"PrioritizedSamplingDistribution__priority_exponent": -1}, "priority_exponent` must be"),
        ({"PrioritizedSamplingDistribution__seed": 3}, "seed` must be left out: .*; got 3"),
    ],
)
def test_an_option_of_the_priorities_that_is_not_allowed_is_named(make_agent, changes, problem):
    from dormant.checks import ConfigurationError

    with pytest.raises(ConfigurationError, match=f"PrioritizedSamplingDistribution.{problem}"):
        make_agent("rainbow", **changes)


def test_the_exponent_of_the_priorities_holds(make_agent):
    exponent = {"PrioritizedSamplingDistribution__priority_exponent": 0.5}
    agent = make_agent("rainbow", **exponent)
    assert agent.replay.options.priority_exponent == 0.5
    # The one thing that leaves out what the file says on purpose.
    agent = make_agent("rainbow", LearnerOptions__replay_scheme="released_code", **exponent)
    assert not agent.replay.options.prioritized


def test_an_exponent_without_priorities_is_refused(make_agent):
    from dormant.checks import ConfigurationError

    with pytest.raises(ConfigurationError, match="priority_exponent` must be left out .* got 0.5"):
        make_agent("c51", PrioritizedSamplingDistribution__priority_exponent=0.5)


def test_a_loss_that_is_not_finite_stops_the_run(make_agent):
    agent = make_agent("rainbow")
    frame = np.zeros(FRAME, np.uint8)
    agent.begin_episode(frame)
    with pytest.raises(NotFinite, match="^the loss, .* not finite at gradient step 1 of seed 0$"):
        for _ in range(30):
            agent.step(np.nan, frame)
    assert agent.gradient_step == 2  # the burst under way


def test_a_network_that_fits_no_distribution_is_one_line(make_agent):
    from dormant.checks import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"DormantFullRainbowAgent\.support` must be"):
        make_agent(
            "drq_eps", JaxFullRainbowAgent__distributional=True, LearnerOptions__replay_ratio=1
        )


def test_dopamines_own_agent_still_has_the_bug(load_family):
    """google/dopamine #230. When this fails, the switch has lost its reason."""
    # Dopamine's own table of priorities needs a size.
    load_family("rainbow", **RAINBOW, PrioritizedSamplingDistribution__max_capacity=2_000)
    from dopamine.jax.agents.rainbow.rainbow_agent import JaxRainbowAgent

    assert JaxRainbowAgent(ACTIONS, replay_scheme="prioritized")._replay_scheme == "uniform"


def test_a_scheme_that_does_not_exist_is_refused(make_agent):
    from dormant.checks import ConfigurationError

    with pytest.raises(ConfigurationError, match="replay_scheme` must be one of .* 'rank'"):
        make_agent("rainbow", JaxRainbowAgent__replay_scheme="rank")


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=pytest.mark.slow) for f in ("full_rainbow", "drq_eps", "der")]
)
def test_full_rainbow_and_its_presets_learn_and_recycle(make_agent, family):
    agent = make_agent(family, LearnerOptions__replay_ratio=1, ReDo__tau=0.5)
    before = jax.tree.map(np.array, agent.online_params)
    records = []
    agent.set_tracking_listener(records.append)
    play(agent, 60)
    assert updates(agent) == agent.gradient_step > 10
    assert agent.prioritizes == (family != "drq_eps")
    if agent.prioritizes:
        assert len(np.unique(priorities(agent, all_keys(agent)))) > 4
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, agent.online_params)
    assert all(jax.tree.leaves(moved))
    assert records and records[-1]["recycled_total"] > 0
    assert set(records[-1]["effective_rank"]) == {
        "NoisyNetwork_0" if family != "drq_eps" else "Dense_0"
    }  # fmt: skip


def test_noise_explores_in_training_and_is_off_in_evaluation(make_agent):
    agent = make_agent("full_rainbow", JaxDQNAgent__epsilon_eval=0.0)

    def louder(path, leaf):
        return leaf * 100 if "sigma" in jax.tree_util.keystr(path) else leaf

    params = jax.tree_util.tree_map_with_path(louder, agent.online_params)
    agent._learner_state = agent.learner_state._replace(params=params)
    rng = np.random.default_rng(1)
    observations = rng.integers(0, 256, (4, *agent.state.shape), dtype=np.uint8)

    def most_actions_for_one_observation():
        found = []
        for observation in observations:
            agent.state = observation
            chosen = set()
            for _ in range(20):
                chosen.add(agent._select_action())
                agent.training_steps += 1
            found.append(len(chosen))
        return max(found)

    agent.eval_mode = True
    assert most_actions_for_one_observation() == 1
    agent.eval_mode = False
    assert most_actions_for_one_observation() > 1


@pytest.mark.slow
def test_scores_are_taken_under_one_draw_of_noise_that_depends_on_the_step_alone(make_agent):
    agent = make_agent("full_rainbow")
    play(agent, 40)
    (states, key), (again, same_key) = (agent._score_inputs(8, 4) for _ in range(2))
    np.testing.assert_array_equal(states, again)
    assert jax.random.key_data(key).tolist() == jax.random.key_data(same_key).tolist()
    _, other_key = agent._score_inputs(16, 4)
    assert jax.random.key_data(key).tolist() != jax.random.key_data(other_key).tolist()
