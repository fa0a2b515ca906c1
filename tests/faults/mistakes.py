# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Mistakes that a user can make, drawn from a seed: in gin values, flags, calls from Python."""

import functools
import inspect
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax

import dormant
from dormant import learners, parts, replay, vectorized

ROOT = Path(__file__).resolve().parents[2]
GIN_CONFIGS = ROOT / "gin_configs"

# Values as they stand in a gin file. Some are right for some options: then nothing may go wrong.
NUMBERS = (
    *("-1", "0", "-0.0", "0.5", "1", "1.5", "3", "-1e308", "1e308", "1e400", "-1e400", "1e-400"),
    *("2147483647", "2147483648", "4294967296", "10000000000000000000000", "9" * 400, "9" * 5_000),
)
STRINGS = ("''", "'0.1'", "'1'", "'a'", "'\\0'", "'é'", "'" + "a" * 5_000 + "'", "b'a'", "None")
COLLECTIONS = (
    "[]",
    "()",
    "{}",
    "[1]",
    "(1, 2)",
    "(0.1, 'a')",
    "{'a': 1}",
    "[[1]]",
    "[None]",
    "{1: 2}",
)
FLAGS = ("True", "False", "not True", "0x10", "1_000", "1j", "1 2", "-", "")
REFERENCES = (
    *("@ReDo", "@ReDo()", "@Tracker()", "@Tracker", "@LearnerOptions()", "@optax.linear_schedule"),
    *("@optax.linear_schedule()", "@optax.constant_schedule()", "@nothing()", "@ReDo(", "@", "@()"),
    *("%nothing", "%", "@scope/ReDo()", "@AdaptiveTau()", "[@ReDo()]", "{'a': @Tracker()}"),
    *("@dormant.cosine_fraction()", "%dormant.FLOAT32", "@gin.macro()", "@ReDo()()"),
)
UNCLOSED = (
    *("{'a': 1", "[1", "(1, 2", "'a", '"a', "'''a", "[" * 3_000, "[" * 3_000 + "]" * 3_000),
    *("{'a': [1}", "]", "{[]: 1}", "1\\", "(\n", "@ReDo(\n", "{'a': 1}}"),
)
KINDS = {
    "number": NUMBERS,
    "string": STRINGS,
    "collection": COLLECTIONS,
    "flag": FLAGS,
    "reference": REFERENCES,
    "unclosed": UNCLOSED,
}


class Mistake(NamedTuple):
    """A mistake, or a call that is right by chance.

    Attributes:
      name: which, for a person.
      command: "train", "train_vectorized" or "study"; None for a call from Python.
      flags: `flags(folder) -> arguments` of the command, given an empty folder.
      call: what is called, without arguments.
    """

    name: str
    command: str | None = None
    flags: Callable[[Path], list[str]] | None = None
    call: Callable[[], Any] | None = None


# What makes of a gin file a run whose parts are made in a second, and which of its configurables a
# mistake is made in.
RUNS = {
    "train": (
        "dqn_cartpole.gin",
        {
            "LearnerOptions.intervention": "@ReDo()",
            "ReplayBuffer.max_capacity": "1_000",
            "Runner.num_iterations": "1",
            "Runner.training_steps": "60",
        },
        (
            *("ReDo", "Tracker", "LearnerOptions", "JaxDQNAgent", "DormantDQNAgent", "Runner"),
            *("create_optimizer", "ReplayBuffer", "Checkpointer", "create_dormant_runner"),
            *("create_gym_environment", "PrioritizedSamplingDistribution"),
        ),
    ),
    "train_vectorized": (
        "vectorized/dqn_redo.gin",
        {
            "VectorizedDQN.environment": "'CartPole-v1'",
            "VectorizedDQN.network": "'mlp'",
            "VectorizedDQN.dense": "(8, 8)",
            "VectorizedDQN.min_replay_history": "80",
            "VectorizedDQN.replay_capacity": "400",
            "VectorizedRun.seeds": "2",
            "VectorizedRun.num_iterations": "1",
            "VectorizedRun.training_steps": "240",
            "Tracker.tracking_period": "20",
            "ReDo.period": "20",
        },
        ("ReDo", "Tracker", "LearnerOptions", "VectorizedDQN", "VectorizedRun"),
    ),
    "study": (
        "studies/fig04.gin",
        {
            "VectorizedDQN.environment": "'CartPole-v1'",
            "VectorizedDQN.network": "'mlp'",
            "VectorizedDQN.dense": "(8, 8)",
            "VectorizedDQN.min_replay_history": "80",
            "VectorizedDQN.replay_capacity": "400",
            "OfflineDQN.data_steps": "400",
            "StudyRun.num_iterations": "1",
            "StudyRun.training_steps": "40",
            "Tracker.tracking_period": "20",
        },
        ("OfflineDQN", "StudyRun", "Tracker", "LearnerOptions", "VectorizedDQN"),
    ),
}
# Taken by the command itself; legacy Gym warns of itself whenever it is used.
_OWN = {
    *("base_dir", "create_agent_fn", "num_actions", "name", "self", "distributed"),
    "use_legacy_gym",
}


