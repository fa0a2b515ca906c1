# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Atari environment against Dopamine's own wrapper, frame by frame, and where the ALE's vector
environment agrees with both. Every game is a real one."""

import warnings
from typing import Any, NamedTuple

import gin
import gymnasium
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from dormant.agents import atari, dopamine_compat, environments

with warnings.catch_warnings():
    # tensorflow-probability warns about distutils while it is imported, whatever we do.
    warnings.simplefilter("ignore")
    from dopamine.discrete_domains import atari_lib

# Dopamine's limit of emulated frames.
FRAMES = 100_000
# {game: limit of frames}: a random player ends the first two games within 300 agent steps.
SHORT_GAMES = {"Asterix": FRAMES, "Breakout": FRAMES, "Seaquest": 1_000, "Pong": 600}


class Pair(NamedTuple):
    """The same game twice under the same seed."""

    ours: Any
    dopamines: Any


class Seen(NamedTuple):
    """How often a walk came to an end."""

    game_overs: int
    cut_offs: int  # of these, by the emulator's limit of frames
    lost_lives: int
    rewards: int


def create(game, *, sticky=True, frame_limit=FRAMES, **options):
    """Dopamine's environment, with the options that gin would bind."""
    created = atari_lib.create_atari_environment(game, sticky_actions=sticky)
    if options:
        created = atari_lib.AtariPreprocessing(created.environment, **options)
    # Read by the emulator when it is seeded.
    created.environment.unwrapped.ale.setInt("max_num_frames_per_episode", frame_limit)
    return created


def pair(game, seed, **options):
    made = Pair(environments.adapted(create(game, **options)), create(game, **options))
    assert type(made.ours) is atari.AtariEnvironment
    assert type(made.dopamines) is atari_lib.AtariPreprocessing
    for environment in made:
        dopamine_compat.seed_environment(environment, seed)
    return made


def assert_equal_state(made):
    assert made.ours.game_over == made.dopamines.game_over
    assert made.ours.lives == made.dopamines.lives
    for ours, dopamines in zip(made.ours.screen_buffer, made.dopamines.screen_buffer, strict=True):
        np.testing.assert_array_equal(ours, dopamines)


def reset(made):
    observation, expected = made.ours.reset(), made.dopamines.reset()
    np.testing.assert_array_equal(observation, expected)
    assert_equal_state(made)


def walk(made, steps, seed=0):
    """Takes random actions in both, resets included, and compares everything at every step."""
    reset(made)
    game_overs = cut_offs = lost_lives = rewards = 0
    for action in np.random.default_rng(seed).integers(made.ours.action_space.n, size=steps):
        observation, reward, is_terminal, info = made.ours.step(action)
        expected_observation, *expected, expected_terminal, expected_info = made.dopamines.step(
            action
        )
        np.testing.assert_array_equal(observation, expected_observation)
        assert observation.dtype == expected_observation.dtype == np.uint8
        assert [reward, info] == [*expected, expected_info]
        assert type(reward) is type(expected[0]) and type(is_terminal) is bool
        # Dopamine's wrapper calls an episode terminal that the emulator cut off.
        cut_off = expected_terminal and not is_terminal
        ale = made.ours.environment.unwrapped.ale
        assert cut_off == (ale.game_truncated() and not ale.game_over(with_truncation=False))
        assert expected_terminal == (is_terminal or cut_off)
        cut_offs += cut_off
        assert_equal_state(made)
        rewards += reward != 0
        lost_lives += is_terminal and not made.ours.game_over
        if made.ours.game_over:
            game_overs += 1
            reset(made)
    return Seen(game_overs, cut_offs, lost_lives, rewards)


@pytest.mark.parametrize("life_loss", [False, True])
@pytest.mark.parametrize("game", SHORT_GAMES)
def test_equals_dopamines_wrapper(game, life_loss):
    limit = SHORT_GAMES[game]
    made = pair(game, seed=7, frame_limit=limit, terminal_on_life_loss=life_loss)
    seen = walk(made, 300)
    assert seen.game_overs >= 1
    assert (seen.lost_lives > 0) == (life_loss and game != "Pong")  # which has no lives
    assert seen.rewards > 0


