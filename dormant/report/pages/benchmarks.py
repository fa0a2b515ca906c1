# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""docs/benchmarks.md: the main ratios of benchmarks/results, with their spread."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from dormant.report.pages import text


class Chosen(NamedTuple):
    """Rows of a benchmark that the page shows.

    Attributes:
      file: in benchmarks/results.
      title: how the title of the table begins.
      rows: how their names begin.
      what: what is compared, for a reader who has not seen the benchmark.
    """

    file: str
    title: str
    rows: tuple[str, ...]
    what: str


_FASTER = (
    Chosen(
        "recycle-cpu.json",
        "One recycle",
        ("scores and recycle, 64", "scores alone, 64"),
        "a recycle of the nature CNN, compiled before",
    ),
    Chosen("updates-cpu.json", "One DQN update", ("one update",), "a DQN update of the nature CNN"),
    Chosen(
        "train_dqn-cpu.json",
        "DQN with ReDo",
        (
            "replay ratio 0.25, 4000 agent steps with",
            "replay ratio 1, 1000 agent steps with",
        ),
        "DQN with ReDo on DemonAttack",
    ),
    Chosen(
        "replay-cpu.json",
        "A full replay",
        (
            "uniform, 1-step: sample of 32, its states on the device",
            "prioritized, 3-step: sample of 32, its states on the device",
        ),
        "drawing a batch of 32",
    ),
    Chosen(
        "environments-cpu.json",
        "Atari against Dopamine's wrapper",
        ("Breakout, 1 environment",),
        "Atari against Dopamine's wrapper",
    ),
    Chosen(
        "environments-cpu.json",
        "Atari, one after the other",
        ("Breakout, 5 environments, 2 threads",),
        "Atari against the ALE's vector environment with two threads",
    ),
    Chosen(
        "vectorized-cpu.json",
        "DQN on MinAtar's Breakout",
        (
            "seeds side by side against one of Dopamine's: 1",
            "seeds side by side against one of Dopamine's: 5",
        ),
        "DQN on the device against Dopamine's own, on MinAtar",
    ),
    Chosen(
        "checkpoints-cpu.json",
        "Time",
        ("the same and a replay of 25000 frames: save",),
        "a checkpoint, against orbax",
    ),
    Chosen(
        "checkpoints-cpu.json",
        "Size",
        ("the same and a replay of 25000 frames: on disk",),
        "its size, against orbax: below 1 ours is larger",
    ),
)
_COSTS = (
    Chosen(
        "recycle-cpu.json",
        "One DQN update",
        ("the host knows", "the program decides"),
        "an update with ReDo that is not due",
    ),
    Chosen(
        "gpu-gpu.json",
        "One DQN update of the nature CNN, batch 32, matrix products at default precision",
        (
            "one update in a call, transitions in host memory",
            "one of 4 in a call",
            "one of 64 in a call",
        ),
        "the same with the tracker, on an H100",
    ),
    Chosen(
        "measures-cpu.json",
        "One measurement",
        ("the tracker without measures", "the tracker with all"),
        "one measurement, against the 1 000 updates between two",
    ),
)


def page(root: Path) -> str:
    """The text of docs/benchmarks.md."""
    folder = root / "benchmarks" / "results"
    faster = [row for each in _FASTER for row in _rows(each, folder)]
    costs = [row for each in _COSTS for row in _rows(each, folder)]
    header = ("what", "one side", "the other", "ratio", "pairs", "machine")
    return text.written(
        "Benchmarks",
        (
            text.paragraph(
                "The main figures of [benchmarks/RESULTS.md](../benchmarks/RESULTS.md), which has"
                " all of them with their machines and versions. Each is a median with (smallest to"
                " largest) over pairs of measurements, made one right after the other in one"
                " process. “Released” is `dopamine.labs.redo` of dopamine-rl 4.1.2, made to"
                " run without a"
                " change of what it computes. What is measured by which script, and what was in the"
                " way, tells [benchmarks/README.md](../benchmarks/README.md)."
            ),
            text.code(
                "make bench      # an hour on two cores, with nothing beside it",
                "make bench-gpu  # five minutes on one GPU",
            ),
            "## Against other implementations",
            text.paragraph(
                "A ratio above 1 says that ours is faster, except for the size of a checkpoint."
                " Where it is below 1, the other is."
            ),
            text.table(header, faster),
            "## What ReDo and the measures cost",
            text.paragraph(
                "A ratio of 1 says that nothing was added. On a GPU it pays to run several updates"
                " in one call (`jax.lax.scan`): a call of its own for each update makes the carried"
                " state of tracker and ReDo visible."
            ),
            text.table(header, costs),
            "## Checks that failed",
            text.bullets(_failures(folder)),
            text.paragraph(
                "[benchmarks/README.md](../benchmarks/README.md) says what was found out about it."
            ),
        ),
    )


def _rows(chosen: Chosen, folder: Path) -> list[tuple[str, ...]]:
    result = json.loads((folder / chosen.file).read_text("utf-8"))
    (table,) = [each for each in result["tables"] if each["title"].startswith(chosen.title)]
    machine = result["machine"]
    on_cpu = f"{machine['cores']} cores of {machine['processor']}"
    where = on_cpu if machine["backend"] == "cpu" else machine["device"]
    found = []
    for name in chosen.rows:
        (row,) = [each for each in table["rows"] if each["name"].startswith(name)]
        sides = [
            f"{side}: {_spread(values)} {row['unit']}"
            for side, values in zip(table["sides"], row["sides"], strict=True)
        ]
        count = str(row["sides"][0]["count"])
        ratio = f"{_spread(row['ratio'])} {table['ratio']}"
        found.append((f"{chosen.what}: {row['name']}", *sides, ratio, count, where))
    return found


def _spread(values: dict[str, Any]) -> str:
    """The median with the smallest and the largest."""
    numbers = [values[name] for name in ("median", "min", "max")]
    median, *ends = (f"{each:.0f}" if each >= 1_000 else f"{each:.3g}" for each in numbers)
    return median if values["count"] == 1 else f"{median} ({ends[0]} to {ends[1]})"


def _failures(folder: Path) -> list[str]:
    """What the benchmarks say of checks that did not pass."""
    found = []
    for path in sorted(folder.glob("*.json")):
        for table in json.loads(path.read_text("utf-8"))["tables"]:
            for row in table["rows"]:
                if row["name"].startswith("FAILED: "):
                    found_one, allowed = (f"{side['median']:.3g}" for side in row["sides"])
                    said = row["name"].removeprefix("FAILED: ")
                    found.append(f"{said}: {found_one} {row['unit']}, allowed {allowed}.")
    return found or ["None."]
