# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The cache of compiled programs that the runs of an experiment share."""

import json
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from dormant.records.compilation import Compilation, so_far
from dormant.reproduce.engines.environment import process_environment


def test_what_the_user_has_set_stays(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    own = process_environment(tmp_path)["JAX_COMPILATION_CACHE_DIR"]
    assert own.startswith(str(tmp_path / "engine" / "compiled"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    found = process_environment(tmp_path, {"CUDA_VISIBLE_DEVICES": "3"})
    assert found["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"
    assert found["CUDA_VISIBLE_DEVICES"] == "3"


def test_what_is_compiled_is_counted():
    before = so_far()
    jax.jit(lambda x: jnp.sin(x) * 3.25)(jnp.ones(7)).block_until_ready()
    after = so_far()
    assert after.programs > before.programs and after.seconds > before.seconds
    assert Compilation.of(after._asdict()) == after
    assert Compilation.of(None) == Compilation.of({"other": 1}) == Compilation()


def run(folder, **environment):
    command = [
        sys.executable, "-m", "dormant.reproduce", "minatar_prune", "--games", "Breakout-MinAtar",
        "--seeds=1", f"--base_dir={folder}",
    ]  # fmt: skip
    known = process_environment(folder)
    known = {name: value for name, value in known.items() if "CACHE" not in name} | environment
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found, compiled = {}, Compilation()
    for path in sorted(folder.rglob("metrics.jsonl")):
        records = re.sub(r'"steps_per_second": [^,}]*', "", path.read_text("utf-8"))
        state = sorted(path.parent.glob("../checkpoints/process_0/*/arrays.bin"))[-1].read_bytes()
        found[str(path.relative_to(folder))] = records, state
        details = json.loads((path.parent / "run.json").read_text("utf-8"))
        compiled = compiled.plus(**details["compilation"])
    return found, compiled


@pytest.mark.slow
def test_runs_with_it_and_without_it_are_equal_to_the_bit(tmp_path):
    without, compiled = run(tmp_path / "without", JAX_ENABLE_COMPILATION_CACHE="false")
    assert len(without) == 2 and compiled.programs and not compiled.from_cache
    filled, _ = run(tmp_path / "filled")
    assert filled == without
    (cache,) = (tmp_path / "filled" / "engine" / "compiled").iterdir()
    entries = sorted(cache.iterdir())
    for number, entry in enumerate(entries):  # as killed processes leave them
        if number % 2:
            entry.write_bytes(entry.read_bytes()[: entry.stat().st_size // 2])
    used, compiled = run(tmp_path / "used", JAX_COMPILATION_CACHE_DIR=str(cache))
    assert used == without and compiled.from_cache and compiled.saved_seconds
    assert compiled.from_cache < compiled.programs