def test_equals_dopamines_wrapper_without_sticky_actions():
    assert walk(pair("Breakout", seed=7, sticky=False), 220).game_overs >= 1


@pytest.mark.slow
@pytest.mark.parametrize("life_loss", [False, True])
@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("game", [*SHORT_GAMES, "SpaceInvaders", "MsPacman", "Freeway", "Boxing"])
def test_equals_dopamines_wrapper_for_long(game, sticky, life_loss):
    for seed in (1, 2):
        made = pair(game, seed, sticky=sticky, terminal_on_life_loss=life_loss)
        assert walk(made, 2_500, seed).game_overs >= 1


@pytest.mark.parametrize("frame_skip", [1, 2, 3])
def test_equals_dopamines_wrapper_at_other_sizes(frame_skip):
    options = {"frame_skip": frame_skip, "screen_size": 42, "terminal_on_life_loss": True}
    made = pair("Breakout", seed=1, **options)
    assert made.ours.observation_space == made.dopamines.observation_space
    assert made.ours.action_space == made.dopamines.action_space
    walk(made, 150)


def test_the_frame_limit_cuts_an_episode_off_without_a_terminal():
    made = pair("Pong", seed=1, frame_limit=101)
    seen = walk(made, 80)
    assert seen.game_overs == seen.cut_offs == 3  # of 26 agent steps, the last of a single frame


def test_a_life_lost_at_the_frame_limit_is_terminal():
    # The limit is the frame in which the first life is lost.
    made = pair("Breakout", seed=1, terminal_on_life_loss=True)
    assert walk(made, 200).lost_lives > 0
    plain = environments.adapted(create("Breakout", frame_limit=_frame_of_the_first_lost_life()))
    plain.terminal_on_life_loss = True
    dopamine_compat.seed_environment(plain, 1)
    plain.reset()
    while not plain.game_over:
        _, _, is_terminal, _ = plain.step(1)
    assert is_terminal and plain.environment.unwrapped.ale.game_truncated()


def _frame_of_the_first_lost_life():
    ours = environments.adapted(create("Breakout", terminal_on_life_loss=True))
    dopamine_compat.seed_environment(ours, 1)
    ours.reset()
    is_terminal = False
    while not is_terminal:
        _, _, is_terminal, info = ours.step(1)
    return info["episode_frame_number"]


def test_dopamines_frame_limit_is_the_emulators():
    # Shorter than Runner.max_steps_per_episode, 27 000 agent steps of 4 frames.
    made = environments.adapted(atari_lib.create_atari_environment("Pong"))
    assert made.environment.unwrapped.ale.getInt("max_num_frames_per_episode") == FRAMES


def test_what_gin_binds_is_kept():
    bindings = {
        "create_atari_environment.game_name": "'Pong'",
        "create_atari_environment.sticky_actions": "False",
        "AtariPreprocessing.frame_skip": "3",
        "AtariPreprocessing.terminal_on_life_loss": "True",
        "AtariPreprocessing.screen_size": "40",
    }
    with gin.unlock_config():
        gin.parse_config([f"bound/atari_lib.{name} = {value}" for name, value in bindings.items()])
    with gin.config_scope("bound"):
        created = atari_lib.create_atari_environment()
    # Out of the scope, so that nothing but the created environment can say what was bound.
    ours = environments.adapted(created)
    assert (ours.frame_skip, ours.terminal_on_life_loss, ours.screen_size) == (3, True, 40)
    emulator = ours.environment.unwrapped.ale
    assert emulator.getFloat("repeat_action_probability") == 0.0
    assert ours.environment is created.environment
    assert ours.reset().shape == (40, 40, 1)


def test_observations_are_new_arrays():
    ours = environments.adapted(create("Breakout"))
    dopamine_compat.seed_environment(ours, 0)
    first = ours.reset()
    copy = first.copy()
    later = [ours.step(action % 4)[0] for action in range(40)]
    np.testing.assert_array_equal(first, copy)
    assert any(not np.array_equal(first, observation) for observation in later)
    pairs = zip(later[:-1], later[1:], strict=True)
    assert not any(np.shares_memory(one, next_one) for one, next_one in pairs)


