# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo in the loops of other libraries: what it adds to each is marked, at most ten lines; without
them the plain loop is left, with them neurons are recycled while the network learns."""

import importlib.util
import math
import re
import subprocess
import sys

import pytest

from tests.examples.scripts import EXAMPLES, output

MARK, SBX = "# dormant", "sbx_callback.py"
MARKED = sorted(path.name for path in EXAMPLES.glob("*.py") if f"`{MARK}`" in path.read_text())


def without_dormant(name):
    """The source of the plain loop, and the lines that dormant added to it."""
    lines = (EXAMPLES / name).read_text().splitlines()
    added = [line for line in lines if line.endswith(MARK)]
    return "\n".join(line for line in lines if line not in added) + "\n", added


def test_every_loop_is_tried():
    assert {case.values[0] for case in CASES} == set(MARKED)


@pytest.mark.parametrize("name", MARKED)
def test_dormant_adds_at_most_ten_lines_to_a_loop_that_is_whole_without_them(name):
    plain, added = without_dormant(name)
    assert 4 <= len(added) <= 10
    code = plain.split('"""', 2)[2]
    assert "dormant" not in re.sub(r"#.*", "", code), "a line of dormant's is not marked"
    # Pyflakes' rules: an undefined name would be one that only a marked line brings.
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F", "-"]
    done = subprocess.run(command, input=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def series(text):
    """`name=value` of every line, by name and in order; values are all that a run prints."""
    found = {}
    for name, value in re.findall(r"(\w+)=(\S+?)(?=,|\s|$)", text):
        found.setdefault(name, []).append(float(value))
    return found


# What a run that learns shows, by the name of what it prints.
LEARNS = {
    "accuracy": lambda values: values[-1] > 0.7,  # chance is 0.1
    "episodic_return": lambda values: max(values) > 3 * values[0],  # a random policy's is first
    "loss": lambda values: values[-1] < values[0] / 2,
    "td_loss": lambda values: values[-1] > 0,  # too short a run for more
}


def loop(name, measure, *arguments):
    return pytest.param(name, measure, arguments, id=name.removesuffix(".py"))


CASES = [
    loop(
        "cleanrl_dqn_atari.py", "td_loss",
        "--total-timesteps=520", "--learning-starts=200", "--redo-period=25", "--batch-size=16",
    ),
    loop("purejaxrl_ppo.py", "episodic_return", "--total-timesteps=50000"),
    loop("pqn_gymnax.py", "episodic_return", "--total-timesteps=100000"),
    loop("pqn_rnn_gymnax.py", "episodic_return"),
    loop("equinox_permuted_digits.py", "accuracy", "--tasks=4"),
    loop("haiku_shuffled_labels.py", "accuracy", "--shuffles=4"),
    loop("flax_transformer.py", "loss", "--steps=300"),
    loop(SBX, "episodic_return", "--total-timesteps=10500"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "measure", "arguments"), CASES)
def test_loop_recycles_while_it_learns(name, measure, arguments):
    if name == SBX and importlib.util.find_spec("sbx") is None:
        pytest.skip("sbx-rl is not installed: its tfp-nightly would overwrite what Dopamine needs")
    # What sbx imports, such as tfp-nightly, warns of its own affairs.
    found = series(output(name, *arguments, quiet=name != SBX))
    assert all(math.isfinite(value) for values in found.values() for value in values)
    assert LEARNS[measure](found[measure]), found[measure]
    assert len(found["dormant"]) > 1 and 0 < max(found["dormant"]) <= 1
    assert found["recycled"] == sorted(found["recycled"]) and found["recycled"][-1] > 0
