# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Mistakes that once ended in a traceback, a hang or gigabytes, and what is said of them now."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest

import dormant
from dormant.memory import bytes_of, readable, shortage
from dormant.runs.members import members_of
from tests.faults import mistakes

CIRCLE = "gin: a value must not be asked for by itself; got "
UNCLOSED = "a closing bracket or quote is missing"
FITS = "GB may be used (90 % of "
BINDINGS = {
    "train": {
        "ReDo.also = {'a': 1": UNCLOSED,
        "ReDo.layers = [": UNCLOSED,
        "ReDo.max_fraction = @ReDo()": CIRCLE,
        "ReDo.tau = @ReDo()": CIRCLE + "LearnerOptions.intervention = @ReDo(); ReDo.tau = @ReDo()",
        "Checkpointer.checkpoint_frequency = 0": "`Checkpointer.checkpoint_frequency` must be a",
        "Checkpointer.checkpoint_duration = 1.5": "`Checkpointer.checkpoint_duration` must be a",
        "create_optimizer.learning_rate = ''": "`create_optimizer.learning_rate` must be a number",
        "create_optimizer.eps = '0.1'": "`create_optimizer.eps` must be a number >= 0; got '0.1'",
        "create_optimizer.eps = 1e400": "`create_optimizer.eps` must be a number >= 0; got inf",
        "create_optimizer.eps = 1e39": "must be a number >= 0, finite in float32; got 1e+39",
        "create_optimizer.beta1 = 1": "`create_optimizer.beta1` must be a number in [0, 1)",
        "create_optimizer.centered = 1": "`create_optimizer.centered` must be True or False; got 1",
        "JaxDQNAgent.gamma = '0.1'": "`JaxDQNAgent.gamma` must be a number in [0, 1]; got '0.1'",
        "JaxDQNAgent.gamma = None": "`JaxDQNAgent.gamma` must be a number in [0, 1]; got None",
        "JaxDQNAgent.stack_size = 1e3": "`JaxDQNAgent.stack_size` must be a whole number",
        "JaxDQNAgent.epsilon_fn = @ReDo": "`JaxDQNAgent.epsilon_fn` must be a function (",
        "LearnerOptions.replay_ratio = 1e308": "a number > 0, finite in float32; got 1e+308",
        "LearnerOptions.replay_ratio = 1e9": "updates of one burst, as they are counted in int32",
        "LearnerOptions.seed = 4294967296": "`LearnerOptions.seed` must be a whole number",
        "Tracker.score_batch = 2147483648": "`Tracker.score_batch` must be a whole number",
        "Tracker.score_batch = 2147483647": FITS,
        "ReDo.score_batch = 1000000000": FITS,
        "DormantDQNAgent.options = 3": "`DormantDQNAgent.options` must be None or @Learner",
        "Runner.create_environment_fn = 'a'": "`Runner.create_environment_fn` must be a function",
        "create_dormant_runner.seeds = 1000000000": "at most 1000 runs stand side by side",
    },
    "train_vectorized": {
        "VectorizedRun.seeds = 1000000000": "at most 10000 runs stand side by side, not 1000000000",
        "Tracker.score_batch = 2147483648": "`Tracker.score_batch` must be a whole number",
        "Tracker.score_batch = 2147483647": FITS,
        "VectorizedDQN.replay_capacity = 2147483644": "2 runs on a device of 90.19 GB each",
        "VectorizedDQN.replay_capacity = 10000000000": "a whole number from 1 to 2147483647",
        "VectorizedDQN.batch_size = 2147483647": FITS,
        "VectorizedDQN.dense = (100000000, 100000000)": "parameters, their target and Adam's",
        "LearnerOptions.replay_ratio = 100000000": "batches of one burst of 400000000 updates",
        "VectorizedDQN.environment = 'CartPole'": "`VectorizedDQN.environment` must be",
    },
    "study": {
        "OfflineDQN.evaluation_episodes = 1000000000": FITS,
        "OfflineDQN.data_steps = 2000000000": "`OfflineDQN.data_steps` must leave memory for",
        "Tracker.score_batch = 1000000000": FITS,
    },
}


