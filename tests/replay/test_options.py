# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every option of the replay that is not allowed is refused by name."""

import numpy as np
import pytest

from dormant.replay import ReplayOptions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": 4}, r"`capacity` .* >= 5 \(stack_size \+ update_horizon\); got 4"),
        ({"capacity": 10.0}, "`capacity` must be a whole number .*; got 10.0"),
        ({"stack_size": 0}, "`stack_size` must be a whole number >= 1; got 0"),
        ({"update_horizon": True}, "`update_horizon` must be a whole number >= 1; got True"),
        ({"batch_size": 0}, "`batch_size` must be a whole number >= 1; got 0"),
        ({"discount": 1.1}, r"`discount` must be a number in \[0, 1\]; got 1.1"),
        ({"discount": np.nan}, r"`discount` must be a number in \[0, 1\]; got nan"),
        ({"priority_exponent": -1}, "`priority_exponent` must be a number .*; got -1"),
    ],
)
def test_an_option_that_is_not_allowed_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ReplayOptions(**({"capacity": 10, "observation_shape": (2,), "stack_size": 4} | changes))


def test_shapes_and_dtypes_may_be_given_in_any_form():
    one = ReplayOptions(10, [2, np.int64(3)], "uint8", action_dtype=np.float32)
    other = ReplayOptions(10, (2, 3), np.uint8, action_dtype="float32")
    assert one == other and hash(one) == hash(other)
