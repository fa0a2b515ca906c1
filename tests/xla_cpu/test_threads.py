# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Seeds one by one on threads: each to the bit the run that it is alone."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.xla_cpu import one_by_one, usable_cores
from tests.learners.comparing import identical
from tests.vectorized.small_environments import keys, learner_factory, program, run

ROUNDS = 6


def hyperparameters(seeds):
    return {"rate": jnp.geomspace(1e-3, 1e-2, seeds), "tau": jnp.full(seeds, 0.1)}


@pytest.fixture(scope="module")
def redo_program():
    return program(learner_factory(track=4, redo=3))


@pytest.fixture(scope="module")
def alone(redo_program):
    """The first five seeds, each in a run of its own."""
    values = hyperparameters(5)
    return [
        run(
            redo_program,
            keys(5)[seed, None],
            ROUNDS,
            {name: value[seed, None] for name, value in values.items()},
        )
        for seed in range(5)
    ]


def of_seed(results, seed):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[seed, None], results)


@pytest.mark.parametrize(
    ("seeds", "threads"),
    [
        (1, 2),
        (2, 2),
        pytest.param(5, 1, marks=pytest.mark.slow),
        (5, 2),
        pytest.param(5, 8, marks=pytest.mark.slow),
    ],
)
def test_each_seed_is_the_run_that_it_is_alone(redo_program, alone, seeds, threads):
    values = {name: value[:seeds] for name, value in hyperparameters(5).items()}
    states, filled, progress = run(
        one_by_one(redo_program, threads), keys(5)[:seeds], ROUNDS, values
    )
    assert len(states) == seeds
    for seed in range(seeds):
        expected_state, expected_filled, expected = alone[seed]
        identical(states[seed], expected_state)
        for brought, other in ((filled, expected_filled), (progress, expected)):
            identical(of_seed(brought, seed), other)
    assert progress.episode_return.shape[:2] == (seeds, ROUNDS)
    evaluated = one_by_one(redo_program, threads).evaluate(states, 3)
    for seed in range(seeds):
        identical(of_seed(evaluated, seed), redo_program.evaluate(states[seed], 3))


def test_an_error_of_one_seed_is_raised(redo_program):
    threaded = one_by_one(redo_program, 2)
    state = threaded.init(keys(2), hyperparameters(2))
    with pytest.raises(ValueError, match="`rounds` must be a whole number"):
        threaded.advance(state, True)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_that_are_no_number_are_an_error(redo_program, threads):
    with pytest.raises(ValueError, match=r"`threads` must be .*; got "):
        one_by_one(redo_program, threads)


def test_errors_of_keys_are_those_of_the_program(redo_program):
    with pytest.raises(ValueError, match="`keys` must be an array"):
        one_by_one(redo_program).init(np.zeros(3))
    with pytest.raises(ValueError, match="must have one value for each seed"):
        one_by_one(redo_program).init(keys(2), hyperparameters(3))


@pytest.mark.parametrize(
    "text, cores",
    [
        ("max 100000\n", None),
        ("50000 100000\n", 1),
        ("150000 100000\n", 2),
        ("99900000 100000", None),
    ],
)
def test_a_containers_limit_is_what_may_be_used(tmp_path, text, cores):
    quota, here = tmp_path / "cpu.max", len(os.sched_getaffinity(0))
    quota.write_text(text, encoding="ascii")
    assert usable_cores(quota) == (here if cores is None else min(cores, here))
    assert usable_cores(tmp_path / "none") == here
