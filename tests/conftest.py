# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What all tests share: programs that were compiled once."""

import json
import os
import shutil
import subprocess

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Keeps compiled programs between tests, workers and the processes that they start.

    A worker that reads a program while another writes it finds it cut short and compiles it. Small
    programs are compiled sooner than they are written and read.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    jax.config.update("jax_compilation_cache_dir", str(folder / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of some megabytes: its folder, and `change(*options)`, which mounts it anew."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", folder],
            check=True,
            capture_output=True,
        )

    try:
        mount("size=64m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may mount no file system")
    yield folder, lambda *options: mount("remount", *options)
    subprocess.run(["umount", folder], check=True)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, for pages that are opened from disk."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


LAYERS = {"Conv_0": 1, "Dense_0": 2}  # shares of the recycled neurons, of three


@pytest.fixture
def written_run(tmp_path):
    """Writes a run folder: an iteration and a measurement every 500 gradient steps.

    returns: the training returns of each iteration; percents: dormant % at tau 0.1 of each
    measurement, half of it at 0.025; recycled: neurons recycled at each measurement.
    """

    def write(returns=((1.0,),), percents=(10.0, 20.0, 5.0), recycled=(0, 6, 0)):
        records, total, latest = [], 0, 0
        for number, (percent, count) in enumerate(zip(percents, recycled, strict=True), start=1):
            total, latest = total + count, count or latest
            values = [0.0, percent / 2, percent]
            records.append(
                {
                    "kind": "tracking",
                    "gradient_step": 500 * number,
                    "agent_step": 2000 * number,
                    "taus": [0.0, 0.025, 0.1],
                    "dormant_percent": dict.fromkeys(LAYERS, values),
                    "dormant_percent_pooled": values,
                    "overlap": dict.fromkeys(LAYERS, [None, 0.5, 0.5]),
                    "recycled": {layer: latest * share // 3 for layer, share in LAYERS.items()},
                    "recycled_total": total,
                    "loss": 0.01,
                    "q_mean": 0.5,
                }
            )
        for number, episodes in enumerate(returns):
            records.append(
                {
                    "kind": "iteration",
                    "iteration": number,
                    "agent_step": 2000 * (number + 1),
                    "gradient_step": 500 * (number + 1),
                    "train_returns": list(episodes),
                    "train_episode_lengths": [100] * len(episodes),
                    "train_average_return": sum(episodes) / max(1, len(episodes)),
                    "steps_per_second": 250.0,
                }
            )
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def all_cores():
    """Those of the machine, for this test: a process of tests may keep to one of them."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the system binds no processes")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    yield sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, before)
