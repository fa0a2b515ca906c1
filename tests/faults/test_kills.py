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

KILLS = 20


def _killed_in_a_save(kind, folder, compiled, saves_before):
    """Kills a run while it saves, after so many saves; False where it came to its end before."""
    seen: list[bool] = []

    def in_a_save(_):
        saving = is_saving(folder)
        if saving and not (seen and seen[-1]):
            seen.append(True)
        elif not saving and seen and seen[-1]:
            seen.append(False)
        return saving and seen.count(True) > saves_before

    return kill(kind, folder, compiled, in_a_save)


def test_a_run_killed_in_a_save_goes_on_as_if_it_had_not_been(tmp_path, compiled):
    """Once; the slow test kills at any other moment, too."""
    kind = KINDS["device"]
    finish(kind, tmp_path / "whole", compiled)
    attempts = (tmp_path / f"run {number}" for number in range(5))
    folder = next(
        each for each in attempts if _killed_in_a_save(kind, each, compiled, saves_before=1)
    )
    assert left(folder).records != left(tmp_path / "whole").records
    finish(kind, folder, compiled)
    assert_same(left(folder), left(tmp_path / "whole"))
    assert not leftovers(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_twenty_kills_change_nothing(name, tmp_path, compiled, record_property):
    kind, generator = KINDS[name], random.Random(name)
    finish(kind, tmp_path / "first", compiled)  # compiles
    seconds = finish(kind, tmp_path / "whole", compiled)
    expected = left(tmp_path / "whole")
    assert_same(left(tmp_path / "first"), expected)
    done, in_save, attempt = 0, 0, 0
    while done < KILLS:
        folder = tmp_path / f"run {attempt}"
        attempt += 1
        # A run is killed until it comes to its end.
        while done < KILLS:
            if done % 2:
                if not _killed_in_a_save(kind, folder, compiled, generator.randrange(2)):
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
