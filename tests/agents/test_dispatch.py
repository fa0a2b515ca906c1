# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Calls of several agents answered together: by each one's own programs, or by one dispatch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.agents.burst import make_burst
from dormant.agents.dispatch import Act, Burst, OneDispatch, by_program, one_by_one
from tests.agents.small_learner import batches, make_learner
from tests.host_states import numpy_state

MEMBERS, UPDATES = 3, 2


@pytest.fixture(scope="module")
def learner():
    return make_learner(recycle=6)


@pytest.fixture(scope="module")
def dispatch(learner):
    return OneDispatch(learner, MEMBERS)


class Members:
    """Agents reduced to their bursts; member m is `ahead` * m bursts before the first."""

    def __init__(self, learner, ahead=0):
        self.burst = make_burst(learner, on_cpu=True)
        self.states = [learner.init(jax.random.key(member)) for member in range(MEMBERS)]
        self.numbers = [0] * MEMBERS
        self.metrics = [{}] * MEMBERS
        self.seen = [[] for _ in range(MEMBERS)]
        for member in range(MEMBERS):
            for _ in range(ahead * member):
                self.take({member: self.request(member)}, one_by_one)

    def request(self, member):
        number, seed = self.numbers[member], 100 * member + self.numbers[member]
        self.numbers[member] += 1
        due = [step % 2 == 0 for step in range(number * UPDATES + 1, (number + 1) * UPDATES + 1)]
        inputs = (np.random.default_rng(seed).normal(size=(16, 4)).astype(np.float32),)
        return Burst(
            self.burst,
            self.states[member],
            batches(seed, UPDATES),
            inputs,
            due,
            self.seen[member].append,
        )

    def take(self, requests, answer):
        for member, found in answer(requests).items():
            self.states[member], self.metrics[member] = found

    def bursts(self, number, answer, who=range(MEMBERS)):
        for _ in range(number):
            self.take({member: self.request(member) for member in who}, answer)
        return self


def assert_close(members, others):
    # The product of a few updates, in float32, whose rounding differs.
    for one, other in zip(members.states, others.states, strict=True):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
            numpy_state(one), numpy_state(other),
        )  # fmt: skip
    for one, other in zip(members.metrics, others.metrics, strict=True):
        np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-4)
    for one, other in zip(members.seen, others.seen, strict=True):
        losses = [[float(update["loss"]) for update in seen] for seen in (one, other)]
        np.testing.assert_allclose(*losses, rtol=1e-4)


def assert_same_bits(members, others):
    for one, other in zip(members.states, others.states, strict=True):
        jax.tree.map(np.testing.assert_array_equal, numpy_state(one), numpy_state(other))


