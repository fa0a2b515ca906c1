# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Atari stepped in a thread against Atari stepped at once, frame by frame. Every game is real."""

import warnings

import numpy as np
import pytest

from dormant.agents import atari, dopamine_compat, environments
from dormant.agents.threaded_atari import ThreadedAtari, can_step_in_thread

with warnings.catch_warnings():
    # tensorflow-probability warns about distutils while it is imported, whatever we do.
    warnings.simplefilter("ignore")
    from dopamine.discrete_domains import atari_lib

FRAMES = 100_000
NOT_NEGATIVE, NEGATIVE = (
    [seed for seed in range(20) if (atari.emulator_seed(seed) < 0) == negative]
    for negative in (False, True)
)


def create(game, *, frame_limit=FRAMES, sticky=True, **options):
    created = atari_lib.create_atari_environment(game, sticky_actions=sticky)
    if options:
        created = atari_lib.AtariPreprocessing(created.environment, **options)
    # Read by the emulator when it is seeded.
    created.environment.unwrapped.ale.setInt("max_num_frames_per_episode", frame_limit)
    return environments.adapted(created)


def pair(game, wait=lambda: None, **options):
    """The same game stepped at once and in a thread."""
    return create(game, **options), ThreadedAtari(create(game, **options), wait)


def walk(made, seed, steps):
    """Compares everything over random actions; returns how many episodes ended, and how many of
    them were cut off by the emulator's limit of frames."""
    for environment in made:
        dopamine_compat.seed_environment(environment, seed)
    plain, threaded = made
    np.testing.assert_array_equal(threaded.reset(), plain.reset())
    ends, cut_offs, kept = 0, 0, []
    for action in np.random.default_rng(seed).integers(plain.action_space.n, size=steps):
        observation, *others = threaded.step(action)
        expected, *expected_others = plain.step(action)
        assert others == expected_others
        assert (threaded.game_over, threaded.lives) == (plain.game_over, plain.lives)
        kept.append((observation, observation.copy()))
        if not plain.game_over:
            np.testing.assert_array_equal(observation, expected)
            continue
        ends, cut_offs = ends + 1, cut_offs + (not others[1])
        np.testing.assert_array_equal(threaded.reset(), plain.reset())
    assert all(np.array_equal(observation, copy) for observation, copy in kept)
    assert observation.shape == expected.shape and observation.dtype == np.uint8
    return ends, cut_offs


@pytest.mark.parametrize(
    ("game", "options", "cut_off"),
    [
        ("Breakout", {}, False),
        ("Pong", {"frame_limit": 101}, True),
        (
            "Seaquest",
            {"frame_skip": 3, "screen_size": 40, "frame_limit": 600, "sticky": False},
            True,
        ),
    ],
)
def test_a_thread_changes_nothing(game, options, cut_off):
    ends, cut_offs = walk(pair(game, **options), NOT_NEGATIVE[0], 300)
    assert ends >= 1 and (cut_offs > 0) == cut_off


def test_a_seed_may_come_again_or_be_negative_in_between():
    made = pair("Breakout")
    for seed, threaded in ((NOT_NEGATIVE[1], True), (NEGATIVE[0], False), (NOT_NEGATIVE[1], True)):
        walk(made, seed, 30)
        assert made[1]._is_threaded == threaded


@pytest.mark.slow
@pytest.mark.parametrize("game", ["Asterix", "Breakout", "DemonAttack", "MsPacman", "Pong"])
def test_a_thread_changes_nothing_for_long(game):
    made = pair(game)
    assert sum(walk(made, seed, 2_500)[0] for seed in NOT_NEGATIVE[:3]) >= 3


def test_others_have_their_turn_while_frames_are_emulated():
    turns = []
    _, threaded = pair("Pong", lambda: turns.append(threaded._vector.ale is not None))
    dopamine_compat.seed_environment(threaded, NOT_NEGATIVE[0])
    threaded.reset()
    for _ in range(3):
        threaded.step(0)
    assert len(turns) == 3


@pytest.mark.parametrize("action", [-1, 6])
def test_an_action_that_the_game_does_not_have_is_refused(action):
    _, threaded = pair("Pong")
    dopamine_compat.seed_environment(threaded, NOT_NEGATIVE[0])
    threaded.reset()
    with pytest.raises(IndexError, match=f"`action` must be from 0 to 5; got {action}"):
        threaded.step(action)
    threaded.step(0)


def test_what_a_thread_would_change_is_left_alone():
    assert can_step_in_thread(create("Pong"))
    assert not can_step_in_thread(create("Breakout", terminal_on_life_loss=True))
    assert not can_step_in_thread(create("Pong", frame_skip=1))
    assert not can_step_in_thread(atari_lib.create_atari_environment("Pong"))
    changed = create("Pong")
    changed.environment.unwrapped._game_mode = 1
    assert not can_step_in_thread(changed)


def test_a_run_gives_the_emulator_no_negative_seeds():
    environment = create("Pong")
    for iteration in range(12):
        sequence = np.random.SeedSequence([7, iteration])
        seed = environments.first_seed(environment, sequence)
        assert atari.emulator_seed(seed) >= 0
        dopamine_compat.seed_environment(environment, seed)
        assert environment.environment.unwrapped.ale.getInt("random_seed") == (
            atari.emulator_seed(seed)
        )
        expected = int(np.random.SeedSequence([7, iteration]).generate_state(1)[0])
        assert (seed == expected) == (atari.emulator_seed(expected) >= 0)
        assert environments.first_seed(None, sequence) == expected
