"""The Rainbow agents on made-up frames of 12 x 12: prioritized replay that is really on.
Every test asserts how many updates were made."""

import jax
import numpy as np
import optax
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)

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
def make_agent(load_family):
    def make(family, **changes):
        small = RAINBOW if family in ("rainbow", "c51") else FULL
        load_family(family, **(small | changes))
        from dormant.agents import rainbow_agent

        name = "DormantRainbowAgent" if small is RAINBOW else "DormantFullRainbowAgent"
        return getattr(rainbow_agent, name)(num_actions=ACTIONS)

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


def priorities(agent):
    sampler = agent._replay._sampling_distribution
    indices = np.arange(len(agent._replay._memory), dtype=np.int32)
    return np.asarray(sampler._sum_tree.get(indices))


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
    sampler = agent._replay._sampling_distribution
    last = {}
    for keys, losses in drawn:
        last |= dict(zip(keys.tolist(), losses.tolist(), strict=True))
    for key, loss in last.items():
        priority = sampler._sum_tree.get(sampler._index_by_key[key])
        assert priority == pytest.approx(np.sqrt(loss + 1e-10), rel=1e-6)
    assert len(np.unique(priorities(agent))) > 4


def test_a_batch_is_drawn_with_the_priorities_of_the_update_before_it(make_agent):
    """Dopamine's order, of which the weights are the evidence: 1 / sqrt(p), over their maximum."""
    agent = make_agent("rainbow")
    play(agent, 40)
    tree = agent._replay._sampling_distribution._sum_tree
    batch = agent._training_batch()
    keys = agent._sampled_keys.pop()
    index = agent._replay._sampling_distribution._index_by_key
    probability = np.array([tree.get(index[key]) for key in keys.tolist()]) / tree.root
    weight = 1 / np.sqrt(probability + 1e-10)
    np.testing.assert_allclose(batch.weight, weight / weight.max(), rtol=1e-5)
    assert batch.weight.dtype == np.float32 and len(np.unique(batch.weight)) > 1


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("rainbow", {"LearnerOptions__replay_scheme": "released_code"}),
        ("c51", {}),
        ("rainbow", {"JaxRainbowAgent__replay_scheme": "uniform"}),
    ],
    ids=["as released", "C51", "as bound"],
)
def test_uniform_replay_leaves_all_priorities_equal(make_agent, family, changes):
    agent = make_agent(family, **changes)
    play(agent, 40)
    assert not agent.prioritizes
    assert updates(agent) == agent.gradient_step > 4
    assert set(priorities(agent)) == {1.0}
    assert set(agent._training_batch().weight) == {1.0}


@pytest.mark.parametrize("family", ["rainbow", pytest.param("der", marks=pytest.mark.slow)])
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
    assert whole._sum_tree.max_recorded_priority > 1
    assert resumed._sum_tree.max_recorded_priority == whole._sum_tree.max_recorded_priority
    assert updates(whole) == updates(resumed) > 10
    jax.tree.map(np.testing.assert_array_equal, whole.online_params, resumed.online_params)


@pytest.mark.parametrize(("capacity", "priorities"), [(16, 16), (16, 15), (20, 19)])
def test_a_table_of_priorities_that_would_overflow_is_refused(load_family, capacity, priorities):
    from dormant.agents import preflight
    from dormant.runs.options import ConfigurationError

    load_family(
        "rainbow",
        ReplayBuffer__max_capacity=capacity,
        PrioritizedSamplingDistribution__max_capacity=priorities,
    )
    with pytest.raises(ConfigurationError, match="PrioritizedSamplingDistribution.max_capacity"):
        preflight.check_replay()


@pytest.mark.parametrize(("capacity", "priorities"), [(16, 17), (17, 17)])
def test_the_smallest_table_of_priorities_that_is_allowed_suffices(
    make_agent, capacity, priorities
):
    from dormant.agents import preflight

    agent = make_agent(
        "rainbow",
        ReplayBuffer__max_capacity=capacity,
        PrioritizedSamplingDistribution__max_capacity=priorities,
        JaxRainbowAgent__min_replay_history=1_000,
    )
    preflight.check_replay()
    play(agent, 40)
    assert len(agent._replay._memory) == capacity


def test_a_network_that_fits_no_distribution_is_one_line(make_agent):
    from dormant.runs.options import ConfigurationError

    with pytest.raises(ConfigurationError, match="DormantFullRainbowAgent: `support` must be"):
        make_agent(
            "drq_eps", JaxFullRainbowAgent__distributional=True, LearnerOptions__replay_ratio=1
        )


def test_dopamines_own_agent_still_has_the_bug(load_family):
    """google/dopamine #230. When this fails, the switch has lost its reason."""
    load_family("rainbow", **RAINBOW)
    from dopamine.jax.agents.rainbow.rainbow_agent import JaxRainbowAgent

    assert JaxRainbowAgent(ACTIONS, replay_scheme="prioritized")._replay_scheme == "uniform"


def test_a_scheme_that_does_not_exist_is_refused(make_agent):
    from dormant.runs.options import ConfigurationError

    with pytest.raises(ConfigurationError, match="replay_scheme must be one of .* 'rank'"):
        make_agent("rainbow", JaxRainbowAgent__replay_scheme="rank")


@pytest.mark.parametrize(
    "family", ["full_rainbow", "drq_eps", pytest.param("der", marks=pytest.mark.slow)]
)
def test_full_rainbow_and_its_presets_learn_and_recycle(make_agent, family):
    agent = make_agent(family, LearnerOptions__replay_ratio=1, ReDo__tau=0.5)
    before = jax.tree.map(np.array, agent.online_params)
    records = []
    agent.set_tracking_listener(records.append)
    play(agent, 60)
    assert updates(agent) == agent.gradient_step > 10
    assert agent.prioritizes == (family != "drq_eps")
    assert (len(np.unique(priorities(agent))) > 4) == agent.prioritizes
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
    observations = rng.integers(0, 256, (20, *agent.state.shape), dtype=np.uint8)

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


def test_scores_are_taken_under_one_draw_of_noise_that_depends_on_the_step_alone(make_agent):
    agent = make_agent("full_rainbow")
    play(agent, 40)
    (states, key), (again, same_key) = (agent._score_inputs(8, 4) for _ in range(2))
    np.testing.assert_array_equal(states, again)
    assert jax.random.key_data(key).tolist() == jax.random.key_data(same_key).tolist()
    _, other_key = agent._score_inputs(16, 4)
    assert jax.random.key_data(key).tolist() != jax.random.key_data(other_key).tolist()