class _Clipped(gymnasium.RewardWrapper):
    def reward(self, reward):
        return np.sign(reward)


class _OwnPreprocessing(atari_lib.AtariPreprocessing):
    pass


def test_what_is_not_dopamines_plain_environment_is_left_as_it_is():
    inner = create("Pong").environment
    others = [
        _OwnPreprocessing(inner),
        atari_lib.AtariPreprocessing(_Clipped(inner.env)),
        atari_lib.AtariPreprocessing(gymnasium.wrappers.PassiveEnvChecker(_Clipped(inner.env))),
        atari_lib.create_atari_environment("Pong", continuous_action_threshold=0.5),
    ]
    for other in others:
        assert environments.adapted(other) is other
    ours = environments.adapted(create("Pong"))
    assert environments.adapted(ours) is ours


# Where the ALE's vector environment, which steps several games in threads, agrees with the above.


def vector_environment(game, number, sticky=True):
    return AtariVectorEnv(
        game,
        number,
        num_threads=min(2, number),
        repeat_action_probability=0.25 if sticky else 0.0,
        max_num_frames_per_episode=FRAMES,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        stack_num=1,
    )


def seeds(number, negative=False):
    """Seeds whose emulator seed has a sign."""
    return [seed for seed in range(20) if (atari.emulator_seed(seed) < 0) == negative][:number]


def differences(game, chosen, steps, sticky=True, life_loss=False):
    """How often vector environment and ours differ, by what differs; and episodes that ended."""
    options = {"sticky": sticky, "terminal_on_life_loss": life_loss}
    ours = [environments.adapted(create(game, **options)) for _ in chosen]
    for environment, seed in zip(ours, chosen, strict=True):
        dopamine_compat.seed_environment(environment, seed)
    vector = vector_environment(game.lower(), len(chosen), sticky)
    vector.reset(seed=np.array([atari.emulator_seed(seed) for seed in chosen]))
    screens, _ = vector.reset()
    found = {"reset": 0, "observation": 0, "last observation": 0, "reward": 0, "end": 0, "lives": 0}
    for screen, environment in zip(screens, ours, strict=True):
        found["reset"] += not np.array_equal(screen[0], environment.reset()[..., 0])
    over, ends = [False] * len(ours), 0
    # One that is not among the game's actions would leave the vector environment waiting for ever.
    count = ours[0].action_space.n
    for actions in np.random.default_rng(0).integers(count, size=(steps, len(ours))):
        screens, rewards, terminated, truncated, info = vector.step(actions)
        for index, environment in enumerate(ours):
            if over[index]:
                over[index] = False
                same = np.array_equal(screens[index, 0], environment.reset()[..., 0])
                found["reset"] += not same
                continue
            observation, reward, _, _ = environment.step(actions[index])
            over[index] = environment.game_over
            ends += environment.game_over
            which = "last observation" if over[index] else "observation"
            found[which] += not np.array_equal(screens[index, 0], observation[..., 0])
            found["reward"] += reward != rewards[index]
            found["end"] += over[index] != (terminated[index] or truncated[index])
            found["lives"] += environment.lives != info["lives"][index] and life_loss
    return {name: count for name, count in found.items() if count}, ends


def test_the_vector_environment_agrees_for_seeds_that_are_not_negative():
    # But for the screen after the last action of an episode, which no agent is shown.
    found, ends = differences("Breakout", seeds(2), 240)
    assert set(found) <= {"last observation"}
    assert ends >= 1


@pytest.mark.slow
@pytest.mark.parametrize("sticky", [False, True])
@pytest.mark.parametrize("game", [*SHORT_GAMES, "Freeway"])
def test_the_vector_environment_agrees_for_long(game, sticky):
    found, ends = differences(game, seeds(3), 2_500, sticky)
    assert set(found) <= {"last observation"}
    assert ends >= 3


def test_the_vector_environment_ignores_negative_seeds():
    found, _ = differences("Breakout", seeds(1, negative=True), 100)
    assert found["observation"] > 10


def test_the_vector_environment_skips_on_after_a_lost_life():
    # Dopamine ends the step with the life, in the middle of the four frames.
    found, _ = differences("Breakout", seeds(1), 80, life_loss=True)
    assert found["observation"] > 10