@pytest.mark.parametrize("ahead", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_one_dispatch_computes_what_each_member_alone_does(learner, dispatch, ahead):
    # Where members are at different steps, neurons are scored at different bursts, too.
    alone = Members(learner, ahead).bursts(4, one_by_one)
    vmapped = Members(learner, ahead).bursts(4, dispatch.bursts)
    assert_close(vmapped, alone)
    recycled = [int(state.intervention.report.recycled_total) for state in vmapped.states]
    assert all(recycled)
    steps = [int(state.gradient_step) for state in vmapped.states]
    assert steps == [UPDATES * (4 + ahead * member) for member in range(MEMBERS)]


def test_one_by_one_is_what_each_member_alone_does_to_the_bit(learner):
    members = Members(learner).bursts(3, one_by_one)
    alone = Members(learner)
    for member in (2, 0, 1):
        alone.bursts(3, one_by_one, who=[member])
    jax.tree.map(
        np.testing.assert_array_equal,
        *[[numpy_state(s) for s in m.states] for m in (members, alone)],
    )


def test_members_that_are_missing_are_left_alone(learner, dispatch):
    members = Members(learner).bursts(2, dispatch.bursts, who=[0, 2])
    alone = Members(learner).bursts(2, one_by_one, who=[0, 2])
    jax.tree.map(
        np.testing.assert_array_equal,
        *[[numpy_state(s) for s in m.states] for m in (members, alone)],
    )
    assert members.numbers == [2, 0, 2]


def test_bursts_compile_once(learner, dispatch):
    members = Members(learner).bursts(1, dispatch.bursts)
    compiled = dispatch._compiled_bursts._cache_size()
    members.bursts(3, dispatch.bursts)
    # In every burst of two something is due; without, there is a second program.
    assert dispatch._compiled_bursts._cache_size() == compiled == 1


def acts(learner, epsilon):
    @jax.jit
    def act(state, observation, key, step):
        return learner.act(state, observation, jax.random.fold_in(key, step), epsilon)

    return act


def act_requests(learner, act, step):
    return {
        member: Act(
            act,
            learner.init(jax.random.key(member)),
            np.random.default_rng([member, step]).normal(size=4).astype(np.float32),
            jax.random.key(member),
            step,
        )
        for member in range(MEMBERS)
    }


def test_actions_are_those_of_each_member_alone(learner, dispatch):
    act = acts(learner, 0.5)
    found = []
    for step in range(12):
        requests = act_requests(learner, act, step)
        alone = {member: int(action) for member, action in one_by_one(requests).items()}
        assert {m: int(action) for m, action in dispatch.acts(requests).items()} == alone
        found += alone.values()
        requests.pop(1)
        assert {m: int(a) for m, a in dispatch.acts(requests).items()} == {0: alone[0], 2: alone[2]}
    assert set(found) == {0, 1}
    assert dispatch._compiled_acts._cache_size() == 1


def test_members_in_different_phases_act_with_their_own_policies(learner, dispatch):
    requests = act_requests(learner, acts(learner, 0.0), 0)
    requests[1] = requests[1]._replace(program=lambda *arguments: jnp.asarray(7))
    answers = dispatch.acts(requests)
    assert int(answers[1]) == 7
    assert int(answers[0]) == int(one_by_one({0: requests[0]})[0])


@pytest.mark.parametrize("where", ["batches", "after_update"])
def test_an_error_of_one_burst_is_the_answer_of_its_member(learner, dispatch, where):
    def broken(*unused):
        raise FloatingPointError("broken")

    def broken_batches():
        yield from [next(batches(0, UPDATES))]
        broken()

    members, alone = Members(learner), Members(learner)
    requests = {member: members.request(member) for member in range(MEMBERS)}
    change = {"batches": broken_batches(), "after_update": broken}[where]
    requests[1] = requests[1]._replace(**{where: change})
    answers = dispatch.bursts(requests)
    assert isinstance(answers.pop(1), FloatingPointError)
    expected = one_by_one({member: alone.request(member) for member in (0, 2)})
    assert list(answers) == list(expected)
    for member, (state, metrics) in answers.items():
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
            numpy_state(state), numpy_state(expected[member][0]),
        )  # fmt: skip
        np.testing.assert_allclose(metrics["loss"], expected[member][1]["loss"], rtol=1e-4)
        assert len(members.seen[member]) == UPDATES


def test_an_error_is_the_answer_of_the_member_whose_it_is(learner):
    requests = act_requests(learner, acts(learner, 0.0), 0)

    def broken(*arguments):
        raise FloatingPointError("broken")

    requests[1] = requests[1]._replace(program=broken)
    answers = one_by_one(requests)
    assert isinstance(answers[1], FloatingPointError)
    assert int(answers[2]) in (0, 1)


def test_requests_are_answered_by_what_answers_those_of_their_program(learner):
    act, other = acts(learner, 0.0), acts(learner, 0.0)
    requests = act_requests(learner, act, 0)
    requests[1] = requests[1]._replace(program=other)
    answers = by_program({act: lambda asked: dict.fromkeys(asked, "together")}, requests)
    assert (answers[0], answers[2]) == ("together", "together")
    assert int(answers[1]) == int(one_by_one({1: requests[1]})[1])
