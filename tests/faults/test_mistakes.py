# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A thousand mistakes: each is refused in one line before anything starts, or is none.

A mistake in a run is made as a user makes it, with flags; what the command would make is made in
this process, and not trained. No call may end in another error than ValueError, take long or much
memory, and nothing may be written."""

import itertools

import pytest

from tests.faults.mistakes import mistakes


def check(refusal, first, last):
    """Makes mistakes number `first` to `last`; returns how many were refused."""
    refused = 0
    for number, mistake in enumerate(itertools.islice(mistakes(0), first, last), first):
        try:
            line = refusal(number, mistake)
        except BaseException as error:
            raise AssertionError(f"{mistake.name[:200]} ends in {error!r}") from error
        refused += line is not None
        assert line is None or (line.endswith("\n") and line.count("\n") == 1), mistake.name
    return refused


def test_a_hundred_mistakes_are_refused_in_one_line(refusal):
    assert check(refusal, 0, 100) > 80


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 1_000, 100))
def test_a_thousand_mistakes_are_refused_in_one_line(refusal, first):
    assert check(refusal, first, first + 100) > 80
