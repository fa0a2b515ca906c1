# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Checkpoints of `dormant.runs.checkpoints` against orbax: time, size, and a bit that was flipped.

python benchmarks/checkpoints.py [--repeats N] [--json OUT]
"""

import pathlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import orbax.checkpoint

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import common
from dormant.learners import networks
from dormant.runs.checkpoints import Checkpoints

FRAMES, FLIPS = 25_000, 60


class Side(NamedTuple):
    """A way to keep a tree in a folder."""

    save: Callable[[pathlib.Path, Any], Any]
    load: Callable[[pathlib.Path, Any], Any]


def _load_ours(folder: pathlib.Path, tree: Any) -> Any:
    # Copied into memory, as a run takes it over.
    return jax.tree.map(np.array, Checkpoints(folder).load(0))


def _save_orbax(folder: pathlib.Path, tree: Any) -> None:
    checkpointer = orbax.checkpoint.StandardCheckpointer()
    checkpointer.save(folder / "0", tree, force=True)
    checkpointer.wait_until_finished()


def _load_orbax(folder: pathlib.Path, tree: Any) -> Any:
    return orbax.checkpoint.StandardCheckpointer().restore(folder / "0", tree)


SIDES = (
    Side(lambda folder, tree: Checkpoints(folder).save(0, tree), _load_ours),
    Side(_save_orbax, _load_orbax),
)


def trees() -> dict[str, Any]:
    """What is saved, nested dicts of NumPy arrays."""
    network = networks.NatureCNN(num_actions=6)
    params = network.init(jax.random.key(0), np.zeros((84, 84, 4), np.uint8))
    state = {"params": params, "optimizer": optax.adam(1e-4).init(params)[0]._asdict()}
    learner = jax.tree.map(np.asarray, state)
    # A third of the numbers are other than zero, as in frames of a game; compression likes it.
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (FRAMES, 84, 84), np.uint8)
    frames *= rng.integers(0, 3, (FRAMES, 84, 1), np.uint8) == 0
    return {
        "nature CNN with Adam's state": learner,
        f"the same and a replay of {FRAMES} frames": learner | {"frames": frames},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the JSON file asked for."""
    options = common.parser(__doc__.splitlines()[0], repeats=10).parse_args(arguments)
    described, started = common.machine(), time.perf_counter()
    rows, sizes = [], []
    with tempfile.TemporaryDirectory() as parent:
        for name, tree in trees().items():
            folders = [pathlib.Path(parent, name, side) for side in ("ours", "orbax")]
            for folder in folders:
                folder.mkdir(parents=True)
            for verb in ("save", "load"):
                sides = [
                    timer(getattr(side, verb), folder, tree)
                    for side, folder in zip(SIDES, folders, strict=True)
                ]
                values = common.milliseconds(common.alternate(sides, options.repeats))
                rows.append(common.Row(f"{name}: {verb}", "ms", values))
            found = [[sum(f.stat().st_size for f in files(each)) / 2**20] for each in folders]
            sizes.append(common.Row(f"{name}: on disk", "MiB", found))
        smallest = next(iter(trees()))
        folders = [pathlib.Path(parent, smallest, side) for side in ("ours", "orbax")]
        flipped = [
            flips(side, folder, trees()[smallest])
            for side, folder in zip(SIDES, folders, strict=True)
        ]
    kinds = ("refused", "read as saved", "read as something else")
    outcomes = [
        common.Row(f"{FLIPS} checkpoints with one flipped bit: {kind}", "", [[ours], [theirs]])
        for kind, ours, theirs in zip(kinds, *flipped, strict=True)
    ]
    names = ["ours", "orbax"]
    times = common.Table("Time.", names, rows, "orbax / ours", common.times_faster)
    size = common.Table("Size.", names, sizes, "orbax / ours", common.times_faster)
    flips_table = common.Table("Integrity.", names, outcomes, None, None)
    settings = {"repeats": options.repeats, "frames": FRAMES}
    result = common.record("checkpoints", settings, described, [times, size, flips_table])
    common.publish(result, started, options.json)


def timer(function: Callable, folder: pathlib.Path, tree: Any) -> Callable[[], float]:
    """Seconds that one call takes."""
    return lambda: common.seconds(lambda: function(folder, tree))


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All that are in a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def flips(side: Side, folder: pathlib.Path, tree: Any) -> tuple[int, int, int]:
    """How often a checkpoint in which one bit was flipped is refused, harmless, or another one.

    Half of the bits are in the largest file, half in any.
    """
    generator, counts = random.Random(0), [0, 0, 0]
    largest = max(files(folder), key=lambda path: path.stat().st_size)
    for number in range(FLIPS):
        path = largest if number % 2 else generator.choice(files(folder))
        whole = path.read_bytes()
        if not whole:
            counts[1] += 1
            continue
        changed = bytearray(whole)
        changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        try:
            found = side.load(folder, tree)
        except Exception:
            counts[0] += 1
        else:
            pairs = zip(jax.tree.leaves(found), jax.tree.leaves(tree), strict=True)
            same = all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)
            counts[1 if same else 2] += 1
        path.write_bytes(whole)
    shutil.rmtree(folder)
    return tuple(counts)


if __name__ == "__main__":
    main()
