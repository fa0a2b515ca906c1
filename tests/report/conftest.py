# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""An experiment's folder on disk, shared by a file's tests."""

import pytest

from dormant.records.experiment_file import ExperimentFile, to_json
from dormant.records.files import EXPERIMENT_FILE
from tests.report.hostile_runs import FAILED, HOSTILE, planned_runs, write_run


@pytest.fixture(scope="module")
def experiment_folder(tmp_path_factory):
    """All runs are whole but two of the last setting: one failed half-way, one never started."""
    folder = tmp_path_factory.mktemp("results") / "fig10-smoke"
    runs = planned_runs()
    write_plan(folder, runs)
    for run in runs[:-2]:
        write_run(folder, run)
    write_run(folder, runs[-2], status="failed", error=FAILED, iterations=2)
    return folder


@pytest.fixture(scope="module")
def partial_folder(tmp_path_factory):
    """Of one method, setting and game two runs are whole and one failed before its first record."""
    folder = tmp_path_factory.mktemp("results") / "partial"
    runs = [run for run in planned_runs() if run.value == 1]
    write_plan(folder, runs)
    for run in runs[:2]:
        write_run(folder, run)
    write_run(folder, runs[2], status="failed", error=FAILED)
    (folder / runs[2].folder / "metrics.jsonl").unlink()
    (folder / "logs").mkdir()
    (folder / "logs" / "0_1__Asterix.log").write_text("killed", encoding="utf-8")
    return folder


def write_plan(folder, runs, **changes):
    folder.mkdir()
    experiment = ExperimentFile(
        name="fig10",
        scale="smoke",
        title=f"Replay ratio {HOSTILE}",
        expected="ReDo stays high.",
        setting_name="replay ratio",
        shows=("iqm", "return", "dormant_percent", "overlap"),
        baseline="DQN",
        command=f"python -m dormant.reproduce fig10 --scale=smoke {HOSTILE}",
        runs=tuple(runs),
        paper=(),
    )
    (folder / EXPERIMENT_FILE).write_text(to_json(experiment._replace(**changes)), encoding="utf-8")
