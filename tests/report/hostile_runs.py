# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Runs in the format that training writes, with names and texts that try to become markup."""

import json

import pytest

from dormant.records.experiment_file import ExperimentFile, PlannedRun, to_json
from dormant.records.files import EXPERIMENT_FILE

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">'& $x$ ${y}"
METHODS = ("DQN", f"DQN {HOSTILE}")
SETTINGS = {"replay ratio 0.25": 0.25, "replay ratio 1": 1.0}
GAMES = ("Asterix", "Pong")
SEEDS = (0, 1, 2)
LAYERS = ("Conv_0", "Dense_0")
TAUS = (0.0, 0.025, 0.1)
ITERATIONS = 5
CONFIG = f"# {HOSTILE}\nLearnerOptions.replay_ratio = 1\n"
FAILED = f"FloatingPointError: the loss is nan {HOSTILE}"


def planned_runs():
    return tuple(
        PlannedRun(
            folder=f"{index}_{ratio:g}/{game}/seed_{seed}",
            method=method,
            setting=setting,
            value=ratio,
            game=game,
            seed=seed,
            agent_steps=1000 * ITERATIONS,
            command=f"python -m dormant.train --base_dir=r/{index} --gin_bindings='{HOSTILE}'",
        )
        for index, method in enumerate(METHODS)
        for setting, ratio in SETTINGS.items()
        for game in GAMES
        for seed in SEEDS
    )


def records(run, iterations):
    """An iteration and four measurements every 1000 agent steps."""
    base = 1.0 + run.seed + 3 * METHODS.index(run.method) + (run.game == "Pong")
    for number in range(iterations):
        for quarter in range(1, 5):
            step = 4 * number + quarter
            percent = 2.0 * step + run.seed
            yield {
                "kind": "tracking",
                "gradient_step": 62 * step,
                "agent_step": 250 * step,
                "taus": list(TAUS),
                "dormant_percent": {layer: [0.0, percent / 2, percent] for layer in LAYERS},
                "dormant_percent_pooled": [0.0, percent / 2, percent],
                "overlap": {layer: [None, 0.4, 0.5] for layer in LAYERS},
                "overlap_history": {layer: [None, 0.6, 0.01 * step] for layer in LAYERS},
                "recycled": dict.fromkeys(LAYERS, 0),
                "recycled_total": 0,
                "loss": 0.01,
                "effective_rank": {"Dense_0": 30.0 - step},
                "feature_norm": dict.fromkeys(LAYERS, 0.1 * step),
                "weight_norm": dict.fromkeys(LAYERS, 1.0 + 0.1 * step),
                "gradient_norm": dict.fromkeys(LAYERS, 0.3),
            }
        score = base + number + (number % 2)  # zigzags, so that smoothing changes it
        yield {
            "kind": "iteration",
            "iteration": number,
            "agent_step": 1000 * (number + 1),
            "gradient_step": 248 * (number + 1),
            "train_returns": [score - 1.0, score + 1.0],
            "train_episode_lengths": [100, 100],
            "train_average_return": score,
            "steps_per_second": 250.0,
        }


def write_run(folder, run, *, status="finished", error=None, iterations=ITERATIONS):
    folder = folder / run.folder
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(record) + "\n" for record in records(run, iterations))
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    (folder / "config.gin").write_text(CONFIG, encoding="utf-8")
    entries = {
        "status": status,
        "command": run.command,
        "seed": run.seed,
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "versions": {"python": "3.11.9", "jax": "0.10.2", "mujoco": None},
        "error": error,
    }
    (folder / "run.json").write_text(json.dumps(entries), encoding="utf-8")


def plan(folder, runs, **changes):
    experiment = ExperimentFile(
        "fig1", "smoke", "t", "e", "", ("return",), "DQN", "c", tuple(runs), ()
    )
    text = to_json(experiment._replace(**changes))
    (folder / EXPERIMENT_FILE).write_text(text, encoding="utf-8")


def events(folder, tag, values):
    """As flax and CleanRL write them: a scalar at each step."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step, value in values:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.add_event(Event(wall_time=1.0, step=step, summary=summary))
    writer.close()
