# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Checks of what an accelerator computes: parts of `benchmarks/gpu.py`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import dormant
from benchmarks import common, learner_updates, recycle, vectorized
from dormant import learners
from dormant.runs.host_arrays import forms_of, to_device, to_host
from dormant.runs.interventions import ReDo
from dormant.runs.options import LearnerOptions
from dormant.vectorized.agent import VectorizedDQN

GAME = "Asterix-MinAtar"
SHORT_ROUNDS = 5
# Largest relative difference to the CPU that is still rounding, a few updates after the start.
ROUNDING = 1e-3
CHECKS = "Checks."
FAILED = "FAILED: "

# What a part returns once it has compiled: a function that measures, so many times.
Measure = Callable[[int], list[common.Table]]


def recycling(quick: bool) -> Measure:
    """Neurons that are dead on what they are scored on are recycled and no output changes."""
    network = learner_updates.nature_cnn()
    observations = learner_updates.observations(recycle.SCORE_BATCHES[0])

    def kill(leaf: jax.Array) -> jax.Array:
        is_hidden_bias = leaf.ndim == 1 and leaf.size != learner_updates.NUM_ACTIONS
        return leaf.at[:3].set(-1e4) if is_hidden_bias else leaf

    params = jax.tree.map(kill, jax.jit(network.init)(jax.random.key(0)))
    redo = dormant.redo(network.graph, network.init, network.optimizer, tau=0.0, period=1)
    state = redo.init(jax.random.key(1))
    recycled, *_ = jax.jit(redo.update)(params, network.optimizer.init(params), state, observations)
    if differing_bytes(params, recycled) == 0:
        raise RuntimeError("no neuron was recycled")
    outputs = jax.jit(network.apply)
    differ = differing_bytes(outputs(params, observations), outputs(recycled, observations))
    name = f"recycling at tau = 0 leaves the outputs of the nature CNN for {len(observations)}"
    return _checked(f"{name} observations as they were", "bytes that differ", differ, 0)


def continuing(quick: bool) -> Measure:
    """A run on the device that was fetched to the host and placed again goes on as if never."""
    advance, state = _short_run()
    state = advance(state)
    forms, saved = forms_of(state), _on_host(state)
    uninterrupted, continued = advance(state), advance(to_device(forms, saved))
    differ = differing_bytes(uninterrupted, continued)
    name = "a run on the device, stopped, saved and continued, is the uninterrupted one"
    return _checked(name, "bytes that differ", differ, 0)


def against_cpu(quick: bool) -> Measure:
    """Updates and a run on the device against the same on the CPU."""
    jax.config.update("jax_default_matmul_precision", "float32")
    cpu = jax.devices("cpu")[0]
    found = []
    for device in (jax.devices()[0], cpu):
        with jax.default_device(device):
            updated = learner_updates.our_block(_learner())()[0]
            advance, state = _short_run(device)
            found.append((_on_host(updated), _on_host(advance(state))))
    of_updates, of_runs = (largest_difference(*each) for each in zip(*found, strict=True))
    with jax.default_device(cpu):
        nudged = learner_updates.our_block(_nudged(_learner()))()[0]
    # Rounding flips a ReLU now and then, which changes a gradient by a sample's share.
    allowed = max(ROUNDING, 3 * largest_difference(found[1][0], _on_host(nudged))[0])
    run = f"{SHORT_ROUNDS * vectorized.UPDATE_PERIOD} updates of a run on the device, one recycle"
    updates = f"{learner_updates.UPDATES_PER_BLOCK} updates of the nature CNN"
    tables = []
    for name, (difference, where), most in (
        (updates, of_updates, allowed),
        (run, of_runs, ROUNDING),
    ):
        name += ": the whole state is that of the CPU up to rounding"
        if difference:
            name += f"; `{where}` differs most"
        tables += _checked(name, "relative difference", difference, most)(1)
    return lambda repeats: tables


def _learner() -> learners.Learner:
    return learner_updates.learner(learner_updates.nature_cnn())


def _nudged(made: learners.Learner) -> learners.Learner:
    """The learner that begins with parameters changed in their last digit."""

    def init(key: jax.Array) -> learners.LearnerState:
        state = made.init(key)
        params = jax.tree.map(lambda leaf: leaf * (1 + 2**-22), state.params)
        return state._replace(params=params)

    return made._replace(init=init)


def _short_run(device: jax.Device | None = None) -> tuple[Callable[[Any], Any], Any]:
    """`advance(state) -> state` of a run of two seeds by a few rounds, one with a recycle."""
    agent = VectorizedDQN(
        environment=GAME, network="mlp", min_replay_history=200, replay_capacity=1_000
    )
    options = LearnerOptions(replay_ratio=1.0, intervention=ReDo(period=15))
    program, _, _ = agent.program(options, devices=[device or jax.devices()[0]])
    state, _ = program.fill(program.init(jax.random.split(jax.random.key(0), 2)))
    return lambda state: program.advance(state, SHORT_ROUNDS)[0], state


def _on_host(tree: Any) -> Any:
    # Copied: on a CPU they are else the arrays that the next call is given to write over.
    return jax.tree.map(np.array, to_host(tree))


def differing_bytes(one: Any, other: Any) -> int:
    """How many bytes of two trees of arrays differ."""

    def differ(one: np.ndarray, other: np.ndarray) -> int:
        pair = (np.frombuffer(array.tobytes(), np.uint8) for array in (one, other))
        return int(np.count_nonzero(np.not_equal(*pair)))

    return sum(jax.tree.leaves(jax.tree.map(differ, _on_host(one), _on_host(other))))


def largest_difference(one: Any, other: Any) -> tuple[float, str]:
    """Largest difference of two trees, relative to the largest value of its array, and in which."""

    def difference(one: np.ndarray, other: np.ndarray) -> float:
        one, other = one.astype(float), other.astype(float)
        # What was not measured yet is NaN in both.
        differ = ~((one == other) | (np.isnan(one) & np.isnan(other)))
        scale = np.max(np.abs(one), where=np.isfinite(one), initial=0) or 1
        return float(np.max(np.abs(one - other), where=differ, initial=0) / scale)

    found = jax.tree_util.tree_leaves_with_path(jax.tree.map(difference, one, other))
    # NumPy's maximum, unlike Python's, is NaN where one of them is.
    path, largest = found[int(np.argmax([value for _, value in found]))]
    return largest, jax.tree_util.keystr(path)


def _checked(name: str, unit: str, found: float, allowed: float) -> Measure:
    verdict = "passed: " if found <= allowed else FAILED
    row = common.Row(verdict + name, unit, [[found], [allowed]])
    return lambda repeats: [common.Table(CHECKS, ["found", "allowed"], [row])]