def parameters(configurable: str) -> list[str]:
    """What gin can bind of a configurable."""
    found = inspect.signature(gin.get_configurable(configurable)).parameters
    return [name for name in found if name not in _OWN]


def mistakes(seed: int) -> Iterator[Mistake]:
    """Mistakes without end: a third each in the values of a run, in its flags, and in Python."""
    generator = random.Random(seed)
    for number in range(2**31):
        # Most of what can be wrong is a value.
        draw = generator.choice((_in_a_value, _in_a_value, _in_a_call, _in_a_call, _in_the_flags))
        mistake = draw(generator)
        yield mistake._replace(name=f"{number}: {mistake.name}")


def bound(command: str, bindings: list[str], folder: Path) -> list[str]:
    """The flags of a small run of a command, with further bindings."""
    gin_file, small, _ = RUNS[command]
    lines = [f"{name} = {value}" for name, value in small.items()]
    return [
        f"--gin_files={GIN_CONFIGS / gin_file}",
        f"--base_dir={folder / 'run'}",
        *(f"--gin_bindings={line}" for line in [*lines, *bindings]),
    ]


def _in_a_value(generator: random.Random) -> Mistake:
    command = generator.choice(list(RUNS))
    configurable = generator.choice(RUNS[command][2])
    parameter = generator.choice(parameters(configurable))
    values = KINDS[generator.choice(list(KINDS))]
    value = generator.choice(values)
    line = f"{configurable}.{parameter} = {value}"
    return Mistake(line, command, functools.partial(bound, command, [line]))


def _in_the_flags(generator: random.Random) -> Mistake:
    command = generator.choice(list(RUNS))
    name, change = generator.choice(FLAG_MISTAKES)

    def flags(folder: Path) -> list[str]:
        return change(bound(command, [], folder), folder)

    return Mistake(f"{command}: {name}", command, flags)


def _replaced(flag: str, value: Any) -> Callable[[list[str], Path], list[str]]:
    def change(flags: list[str], folder: Path) -> list[str]:
        given = value(folder) if callable(value) else value
        return [f"--{flag}={given}" if each.startswith(f"--{flag}=") else each for each in flags]

    return change


def _added(*more: str) -> Callable[[list[str], Path], list[str]]:
    return lambda flags, folder: [*flags, *more]


def _gin_file(text: str | bytes, **others: str) -> Callable[[Path], Path]:
    """A gin file of that text, beside others."""

    def write(folder: Path) -> Path:
        content = text.encode() if isinstance(text, str) else text
        (folder / "mine.gin").write_bytes(content)
        for name, other in others.items():
            (folder / f"{name}.gin").write_text(other)
        return folder / "mine.gin"

    return write


def _file_in_the_way(folder: Path) -> Path:
    (folder / "file").write_text("in the way")
    return folder / "file" / "run"


FLAG_MISTAKES = [
    *(
        (f"--base_dir={value[:40]!r}", _replaced("base_dir", value))
        for value in (
            *("", "a\0b", "a" * 256, "é" * 130, "/".join(["a" * 100] * 60), "gs://bucket/run"),
            *(
                "/dev/null/run",
                "/proc/run",
                "\udcff",
                "/dev/null",
                "~nobody/run\0",
                "/" * 5_000 + "\0",
            ),
        )
    ),
    ("--base_dir is below a file", _replaced("base_dir", _file_in_the_way)),
    ("no --base_dir", lambda flags, folder: [f for f in flags if "base_dir" not in f]),
    ("no --gin_files", lambda flags, folder: [f for f in flags if "gin_files" not in f]),
    *(
        (f"--gin_files={value[:40]!r}", _replaced("gin_files", value))
        for value in (
            "",
            ".",
            "a\0b",
            "a" * 256,
            "/".join(["a" * 100] * 60),
            "/dev/zero",
            "dqn.gni",
        )
    ),
    ("a gin file that includes itself", _replaced("gin_files", _gin_file("include 'mine.gin'"))),
    (
        "gin files that include each other",
        _replaced("gin_files", _gin_file("include 'other.gin'", other="include 'mine.gin'")),
    ),
    ("a gin file without a brace", _replaced("gin_files", _gin_file("ReDo.also = {'a': 1\n"))),
    ("a gin file that is none", _replaced("gin_files", _gin_file(b"\xff\xfe\0\1" * 99))),
    ("a gin file without an included one", _replaced("gin_files", _gin_file("include 'a.gin'"))),
    ("a gin file that imports nothing", _replaced("gin_files", _gin_file("import nothing.at_all"))),
    *(
        (f"--gin_bindings={line[:40]!r}", _added(f"--gin_bindings={line}"))
        for line in (
            *(
                "",
                "ReDo",
                "ReDo.tau",
                "= 1",
                "ReDo.tau 1",
                "ReDo.tua = 1",
                "Redo.tau = 1",
                "a/b/c = 1",
            ),
            *(
                "include",
                "include ''",
                "include '.'",
                "import",
                "import os.nothing",
                "from a import b",
            ),
            *("ReDo.tau = @ReDo()", "ReDo.max_fraction = @ReDo()", "A = %A", "ReDo..tau = 1", "\0"),
            *(
                "A = %B\nB = %A\nReDo.tau = %A",
                "ReDo.tau = @Tracker()\nTracker.score_batch = @ReDo()",
            ),
            *("ReDo.tau = 1; ReDo.period = 2", ".tau = 1", "ReDo. = 1", "\udcff = 1", "é.tau = 1"),
        )
    ),
    ("an unknown flag", _added("--seeds=3")),
    ("an argument", _added("run")),
    ("a flag without a value", _added("--base_dir")),
    ("a dash", _added("-")),
]


