# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Bytes of a replay: what is announced is what is allocated, within the bound per transition."""

import numpy as np
import pytest

from dormant.memory import machine_memory, resident_bytes
from dormant.replay import (
    ReplayBuffer,
    ReplayOptions,
    SumTree,
    TransitionStore,
    bytes_needed,
    check_replay_memory,
    describe_memory,
    replay_shortage,
)


def atari(capacity, **changes):
    return ReplayOptions(capacity, (84, 84), stack_size=4, **changes)


@pytest.mark.parametrize("prioritized", [False, True])
@pytest.mark.parametrize("capacity", [5, 100, 1024, 1025, 1_000_000, 10_000_000])
def test_an_atari_transition_takes_at_most_7300_bytes(capacity, prioritized):
    assert bytes_needed(atari(capacity, prioritized=prioritized)) <= 7_300 * capacity


def test_the_bytes_announced_are_those_allocated():
    options = atari(300, prioritized=True)
    tree = SumTree(300)
    arrays = TransitionStore(options)._arrays.values()
    assert bytes_needed(options) == sum(array.nbytes for array in arrays) + tree._nodes.nbytes
    assert ReplayBuffer(options, seed=0).bytes_needed == bytes_needed(options)


def test_a_size_that_does_not_fit_names_both_numbers():
    options = atari(1_000_000)
    message = (
        r"memory: 7\.08 GB are needed, 900\.00 MB may be used \(90 % of 1\.00 GB\), enough for"
        r" 127172 transitions; got 1000000$"
    )
    with pytest.raises(ValueError, match=message):
        check_replay_memory(options, available=10**9)
    assert check_replay_memory(options, available=8 * 10**9) == bytes_needed(options)
    # Some is left to the rest of the process.
    with pytest.raises(ValueError, match=r"7\.08 GB are needed, 6\.48 GB may be used"):
        check_replay_memory(options, available=72 * 10**8)
    with pytest.raises(ValueError, match="must fit into this machine's memory"):
        ReplayBuffer(atari(10**12), seed=0)


def test_replays_must_fit_together():
    one, other = atari(1_000_000), atari(500_000)
    for each in (one, other):
        assert replay_shortage(each, available=10**10) is None
    problem = replay_shortage(one, other, available=10**10)
    assert problem == "10.62 GB are needed, 9.00 GB may be used (90 % of 10.00 GB)"


def test_the_line_for_people_has_the_bytes():
    line = describe_memory(atari(1_000_000))
    assert line.startswith("a full replay of 1000000 transitions: 7.08 GB of this machine's ")
    line = describe_memory(atari(100), atari(100))
    assert line.startswith("2 full replays of 200 transitions: 1.42 MB of this machine's ")


def test_a_large_buffer_takes_up_memory_only_as_it_is_filled():
    capacity = min(1_000_000, machine_memory() // 8_000)
    before = resident_bytes()
    buffer = ReplayBuffer(atari(capacity), seed=0)
    for _ in range(100):
        buffer.add(np.ones((84, 84), np.uint8), 0, 0.0, False)
    assert resident_bytes() - before < 0.1 * buffer.bytes_needed


def test_the_smallest_limit_of_the_control_groups_counts(tmp_path):
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    inner = groups / "outer" / "inner"
    inner.mkdir(parents=True)
    own.write_text("0::/outer/inner\n")
    physical = machine_memory(groups, own)
    assert physical > 2**20
    (inner / "memory.max").write_text("max\n")
    assert machine_memory(groups, own) == physical
    (groups / "outer" / "memory.max").write_text("1048576\n")
    assert machine_memory(groups, own) == 2**20
    first_version = groups / "memory" / "job"
    first_version.mkdir(parents=True)
    (first_version / "memory.limit_in_bytes").write_text("4096\n")
    own.write_text("5:cpu,memory:/job\n4:pids:/elsewhere\n")
    assert machine_memory(groups, own) == 4096
    assert machine_memory(tmp_path / "none", tmp_path / "none") == physical
