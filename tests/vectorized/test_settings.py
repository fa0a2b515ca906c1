# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

import pytest

from dormant.vectorized import Settings


def test_what_follows_from_the_settings():
    settings = Settings(
        num_environments=4, update_period=12, replay_capacity=400, min_replay_history=25,
        update_horizon=3, gamma=0.5,
    )  # fmt: skip
    assert (settings.steps_per_round, settings.replay_rows) == (3, 100)
    assert settings.warm_up_rounds == 3  # 25 agent steps are two rounds and a bit
    assert settings.discount == 0.125


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_environments": 0}, "`num_environments` must be a whole number >= 1; got 0"),
        ({"batch_size": 3.5}, "`batch_size` must be a whole number >= 1; got 3.5"),
        ({"updates_per_burst": True}, "`updates_per_burst` must be a whole number .*; got True"),
        ({"update_period": 6}, "`update_period` must be a multiple of `num_environments`, 4; got"),
        (
            {"replay_capacity": 10},
            "`replay_capacity` must be a multiple of `num_environments`, 4; got 10",
        ),
        (
            {"replay_capacity": 4, "update_horizon": 2},
            "`replay_capacity` must be at least .*, 8; got 4",
        ),
        (
            {"min_replay_history": 1, "update_horizon": 3},
            "`min_replay_history` must be at least .*, 12; got 1",
        ),
        ({"gamma": 1.5}, r"`gamma` must be a number in \[0, 1\]; got 1.5"),
        ({"epsilon_train": -0.1}, r"`epsilon_train` must be a number in \[0, 1\]; got -0.1"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)
