# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which runs stand side by side, and what they are called."""

import pytest

from dormant.checks import ConfigurationError
from dormant.runs.members import members_of


def test_seeds_follow_the_first():
    members = members_of("Run", 7, 3, None)
    assert [member.seed for member in members] == [7, 8, 9]
    assert [member.folder for member in members] == ["seed_7", "seed_8", "seed_9"]
    assert members[0].name == "seed 7"


def test_every_combination_of_values_has_every_seed():
    values = {"ReDo.tau": [0.0, 0.1], "create_optimizer.learning_rate": (1e-4,)}
    members = members_of("Run", 0, 2, values)
    assert [member.folder for member in members] == [
        f"ReDo.tau={tau}/create_optimizer.learning_rate=0.0001/seed_{seed}"
        for tau in ("0", "0.1") for seed in (0, 1)
    ]  # fmt: skip
    expected = "ReDo.tau=0.1, create_optimizer.learning_rate=0.0001, seed 1"
    assert members[-1].name == expected


def test_no_two_values_share_a_folder():
    values = [1_000_000, 1_000_001, 0.1, 0.1 + 1e-9, 1e-4, 0, 2.0, 10**30, 10**30 + 1]
    folders = [member.folder for member in members_of("Run", 0, 1, {"a.b": values})]
    assert folders[:8] == [
        f"a.b={value}/seed_0"
        for value in ("1e+06", "1000001", "0.1", "0.100000001", "0.0001", "0", "2", f"{10**30}")
    ]
    assert len(set(folders)) == len(values)


@pytest.mark.parametrize(
    ("seeds", "values", "problem"),
    [
        (0, None, "`Run.seeds` must be a whole number >= 1; got 0"),
        (True, None, "`Run.seeds` must be .*; got True"),
        (1, {"ReDo.tau": []}, r"Run.side_by_side\['ReDo.tau'\]` must be a list of .*; got \[\]"),
        (1, {"ReDo.tau": [0.1, 0.1]}, r"must be a list of different numbers >= 0; got \[0.1"),
        (1, {"ReDo.tau": ["0.1"]}, r"must be a list of different numbers >= 0; got \['0.1'"),
        (1, {"ReDo.tau": [[0.1]]}, r"different numbers >= 0; got \[\[0.1\]\]"),
        (1, {"ReDo.tau": [True]}, r"different numbers >= 0; got \[True\]"),
        (1, [0.1], r"`Run.side_by_side` must be None or a dictionary .*; got \[0.1\]"),
        (1, {3: [0.1]}, r"`Run.side_by_side` must be None or a dictionary .*; got \{3: \[0.1"),
        (1, {"ReDo.tau": 0.1}, "must be a list of different numbers >= 0; got 0.1"),
    ],
)
def test_what_is_not_allowed_is_refused(seeds, values, problem):
    with pytest.raises(ConfigurationError, match=problem):
        members_of("Run", 0, seeds, values)
