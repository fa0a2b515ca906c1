# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Files that others wrote, and files like them."""

import json
from pathlib import Path

from dormant.report.columns import parse_columns
from dormant.report.sources import read_folder

DATA = Path(__file__).parent / "data"
HEADER = "method,game,seed,agent_step,return"


def read(name, *columns, unit="agent_steps"):
    return read_folder(DATA / name, parse_columns(columns, unit))


def write(folder, *lines, name="mine.csv", header=HEADER, end="\n"):
    path = folder / name
    path.write_text("\n".join([header, *lines]) + end, encoding="utf-8")
    return path


def points(run):
    return list(zip(run.agent_steps.tolist(), run.returns.tolist(), strict=True))


def baseline(folder, counts, name="pong_CNN.json", agent="DQN"):
    """A file as Dopamine's baselines are: `counts` values of each iteration."""
    entries = [
        {"Agent": agent, "Iteration": at, "Value": 10.0 * at + number}
        for at, count in counts.items()
        for number in range(count)
    ]
    (folder / name).write_text(json.dumps(entries), encoding="utf-8")
