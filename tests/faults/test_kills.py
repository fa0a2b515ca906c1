# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""SIGKILL at any moment, half of them while a checkpoint is written: nothing is lost or changed."""

import random

import pytest

from tests.faults.killed_runs import (
    KINDS,
    assert_same,
    finish,
    is_saving,
    kill,
    left,
    leftovers,
)


def _kill_and_compare(name, kills, tmp_path, compiled, record_property):
    kind, generator = KINDS[name], random.Random(name)
    finish(kind, tmp_path / "first", compiled)  # compiles
    seconds = finish(kind, tmp_path / "whole", compiled)
    expected = left(tmp_path / "whole")
    assert_same(left(tmp_path / "first"), expected)
    done, in_save, attempt = 0, 0, 0
    while done < kills:
        folder = tmp_path / f"run {attempt}"
        attempt += 1
        # A run is killed until it comes to its end.
        while done < kills:
            if done % 2:
                saves_before = generator.randrange(2)
                seen: list[bool] = []

                def in_a_save(_, folder=folder, seen=seen, wanted=saves_before):
                    saving = is_saving(folder)
                    if saving and not (seen and seen[-1]):
                        seen.append(True)
                    elif not saving and seen and seen[-1]:
                        seen.append(False)
                    return saving and seen.count(True) > wanted

                if not kill(kind, folder, compiled, in_a_save):
                    break
                in_save += bool(leftovers(folder))
            else:
                # Most of the time goes by before the first step.
                end = seconds * generator.uniform(0.3, 1.0)
                if not kill(kind, folder, compiled, lambda passed, end=end: passed > end):
                    break
            done += 1
        finish(kind, folder, compiled)
        assert_same(left(folder), expected)
        assert not leftovers(folder)
    record_property("kills", done)
    record_property("of them while a checkpoint was written", in_save)
    print(f"{name}: {done} kills, {in_save} with a half-written checkpoint, {attempt} runs")


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, compiled, record_property):
    _kill_and_compare("device", 2, tmp_path, compiled, record_property)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_twenty_kills_change_nothing(name, tmp_path, compiled, record_property):
    _kill_and_compare(name, 20, tmp_path, compiled, record_property)
