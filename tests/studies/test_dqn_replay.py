# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The DQN Replay data set: which steps of its files are drawn, and what is said of wrong ones."""

import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.checks import ConfigurationError
from dormant.replay import ReplayBuffer, ReplayOptions
from dormant.studies import frames
from dormant.studies.dqn_replay import DQNReplay
from dormant.studies.frames import Frames
from tests.studies.conftest import CAPACITY, write_replay_logs


def load(folder, **options):
    return DQNReplay(folder=str(folder), **options).load("Pong", 6, 0)


@pytest.fixture
def logs(tmp_path):
    return tmp_path / "Pong" / "1" / "replay_logs"


def test_steps_whose_frames_are_all_of_their_episode_can_be_drawn(logs, tmp_path):
    write_replay_logs(logs, 0, ends=(10, 20))
    found = load(tmp_path, steps_per_file=40)
    # Rows 0 to 2 are padding, as are the three after an end; row 39 has no next frame here.
    assert found.row.tolist() == [*range(3, 11), *range(14, 21), *range(24, 39)]
    batch = frames.batch(jax.tree.map(jnp.asarray, found), jnp.array([3, 10, 14, 30]))
    assert batch.state.shape == (4, 84, 84, 4) and batch.state.dtype == jnp.uint8
    newest = [int(row) for row in batch.state[:, 0, 0, -1]]
    assert newest == [found.frame[row, 0, 0] for row in (3, 10, 14, 30)]
    # At the start of an episode the missing frames are zeros.
    assert [bool(jnp.any(state[..., :3])) for state in batch.state] == [False, True, False, True]
    np.testing.assert_array_equal(batch.state[3], np.moveaxis(found.frame[27:31], 0, -1))
    np.testing.assert_array_equal(batch.next_state[3], np.moveaxis(found.frame[28:32], 0, -1))
    assert batch.terminal.tolist() == [False, True, False, False]
    assert batch.action.tolist() == [3, 4, 2, 0] and batch.reward.tolist() == [-1, 0, 1, -1]


def test_the_files_lie_one_after_the_other_and_no_step_spans_two(logs, tmp_path):
    for number in (0, 2, 10):
        write_replay_logs(logs, number)
    found = load(tmp_path, steps_per_file=20)
    assert found.frame.shape == (60, 84, 84)
    assert found.row.tolist() == [*range(3, 19), *range(23, 39), *range(43, 59)]
    some = load(tmp_path, steps_per_file=20, files=(10, 2))
    np.testing.assert_array_equal(some.frame, found.frame[20:])


def test_a_file_is_read_up_to_where_its_ring_was_written(logs, tmp_path):
    write_replay_logs(logs, 0)
    # Written one step before the ring was full, which is all that is known without its count.
    assert load(tmp_path).row[-1] == CAPACITY - 3
    write_replay_logs(logs, 0, add_count=np.array(5 * CAPACITY + 42))
    assert load(tmp_path).row[-1] == 40
    (logs / "add_count_ckpt.0.gz").unlink()
    assert load(tmp_path).row[-1] == CAPACITY - 3


def test_each_seed_has_the_data_of_another_of_the_five_agents(tmp_path):
    for run in range(1, 6):
        logs = tmp_path / "Pong" / str(run) / "replay_logs"
        write_replay_logs(logs, 0, **{"$store$_reward": np.full(CAPACITY, run / 10, np.float32)})
    for seed, run in ((0, 1), (4, 5), (5, 1)):
        found = DQNReplay(folder=str(tmp_path)).load("Pong", 6, seed)
        assert found.reward[3] == np.float32(run / 10)
    assert load(tmp_path, run=3).reward[3] == np.float32(0.3)


def test_rewards_are_clipped(logs, tmp_path):
    write_replay_logs(logs, 0, **{"$store$_reward": np.linspace(-9, 9, CAPACITY, dtype=np.float32)})
    assert set(load(tmp_path).reward.tolist()) >= {-1.0, 1.0}
    assert np.abs(load(tmp_path).reward).max() == 1