@pytest.mark.parametrize(
    ("command", "binding"), [(command, line) for command in BINDINGS for line in BINDINGS[command]]
)
def test_a_binding_is_refused_by_its_name(refusal, command, binding):
    mistake = mistakes.Mistake(
        binding, command, lambda folder: mistakes.bound(command, [binding], folder)
    )
    line = refusal(0, mistake)
    assert line.count("\n") == 1 and BINDINGS[command][binding] in line


def test_values_that_are_right_are_taken(refusal):
    lines = [
        *("create_optimizer.eps = 1e-8", "JaxDQNAgent.gamma = 0", "Tracker.score_batch = 4096"),
        *("A = 0.2", "AdaptiveTau.minimum = %A", "scope/AdaptiveTau.initial = 0.2"),
        *("LearnerOptions.seed = 4294967295", "ReDo.tau = @scope/AdaptiveTau()"),
        *("ReDo.max_fraction = 0.5", "create_optimizer.learning_rate = 0"),
    ]
    mistake = mistakes.Mistake(
        "none", "train", lambda folder: mistakes.bound("train", lines, folder)
    )
    assert refusal(0, mistake) is None


NETWORK = {"hidden": jnp.ones((4, 3)), "output": jnp.ones((3, 2))}


def interventions():
    graph = dormant.trace(
        lambda params, x: jax.nn.relu(x @ params["hidden"]) @ params["output"],
        NETWORK,
        jnp.ones((1, 4)),
    )
    adam = optax.adam(0.1)
    made = {
        "redo": dormant.redo(graph, lambda key: NETWORK, adam, period=1),
        "prune": dormant.prune(graph, adam, period=1),
        "track": dormant.track(graph, period=1),
    }
    return made, adam.init(NETWORK)


@pytest.mark.parametrize("name", ["redo", "prune"])
def test_the_state_of_a_tracker_is_that_of_no_other(name):
    made, opt_state = interventions()
    state = made["track"].init(jax.random.key(0))
    with pytest.raises(ValueError, match="`state` must be the state that this intervention's own"):
        made[name].update(NETWORK, opt_state, state, jnp.ones((8, 4)))


@pytest.mark.parametrize("name", ["redo", "prune", "track"])
@pytest.mark.parametrize(
    "inputs", [(jnp.ones((8, 5)),), (jnp.ones((8, 4)),) * 2, ("a",), (None,), (jnp.ones((0, 4)),)]
)
def test_inputs_that_the_network_does_not_take(name, inputs):
    made, opt_state = interventions()
    state = made[name].init(jax.random.key(0))
    with pytest.raises(ValueError, match="`inputs` must be") as caught:
        made[name].update(NETWORK, opt_state, state, *inputs)
    assert "\n" not in str(caught.value)


def test_runs_side_by_side_are_counted_before_they_are_listed():
    assert len(members_of("Run", 0, 3, {"ReDo.tau": [0, 0.1]})) == 6
    with pytest.raises(ValueError, match="at most 10000 runs stand side by side, not 20000000000"):
        members_of("Run", 0, 10**10, {"ReDo.tau": [0, 0.1]})


def test_bytes_are_those_of_arrays_and_of_their_shapes():
    tree = {"a": jnp.ones((3, 2)), "b": jnp.ones(5, bool), "c": 1.0}
    assert bytes_of(tree) == bytes_of(jax.eval_shape(lambda: tree)) - 4 == 3 * 2 * 4 + 5
    assert bytes_of(jax.random.split(jax.random.key(0), 3)) == 24


def test_what_fits_exactly_fits():
    assert shortage(900, 1_000) is None and shortage(10**30, None) is None
    assert shortage(901, 1_000) is not None
    assert readable(1_500_000) == "1.50 MB" and readable(10**400).startswith("over 1")


def test_a_device_that_jax_cannot_start_is_one_line(tmp_path):
    command = ["-m", "dormant.train_vectorized", "--gin_files=vectorized/dqn.gin"]
    process = subprocess.run(
        [sys.executable, *command, f"--base_dir={tmp_path / 'run'}"],
        env={**os.environ, "JAX_PLATFORMS": "nowhere"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1 and process.stderr.count("\n") == 1
    assert "JAX cannot start a device with JAX_PLATFORMS=nowhere: " in process.stderr
    assert not (tmp_path / "run").exists()
