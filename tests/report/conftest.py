"""An experiment's folder on disk, shared by a file's tests."""

import pytest

from dormant.evaluation.experiment_file import EXPERIMENT_FILE, ExperimentFile, to_json
from tests.report.hostile_runs import FAILED, HOSTILE, planned_runs, write_run


@pytest.fixture(scope="module")
def experiment_folder(tmp_path_factory):
    """All runs are whole but two of the last setting: one failed half-way, one never started."""
    folder = tmp_path_factory.mktemp("results") / "fig10-smoke"
    folder.mkdir()
    runs = planned_runs()
    experiment = ExperimentFile(
        name="fig10",
        scale="smoke",
        title=f"Replay ratio {HOSTILE}",
        expected="ReDo stays high.",
        setting_name="replay ratio",
        shows=("iqm", "return", "dormant_percent", "overlap"),
        baseline="DQN",
        command=f"python -m dormant.reproduce fig10 --scale=smoke {HOSTILE}",
        runs=runs,
        paper=(),
    )
    (folder / EXPERIMENT_FILE).write_text(to_json(experiment), encoding="utf-8")
    for run in runs[:-2]:
        write_run(folder, run)
    write_run(folder, runs[-2], status="failed", error=FAILED, iterations=2)
    return folder