FLOATS = np.zeros(CAPACITY)
NOT_FINITE = np.full(CAPACITY, np.nan, np.float32)
WRONG = [
    ("$store$_observation", np.zeros((CAPACITY, 84, 80), np.uint8), "observation of at least"),
    ("$store$_observation", np.zeros((9, 84, 84), np.uint8), "observation of at least 99 steps"),
    ("$store$_action", None, "$store$_action_ckpt.0.gz cannot be read: "),
    ("$store$_action", FLOATS, "action of at least 99 steps must be int32 () each; got float64"),
    ("$store$_action", np.full(CAPACITY, 6, np.int32), "actions from 0 to 5, those of the game"),
    ("$store$_reward", NOT_FINITE, "must be finite rewards; got nan"),
    ("$store$_terminal", np.ones(CAPACITY, np.uint8), "a step whose frames are all there"),
    ("$store$_terminal", np.array({}), "it must hold plain rows; got object"),
    ("add_count", FLOATS, "add_count_ckpt.0.gz` must be a whole number; got (100,)"),
    ("add_count", np.array({}), "add_count_ckpt.0.gz cannot be read: Object arrays cannot be"),
]


@pytest.mark.parametrize(("name", "array", "problem"), WRONG)
def test_a_wrong_file_is_named(name, array, problem, logs, tmp_path):
    write_replay_logs(logs, 0, **{name: array})
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path)
    assert problem in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_file_that_was_cut_off_is_named(logs, tmp_path):
    write_replay_logs(logs, 0)
    path = logs / "$store$_observation_ckpt.0.gz"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ConfigurationError, match="ended before the end-of-stream"):
        load(tmp_path)
    with gzip.open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"shape": (CAPACITY, 84, 84), "fortran_order": False, "descr": "|u1"}
        )
        file.write(b"\0" * 100)
    with pytest.raises(ConfigurationError, match="it ends 698444 bytes too early"):
        load(tmp_path)
    path.write_bytes(b"no gzip")
    with pytest.raises(ConfigurationError, match="Not a gzipped file"):
        load(tmp_path)


def test_more_than_the_memory_holds_is_refused_before_anything_is_read(tmp_path):
    for limits, whose, most in (
        # A CPU holds what was read and a copy of it.
        ({"machine": 2_000_000}, "machine", 127),
        ({"machine": 1_000_000, "device": 9_000_000}, "machine", 127),
        ({"machine": 9_000_000, "device": 1_000_000}, "device", 127),
    ):
        frames.check_steps("steps", most, **limits)
        with pytest.raises(ConfigurationError, match=f"at most {most} steps in this {whose}'s"):
            frames.check_steps("steps", most + 1, **limits)
    with pytest.raises(ConfigurationError, match="steps in this machine's memory"):
        frames.check_steps("steps", 10**10)


@pytest.mark.parametrize("steps", [30, 90])  # with room, and after the ring wrapped round twice
def test_steps_drawn_are_those_that_the_replay_itself_gives(steps):
    options = ReplayOptions(capacity=40, observation_shape=(84, 84), stack_size=4)
    replay, generator = ReplayBuffer(options, 0), np.random.default_rng(1)
    for _ in range(steps):
        frame = generator.integers(1, 256, (84, 84)).astype(np.uint8)
        ends = generator.random(2) < 0.1
        replay.add(frame, generator.integers(6), generator.normal(), *ends)
    stored = replay.contents()
    fields = ("observation", *Frames._fields[1:])
    kept = Frames(*(jnp.asarray(stored[name]) for name in fields))
    keys = np.arange(replay.add_count - len(replay), replay.add_count)
    expected, found = replay.gather(keys), frames.batch(kept, kept.row)
    live = ~expected.terminal
    assert len(replay) > 20 and (~live).any() and bool((kept.age[kept.row] < 3).any())
    for name in ("state", "action", "reward", "terminal"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.next_state[live], expected.next_state[live])
    np.testing.assert_array_equal(frames.states(kept, kept.row), expected.state)