# Calls from Python, each with arguments that are right, of which one is exchanged.

_PARAMS = {"hidden": jnp.ones((4, 3)), "output": jnp.ones((3, 2))}


def _network(params: Any, inputs: Any) -> Any:
    return jax.nn.relu(inputs @ params["hidden"]) @ params["output"]


def _init(key: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), _PARAMS)


@functools.cache
def _graph() -> dormant.NeuronGraph:
    return dormant.trace(_network, _PARAMS, jnp.ones((1, 4)))


@functools.cache
def _tracker_state() -> Any:
    return dormant.track(_graph()).init(jax.random.key(0))


def _update(make: Callable[[], dormant.Intervention]) -> Callable[..., Any]:
    def call(params: Any, opt_state: Any, state: Any, inputs: Any) -> Any:
        intervention = make()
        own = intervention.init(jax.random.key(0)) if state is None else state
        opt_state = optax.adam(0.1).init(_PARAMS) if opt_state is None else opt_state
        return intervention.update(params, opt_state, own, inputs)

    return call


def _learner() -> learners.Learner:
    redo = dormant.redo(_graph(), _init, optax.adam(0.1), period=1)
    interventions = learners.Interventions(dormant.track(_graph(), period=1), redo)
    return learners.dqn(
        _network, _init, optax.adam(0.1), discount=0.9, target_period=2, interventions=interventions
    )


def _batch() -> learners.Batch:
    states, zeros = jnp.ones((8, 4)), jnp.zeros(8)
    return learners.Batch(states, jnp.zeros(8, jnp.int32), zeros, states, zeros)


def _learner_update(state: Any, batch: Any, score_inputs: Any) -> Any:
    learner = _learner()
    own = learner.init(jax.random.key(0)) if state is None else state
    inputs = (jnp.ones((64, 4)),) if score_inputs is None else score_inputs
    return learner.update(own, batch, inputs)


def _transform(grads: Any, state: Any, params: Any, inputs: Any) -> Any:
    redo = dormant.redo(_graph(), _init, optax.adam(0.1), tau=0.1, period=1)
    made = dormant.as_transformation(optax.adam(0.1), redo, jax.random.key(0))
    own = made.init(_PARAMS) if state is None else state
    return made.update(grads, own, params, inputs=inputs)


def _on_network(factory: Callable[..., Any], *names: str, **options: Any) -> tuple:
    given = {"graph": _graph, "init": lambda: _init, "optimizer": lambda: optax.adam(0.1)}
    return factory, {name: given[name]() for name in names} | options


