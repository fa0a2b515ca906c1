# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Statistics against what others published: Dopamine's baselines and rliable called directly."""

import os
from pathlib import Path

import numpy as np
import pytest
from rliable import library, metrics

from dormant.report.bootstrap import Bootstrap
from dormant.report.csv_writing import write_csv
from dormant.report.dopamine_results import read_baselines
from dormant.report.scores import normalized
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("DORMANT_BASELINES", ROOT.parent / "shared" / "dopamine_baselines"))

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"Dopamine's published JSON is not in {FOLDER}; DORMANT_BASELINES names another folder",
)


@pytest.mark.parametrize(
    ("network", "iterations", "published"),
    [("CNN", 10, 0.400), ("CNN", 40, 0.991), ("Impala", 10, 0.542), ("Impala", 40, 1.552)],
)
def test_dqn_has_the_published_iqm_and_rliables_interval(network, iterations, published, tmp_path):
    runs = [
        run._replace(
            agent_steps=run.agent_steps[:iterations],
            returns=run.returns[:iterations],
            dormant_percent=run.dormant_percent[:iterations],
        )
        for run in read_baselines(FOLDER, ["DQN"], [network])
    ]
    write_csv(runs, tmp_path / "runs.csv")
    statistics = Statistics(read_folder(tmp_path / "runs.csv"), Bootstrap(seed=3))
    found = statistics.aggregate(f"DQN, {network}", "")
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.runs == 85

    games = {}
    for run in runs:
        games.setdefault(run.game, []).append(normalized(run.game, run.returns)[-1])
    state = np.random.get_state()
    np.random.seed(3)
    _, ends = library.get_interval_estimates(
        {"DQN": np.array(list(games.values())).T},
        lambda x: np.array([metrics.aggregate_iqm(x)]),
        reps=2000,
    )
    np.random.set_state(state)
    assert (found.low, found.high) == tuple(ends["DQN"][:, 0])
