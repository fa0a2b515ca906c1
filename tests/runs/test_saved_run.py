# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run has on disk: checkpoints, records and settings account for each other."""

import json
import shutil

import gin
import jax
import numpy as np
import pytest

from dormant.checks import ConfigurationError
from dormant.records.lease import LeaseLost
from dormant.runs.checkpoints import Checkpoints
from dormant.runs.saved_run import ITS_DEFAULT, SavedRun, operative_settings

SETTINGS = {"Run.steps": "3", "Run.num_iterations": "2"}


def opened(folder, members=1, settings=SETTINGS, number=None):
    folders = [folder / f"seed_{member}" for member in range(members)]
    for each in folders:
        each.mkdir(exist_ok=True, parents=True)
    return SavedRun(Checkpoints(folder / "checkpoints"), folders, settings, number)


def run(saved, *iterations):
    """Writes a record of each member, and a checkpoint, in each iteration."""
    with saved.held():
        saved.start()
        for iteration in iterations:
            for member, file in enumerate(saved.files):
                file.write({"iteration": iteration, "member": member})
            saved.save(iteration, {"weights": np.full(3, float(iteration))})
        for file in saved.files:
            file.close()


def records(folder):
    return {
        int(path.parent.name.removeprefix("seed_")): [
            json.loads(line) for line in path.read_text().splitlines()
        ]
        for path in folder.glob("seed_*/metrics.jsonl")
    }


def test_each_member_goes_on_with_its_own_records(tmp_path):
    # Names of more than one digit come in another order than their numbers.
    run(opened(tmp_path, members=12), 0)
    again = opened(tmp_path, members=12)
    assert again.start_iteration == 1
    np.testing.assert_array_equal(again.take_state()["weights"], np.zeros(3))
    for member, file in enumerate(again.files):
        file.write({"lost": member})  # after the checkpoint
        file.close()
    run(opened(tmp_path, members=12), 1)
    assert records(tmp_path) == {
        member: [{"iteration": n, "member": member} for n in (0, 1)] for member in range(12)
    }


def test_a_run_starts_anew_only_before_its_first_checkpoint(tmp_path):
    first = opened(tmp_path)
    with first.held():
        first.start()
        first.files[0].write({"iteration": 0})
        first.files[0].close()
    assert opened(tmp_path).start_iteration == 0
    run(opened(tmp_path), 0)
    assert records(tmp_path) == {0: [{"iteration": 0, "member": 0}]}
    # Killed before it could say that there is one now.
    mark = tmp_path / "checkpoints" / "process_0" / "none_yet"
    assert not mark.exists()
    mark.touch()
    run(opened(tmp_path), 1)
    assert not mark.exists()
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ConfigurationError, match="must be without records where there is no che"):
        opened(tmp_path)
    assert len(records(tmp_path)[0]) == 2


def test_one_that_was_taken_over_before_it_began_removes_nothing(tmp_path):
    late = opened(tmp_path)
    with late.held():
        own = tmp_path / "checkpoints" / "process_0"
        (own / "lease.json").write_text('{"attempt": 2, "held": true, "token": "another"}')
        (own / "0").mkdir()  # the successor's
        (tmp_path / "seed_0" / "metrics.jsonl").write_text("{}\n")
        with pytest.raises(LeaseLost):
            late.start()
    assert (own / "0").is_dir()
    assert (tmp_path / "seed_0" / "metrics.jsonl").read_text() == "{}\n"


def test_another_runs_checkpoints_are_refused(tmp_path):
    run(opened(tmp_path / "one"), 0)
    run(opened(tmp_path / "other"), 0, 1)
    shutil.rmtree(tmp_path / "one" / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", tmp_path / "one" / "checkpoints")
    with pytest.raises(ConfigurationError, match="metrics.jsonl must begin with the"):
        opened(tmp_path / "one")


@pytest.mark.parametrize("before, now", [(1, 2), (3, 2)])
def test_another_number_of_members_is_refused(before, now, tmp_path):
    # As of a process of fewer hosts, or of more.
    run(opened(tmp_path, members=before), 0)
    said = rf"as many as checkpoint 0 in .* was saved with, {before}: .*; got {now}$"
    with pytest.raises(ConfigurationError, match=said):
        opened(tmp_path, members=now)


def test_the_first_other_setting_is_named(tmp_path):
    run(opened(tmp_path), 0)
    longer = opened(tmp_path, settings=SETTINGS | {"Run.num_iterations": "9", "Run.new": "1"})
    assert longer.changed == {"Run.num_iterations": ("2", "9")}
    with pytest.raises(ConfigurationError, match=r"`Run.steps` must be 3, as checkpoint 0 in .*4$"):
        opened(tmp_path, settings=SETTINGS | {"Run.steps": "4"})


def test_a_run_does_not_go_on_with_other_numbers_of_jax(tmp_path):
    run(opened(tmp_path), 0)
    assert opened(tmp_path).changed == {}
    now = jax.config.jax_threefry_partitionable
    with jax.threefry_partitionable(not now):
        said = f"`jax_threefry_partitionable` must be {now}, as checkpoint 0 in .*; got {not now}$"
        with pytest.raises(ConfigurationError, match=said):
            opened(tmp_path)


@pytest.mark.parametrize("number", [3, -1])
def test_a_checkpoint_that_is_not_there_is_named(number, tmp_path):
    run(opened(tmp_path), 0, 1)
    assert opened(tmp_path, number=0).start_iteration == 1
    with pytest.raises(ConfigurationError, match=rf"one of \[0, 1\] that is whole; got {number}"):
        opened(tmp_path, number=number)


def test_settings_are_read_whole():
    @gin.configurable(module="tests", denylist=["closed"])
    def made(short=1, text="a = b", long=None, written_by_nobody=len, closed=len):
        return short, text, long

    gin.bind_parameter("made.long", {f"ReDo.tau {index}": [0.1] * 9 for index in range(40)})
    made()
    found = operative_settings()
    assert found["made.written_by_nobody"] == ITS_DEFAULT and "made.closed" not in found
    assert found["made.short"] == "1" and found["made.text"] == "'a = b'"
    assert eval(found["made.long"]) == gin.query_parameter("made.long")


def test_a_builtin_that_gin_calls_has_no_defaults_to_name():
    gin.external_configurable(dict, name="settings_of_mine", module="tests")()
    assert not [name for name in operative_settings() if name.startswith("settings_of_mine")]


def test_a_function_in_place_of_the_default_is_another_setting(tmp_path):
    run(opened(tmp_path / "default", settings=SETTINGS | {"Agent.schedule": ITS_DEFAULT}), 0)
    with pytest.raises(ConfigurationError, match=r"`Agent.schedule` must be its default.*@flat$"):
        opened(tmp_path / "default", settings=SETTINGS | {"Agent.schedule": "@flat"})
    run(opened(tmp_path / "bound", settings=SETTINGS | {"Agent.schedule": "@flat"}), 0)
    with pytest.raises(ConfigurationError, match=r"`Agent.schedule` must be @flat.*its default$"):
        opened(tmp_path / "bound", settings=SETTINGS | {"Agent.schedule": ITS_DEFAULT})