def calls() -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """(function, arguments that are right) of what is public."""
    timing = {"period": 10, "start": 0, "end": None}
    network = ("graph", "init", "optimizer")
    redo = _on_network(dormant.redo, *network, tau=0.1, period=10)
    arguments = {
        "params": _PARAMS,
        "opt_state": None,
        "state": None,
        "inputs": jnp.ones((8, 4)),
    }
    makes = [
        lambda: dormant.redo(_graph(), _init, optax.adam(0.1), tau=0.1, period=1),
        lambda: dormant.track(_graph(), period=1),
        lambda: dormant.prune(_graph(), optax.adam(0.1), tau=0.1, period=1),
        lambda: dormant.combine(
            track=dormant.track(_graph(), period=1),
            redo=dormant.redo(_graph(), _init, optax.adam(0.1), tau=0.1, period=1),
        ),
    ]
    return [
        (dormant.trace, {"apply": _network, "params": _PARAMS, "inputs": jnp.ones((1, 4))}),
        redo,
        _on_network(dormant.track, "graph", taus=(0.0, 0.1), score_batch=None, **timing),
        _on_network(dormant.fixed_budget, *network, fraction=0.1),
        _on_network(dormant.layer_reset, *network),
        _on_network(dormant.prune, "graph", "optimizer", tau=0.0),
        *((_update(make), arguments) for make in makes),
        (parts.every, timing),
        (parts.below_threshold, {"tau": 0.1}),
        (parts.budget, {"fraction": 0.1, "order": "lowest"}),
        (parts.capped, {"selection": parts.below_threshold(0.1), "max_fraction": 0.5}),
        _on_network(parts.recycling, *network),
        (dormant.adaptive_tau, {"target_fraction": 0.1, "initial": 0.1, "step_size": 0.5}),
        (dormant.cosine_fraction, {"initial": 0.1, "end_step": 10}),
        (dormant.weight_decay, {"optimizer": optax.adam(0.1), "coefficient": 0.1, "kind": "l2"}),
        (dormant.dormancy_scores, {"activations": {"hidden": jnp.ones((8, 3))}}),
        (dormant.dormant_masks, {"scores": {"hidden": jnp.ones(3)}, "tau": 0.1}),
        (dormant.recycle, {"graph": _graph(), "params": _PARAMS, "fresh": _PARAMS,
                           "masks": {"hidden": jnp.ones(3, bool)}}),
        (replay.ReplayOptions, {"capacity": 100, "observation_shape": (4,), "stack_size": 1,
                                "update_horizon": 1, "discount": 0.9, "batch_size": 4}),
        (vectorized.Settings, {"num_environments": 4, "update_period": 4, "batch_size": 8,
                               "replay_capacity": 400, "min_replay_history": 80, "gamma": 0.9,
                               "update_horizon": 1, "epsilon_train": 0.1, "score_batch": 8,
                               "epsilon_decay_period": 100, "updates_per_burst": 1}),
        (vectorized.gymnax_environment, {"name": "CartPole-v1"}),
        (vectorized.MLP, {"num_actions": 2, "observation_shape": (4,), "dense": (8,)}),
        (vectorized.MinAtarCNN, {"num_actions": 2, "dense": (8,), "padding": "VALID"}),
        (learners.NatureCNN, {"num_actions": 2, "width": 1.0}),
        (learners.dqn, {"apply": lambda params, x: _network(params, x), "init": _init,
                        "optimizer": optax.adam(0.1), "discount": 0.9, "loss": "huber",
                        "target_period": 10}),
        (_learner_update, {"state": None, "batch": _batch(), "score_inputs": None}),
        (_transform, {"grads": _PARAMS, "state": None, "params": _PARAMS,
                      "inputs": jnp.ones((8, 4))}),
        (dormant.network_metrics, {"graph": _graph(), "params": _PARAMS,
                                   "activations": {"hidden": jnp.ones((8, 3))}}),
        (dormant.overlap_coefficient, {"masks_a": {"hidden": jnp.ones(3, bool)},
                                       "masks_b": {"hidden": jnp.ones(3, bool)}}),
        _on_network(dormant.intervene, "graph", selection=parts.below_threshold(0.1),
                    action=parts.recycling(_graph(), _init, optax.adam(0.1)), when=parts.every(2)),
        (learners.RainbowOptions, {"support": np.linspace(-1, 1, 5), "double": True}),
    ]  # fmt: skip


_WRONG = (
    *(None, True, -1, 0, 0.5, 1.5, 10**30, 2**31, 2**63, 1e308, float("nan"), float("inf")),
    *(-float("inf"), "", "0.1", "a", "a\nb", b"a", (), [], {}, (1, 2), [0.1, "a"], {"a": 1}, 1j),
    *(
        object(),
        int,
        len,
        np.float64("nan"),
        np.int64(-1),
        np.ones(3),
        np.ones((2, 2)),
        "x" * 5_000,
    ),
    *(jnp.ones(()), jnp.ones((8, 5)), jnp.ones((8, 4, 2)), jnp.ones(4), jnp.zeros((0, 4)), set()),
    *(np.array(["a"]), np.ones((8, 4), bool), optax.adam, optax.adam(0.1), parts.every()),
)


def _in_a_call(generator: random.Random) -> Mistake:
    function, right = generator.choice(calls())
    argument = generator.choice(list(right))
    own = () if argument != "state" else (_tracker_state(),)
    wrong = generator.choice((*_WRONG, _graph(), *own))
    name = getattr(function, "__qualname__", str(function))
    shown = repr(wrong).replace("\n", " ")[:40]

    def call() -> Any:
        given = right | {argument: wrong}
        if function is dormant.trace:
            return function(*given.values())
        return function(**given)

    return Mistake(f"{name}({argument}={shown})", call=call)
