# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Plain DQN's dormant neurons at each threshold, over agent steps and over gradient steps: figures
2, 7 and 16 of the paper on MinAtar.

`python -m dormant.report.pages.thresholds` draws them from results/minatar_long/results.csv."""

from collections.abc import Sequence
from pathlib import Path

from dormant.measures.measure import DEFAULT_TAUS
from dormant.records.per_iteration import GRADIENT_STEP, dormant_column
from dormant.records.results import RunResult
from dormant.report.claims import names_of
from dormant.report.csv_results import read_csv
from dormant.report.pages.measured import Series, draw

FOLDER = Path("results/minatar_long")
METHOD = "DQN"
# {the end of a file's name: what its lines run over}
ACROSS = {"agent-steps": "agent steps", "gradient-steps": "gradient steps"}


def panels(runs: Sequence[RunResult], across: str) -> dict[str, list[Series]]:
    """{title: the series of each run}, a row of games for each threshold."""
    plain = [run for run in runs if run.method == METHOD]
    games = dict.fromkeys(run.game for run in plain)
    return {
        f"{names_of([game])}: dormant %, tau {tau:g}": [
            Series(
                run.setting,
                run.seed,
                run.measured[GRADIENT_STEP] if across == "gradient steps" else run.agent_steps,
                run.measured[dormant_column(tau)],
            )
            for run in plain
            if run.game == game
        ]
        for tau in DEFAULT_TAUS
        for game in games
    }


if __name__ == "__main__":
    known = read_csv(FOLDER / "results.csv").runs
    for name, steps in ACROSS.items():
        draw(panels(known, steps), FOLDER / "figures" / f"thresholds-over-{name}.png", steps)
