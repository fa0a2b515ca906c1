# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The examples as users start them, each as a script: ReDo must recycle, and must pay off.
Not their exact numbers, which differ between versions of JAX."""

import math
import re

import pytest

from tests.examples.scripts import output


def rows(text):
    """The lines of a printed table that hold nothing but numbers."""
    lines = (line.split() for line in text.splitlines())
    return [[float(cell) for cell in line] for line in lines if line and "." in line[1]]


@pytest.mark.slow
def test_supervised_flax_goes_on_learning_shuffled_labels_with_redo():
    table = rows(output("supervised_flax.py", "--steps=1000", "--shuffle-every=250"))
    assert [row[0] for row in table] == [250, 500, 750, 1000]
    _, plain_loss, plain_dormant, redo_loss, redo_dormant = table[-1]
    assert table[0][1] < 0.5, "the first labels are learned without ReDo too"
    assert redo_loss < plain_loss / 2
    assert redo_dormant < 5 < 15 < plain_dormant


@pytest.mark.slow
def test_supervised_nnx_follows_its_teachers_more_closely_with_redo():
    text = output("supervised_nnx.py", "--steps=1000", "--change-every=200")
    losses, dormant, recycled = {}, {}, {}
    for name in ("plain SGD", "with ReDo"):
        losses[name] = [float(x) for x in re.search(rf"{name} .*: (.*)", text).group(1).split()]
        found = re.search(rf"{name}  dormant % (.*), recycled (.*)", text)
        dormant[name], recycled[name] = float(found.group(1)), int(found.group(2))
    assert len(losses["plain SGD"]) == 5
    assert losses["with ReDo"][-1] < 0.8 * losses["plain SGD"][-1]
    assert dormant["with ReDo"] < 5 < 15 < dormant["plain SGD"]
    assert recycled["plain SGD"] == 0 < recycled["with ReDo"]


def dqn_tables(*arguments):
    text = output("fully_jitted_dqn.py", *arguments)
    plain, redo = text.split("with ReDo")
    return rows(plain), rows(redo)


@pytest.mark.slow
def test_fully_jitted_dqn_recycles_and_has_fewer_dormant_neurons():
    plain, redo = dqn_tables("--steps=600", "--seeds=2")
    assert [row[0] for row in redo] == [200, 400, 600]
    # What is measured first precedes the first recycle: the same run in both.
    assert redo[0][1:3] == plain[0][1:3]
    assert redo[-1][2] < plain[-1][2] / 2
    assert all(row[3] == 0 for row in plain)
    assert redo[0][3] > 0 and redo[-1][3] >= redo[0][3]


@pytest.mark.slow
def test_fully_jitted_dqn_learns_breakout():
    for table in dqn_tables():
        assert table[-1][0] == 6_000
        # The random policy's average return is about 0.5.
        assert table[-1][1] > 2


@pytest.mark.slow
def test_measure_a_classifier_prints_every_measure_of_every_run():
    text = output(
        "measure_a_classifier.py", "--shuffles=2", "--steps=60", "--period=30", "--seeds=1"
    )
    header, *lines = (line.split(",") for line in text.splitlines())
    assert [line[:3] for line in lines] == [
        [method, "0", str(step)] for method in ("Adam", "Adam + ReDo") for step in (30, 60, 90, 120)
    ]
    assert all(math.isfinite(float(cell)) for line in lines for cell in line[3:])
    # Until ReDo first acts, both are the same run.
    assert lines[0][1:] == lines[4][1:] and len(header) == len(lines[0])
