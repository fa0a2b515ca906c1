# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""DormantSACAgent on a made-up task: acting, recycling in both networks, the target critics.
Every test asserts how many updates were made."""

import jax
import numpy as np
import optax
import pytest

import dormant.agents  # noqa: F401  (makes Dopamine import)
from dormant.checks import ConfigurationError

OBSERVATION, ACTION = (5,), (2,)
LIMITS = (np.array([-1.0, -2.0], np.float32), np.array([1.0, 4.0], np.float32))


@pytest.fixture
def make_agent(load_family, with_shared_programs):
    def make(**changes):
        load_family("sac", **({"SACAgent__hidden_units": 8, "ReDo__tau": 0.3} | changes))
        from dormant.agents.sac_agent import DormantSACAgent

        return with_shared_programs(DormantSACAgent(ACTION, LIMITS, OBSERVATION))

    return make


def play(agent, steps, seed=0):
    """One episode of random observations, as float64, which MuJoCo gives; returns the actions."""
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(steps, *OBSERVATION))
    actions = [agent.begin_episode(observations[0])]
    for step in range(1, steps):
        actions.append(agent.step(float(rng.normal()), observations[step]))
    agent.end_episode(1.0, True)
    return np.stack(actions)


def play_until(agent, gradient_step):
    """An episode, and then steps of another one until so many updates were made."""
    play(agent, 20)
    while agent.gradient_step < gradient_step:
        agent.step(0.0, np.random.default_rng(agent.training_steps).normal(size=OBSERVATION))


def copied(tree):
    return jax.tree.map(np.array, tree)


def updates(agent):
    counts = {int(count) for _, count in optax.tree.get_all_with_path(
        agent.learner_state.opt_state, "count"
    )}  # fmt: skip
    assert len(counts) == 1
    return counts.pop()


@pytest.mark.slow
def test_actions_are_random_until_learning_begins_then_the_actors(make_agent):
    agent = make_agent()
    actions = play(agent, 80)
    assert updates(agent) == agent.gradient_step == 80 - 22
    assert actions.dtype == np.float32 and actions.shape == (80, *ACTION)
    assert (actions >= LIMITS[0]).all() and (actions <= LIMITS[1]).all()
    key = agent._train_key
    expected = [
        jax.random.uniform(jax.random.fold_in(key, step), ACTION, minval=LIMITS[0],
                           maxval=LIMITS[1])
        for step in range(1, 6)
    ]  # fmt: skip
    np.testing.assert_allclose(actions[:5], expected, rtol=1e-6)
    # The last action was chosen by the learner as it is now.
    chosen = agent._learner.act(
        agent.learner_state, agent.state, jax.random.fold_in(key, agent.training_steps), 0.0
    )
    np.testing.assert_allclose(actions[-1], chosen, rtol=1e-5, atol=1e-6)


def test_evaluation_takes_the_mean_action_and_learns_nothing(make_agent):
    agent = make_agent()
    play(agent, 40)
    made = updates(agent)
    agent.eval_mode = True
    first, second = play(agent, 30), play(agent, 30)
    np.testing.assert_array_equal(first, second)
    assert updates(agent) == made == agent.gradient_step > 0
    agent.eval_mode = False
    assert not np.array_equal(play(agent, 30), first)


def test_replay_holds_float32(make_agent):
    agent = make_agent()
    play(agent, 40)
    batch = agent._training_batch()
    types = {name: np.asarray(value).dtype.name for name, value in batch._asdict().items()}
    assert types == {"state": "float32", "action": "float32", "reward": "float32",
                     "next_state": "float32", "terminal": "bool"}  # fmt: skip
    assert agent.state.dtype == np.float32


def test_neurons_are_tracked_and_recycled_in_both_networks(make_agent):
    agent = make_agent()
    records = []
    agent.set_tracking_listener(records.append)
    play(agent, 120)
    assert updates(agent) == 98
    last = records[-1]
    assert set(last["dormant_percent_by_network"]) == {"actor", "critic"}
    layers = {f"network/_{name}/Dense_{n}" for name in ("actor", "critic1", "critic2")
              for n in (0, 1)}  # fmt: skip
    assert set(last["dormant_percent"]) == set(last["recycled"]) == layers
    assert set(last["effective_rank"]) == {layer for layer in layers if layer.endswith("1")}
    assert {"critic_loss", "actor_loss", "alpha_loss", "alpha", "q_mean"} <= set(last)
    per_network = {name: sum(record["recycled"][layer] for record in records for layer in layers
                             if f"_{name}" in layer) for name in ("actor", "critic")}  # fmt: skip
    assert all(count > 0 for count in per_network.values()), per_network


def test_the_target_follows_softly(make_agent):
    agent = make_agent()
    before = copied(agent.learner_state.params["network"])
    play(agent, 20)
    assert updates(agent) == 0
    rng = np.random.default_rng(7)
    while agent.gradient_step == 0:
        agent.step(0.0, rng.normal(size=OBSERVATION))
    assert updates(agent) == 1
    after = agent.learner_state
    jax.tree.map(
        lambda target, old, new: np.testing.assert_allclose(
            target, 0.995 * old + 0.005 * new, rtol=1e-5, atol=1e-7
        ),
        after.target_params["network"],
        before,
        after.params["network"],
    )


@pytest.mark.slow
def test_a_hard_target_follows_by_agent_steps(make_agent):
    agent = make_agent(SACAgent__target_update_type="hard", SACAgent__target_update_period=30)
    play(agent, 30)
    assert updates(agent) > 0

    def actors_kernel(params):
        return np.array(params["network"]["_actor"]["Dense_0"]["kernel"])

    start = actors_kernel(agent.learner_state.target_params)
    assert not np.array_equal(start, actors_kernel(agent.learner_state.params))
    agent.step(0.0, np.zeros(OBSERVATION))
    agent.step(0.0, np.zeros(OBSERVATION))
    assert not np.array_equal(start, actors_kernel(agent.learner_state.target_params))


@pytest.mark.parametrize("recycle", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_target_critics_are_recycled_with_the_same_neurons_on_request(make_agent, recycle):
    agent = make_agent(
        DormantSACAgent__change_target_critics=recycle,
        SACAgent__target_smoothing_coefficient=0.0,
        ReDo__period=20,
        Tracker__tracking_period=1_000,
    )
    start = copied(agent.learner_state.params["network"])
    play(agent, 43)
    assert updates(agent) == 20 + 1
    recycled = int(agent.learner_state.intervention["critic"].report.recycled_total)
    assert recycled > 0
    target = agent.learner_state.target_params["network"]
    changed = {
        name: any(not np.array_equal(a, b) for a, b in zip(
            jax.tree.leaves(start[name]), jax.tree.leaves(target[name]), strict=True))
        for name in start
    }  # fmt: skip
    # A target that does not follow has changed only where the recycle rewrote it.
    assert not changed["_actor"]
    assert (changed["_critic1"] or changed["_critic2"]) == recycle


def test_target_critics_cannot_be_pruned(make_agent):
    with pytest.raises(ConfigurationError, match="change_target_critics` must be False unless"):
        make_agent(
            DormantSACAgent__change_target_critics=True,
            LearnerOptions__intervention="@Prune()",
        )


def changed_modules(before, after):
    """{network: names of the layers with a changed array}."""
    return {
        network: {layer for layer in before[network] if any(
            not np.array_equal(before[network][layer][leaf], after[network][layer][leaf])
            for leaf in before[network][layer])}
        for network in before
    }  # fmt: skip


@pytest.mark.parametrize("follow", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("layers", "critic"),
    [pytest.param("all", {"Dense_0", "Dense_1", "Dense_2"}, marks=pytest.mark.slow),
     ("last_hidden", {"Dense_1"}),
     pytest.param(["network/_actor/Dense_1", "network/_critic1/Dense_2"], {"Dense_2"},
                  marks=pytest.mark.slow)],
    ids=["all", "last hidden", "chosen"],
)  # fmt: skip
def test_resets_reach_the_layers_of_each_network_and_the_targets_on_request(
    make_agent, layers, critic, follow
):
    agent = make_agent(
        LearnerOptions__intervention="@Reset()",
        Reset__layers=layers,
        Reset__period=20,
        Reset__score_batch=8,
        DormantSACAgent__change_target_critics=follow,
        SACAgent__target_smoothing_coefficient=0.0,
        Tracker__tracking_period=1_000,
    )
    start = copied(agent.learner_state.params["network"])
    play_until(agent, 19)
    before = copied(agent.learner_state.params["network"])
    while agent.gradient_step < 20:
        agent.step(0.0, np.ones(OBSERVATION))
    after, target = copied(
        [agent.learner_state.params["network"], agent.learner_state.target_params["network"]]
    )
    # A reset moves a weight farther than one step of Adam at 3e-4 can.
    moved = jax.tree.map(lambda new, old: np.abs(new - old).max() > 0.01, after, before)
    far = {
        network: {layer for layer, leaves in layers_of.items() if leaves["kernel"]}
        for network, layers_of in moved.items()
    }
    assert far["_critic1"] == critic
    assert far["_actor"] == ({"Dense_1"} if layers != "all" else {"Dense_0", "Dense_1", "Dense_2"})
    assert changed_modules(start, target)["_critic1"] == (critic if follow else set())
    if follow:
        for layer in critic:
            np.testing.assert_array_equal(
                target["_critic1"][layer]["kernel"], after["_critic1"][layer]["kernel"]
            )


def test_interpolated_resets_move_each_network_once_and_no_temperature(make_agent):
    agent = make_agent(
        LearnerOptions__intervention="@InterpolatedReset()",
        InterpolatedReset__period=20,
        InterpolatedReset__keep=1.0,
        InterpolatedReset__head=["network/_actor/Dense_2"],
        Tracker__tracking_period=1_000,
    )
    play_until(agent, 19)
    before = copied(agent.learner_state.params)
    while agent.gradient_step < 20:
        agent.step(0.0, np.ones(OBSERVATION))
    after = copied(agent.learner_state.params)
    far = jax.tree.map(lambda new, old: np.abs(new - old).max() > 0.01, after, before)
    assert far["network"]["_actor"].pop("Dense_2")["kernel"]
    # With keep = 1 all else moves by one step of Adam at 3e-4, and nothing is drawn twice.
    assert not any(jax.tree.leaves(far))


@pytest.mark.parametrize("option", ["ShrinkAndPerturb.layers", "FIRE.layers"])
def test_layers_of_one_network_alone_may_be_named(make_agent, option):
    owner, name = option.split(".")
    agent = make_agent(
        LearnerOptions__intervention=f"@{owner}()",
        **{f"{owner}__period": 20, f"{owner}__{name}": ["network/_actor/Dense_0"]},
        Tracker__tracking_period=1_000,
    )
    play_until(agent, 19)
    before = copied(agent.learner_state.params["network"])
    while agent.gradient_step < 20:
        agent.step(0.0, np.ones(OBSERVATION))
    after = copied(agent.learner_state.params["network"])
    moved = jax.tree.map(lambda new, old: np.abs(new - old).max() > 0.01, after, before)
    assert moved["_actor"].pop("Dense_0")["kernel"] and not any(jax.tree.leaves(moved))


@pytest.mark.parametrize("option", ["Reset.layers", "ReDo.also"])
def test_a_layer_that_no_network_has_is_named_with_those_of_both(make_agent, option):
    owner, name = option.split(".")
    known = "_actor/Dense_0.*_critic2/Dense_2.*'Dense_9'"
    with pytest.raises(ConfigurationError, match=f"{option}` must be .*{known}"):
        make_agent(LearnerOptions__intervention=f"@{owner}()", **{f"{owner}__{name}": ["Dense_9"]})


def test_each_network_is_given_its_own_layers_of_those_to_recycle_besides(make_agent):
    layer = "network/_critic1/Dense_0"
    agent = make_agent(LearnerOptions__intervention="@ReDo()", ReDo__also=[layer])
    assert layer in agent.learner_state.intervention["critic"].masks
    assert layer not in agent.learner_state.intervention["actor"].masks


@pytest.mark.slow
def test_the_temperature_does_not_decay(make_agent):
    def trained(decay):
        agent = make_agent(
            LearnerOptions__weight_decay=decay, LearnerOptions__weight_decay_kind="decoupled",
            LearnerOptions__intervention=None,
        )  # fmt: skip
        play(agent, 24)
        assert updates(agent) == 2
        return copied(agent.learner_state.params)

    plain, decayed = trained(0.0), trained(0.1)
    kernels = [params["network"]["_critic1"]["Dense_0"]["kernel"] for params in (plain, decayed)]
    assert np.abs(kernels[1]).sum() < np.abs(kernels[0]).sum()
    np.testing.assert_allclose(plain["log_alpha"], decayed["log_alpha"], rtol=1e-4)
