# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Our own run folders: network, replay and loss are rebuilt from what a run left."""

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from dormant import learners
from dormant.checks import ConfigurationError, first_line
from dormant.learners.networks import NETWORKS
from dormant.probe.checkpoints import Checkpoint
from dormant.probe.networks import Network, fitted, traced
from dormant.records.files import CHECKPOINTS_FOLDER
from dormant.replay import ReplayBuffer
from dormant.runs.checkpoints import Checkpoints, Damaged
from dormant.runs.members import members_of
from dormant.runs.saved_run import ITS_DEFAULT

# What a network and its loss are made of, in the settings of a run on the device.
_DEVICE = ("VectorizedDQN.", "GameSequence.")


class RunFolder(NamedTuple):
    """A run with its checkpoints.

    Attributes:
      base: the folder that holds the checkpoints.
      member: the folder in it of one of the runs side by side; "" for the first of them, or where
        there is one run alone.
      checkpoints: as the run wrote them.
    """

    base: Path
    member: str
    checkpoints: Checkpoints


class Saved(NamedTuple):
    """One checkpoint of a run."""

    checkpoint: Checkpoint
    settings: Mapping[str, str]  # gin's operative ones
    agent_step: int | None
    learner: Mapping[str, Any]  # of one member, nested dictionaries
    replay: Mapping[str, Any] | None  # of one member on the device, or of a run on the host
    on_device: bool
    runs: int = 1  # side by side


def find_run(path: Path) -> RunFolder | None:
    """The run of a folder: its own, or that of the runs side by side of which it is one."""
    if not path.is_dir():
        return None
    path = path.absolute()
    bases = (path, *path.parents[:3]) if path.name.startswith("seed_") else (path,)
    for base in bases:
        if any((base / CHECKPOINTS_FOLDER).glob("process_*")):
            member = "" if base == path else path.relative_to(base).as_posix()
            return RunFolder(base, member, Checkpoints(base / CHECKPOINTS_FOLDER))
    return None


def numbers(run: RunFolder) -> list[int]:
    """The run's checkpoints, the oldest first.

    Raises:
      ConfigurationError: there is none.
    """
    found = run.checkpoints.numbers()
    if not found:
        raise ConfigurationError(f"RUN_OR_CHECKPOINT must have a checkpoint; {run.base} has none")
    return found


def read(run: RunFolder, number: int) -> Saved:
    """One checkpoint of the run.

    Raises:
      ConfigurationError: it is damaged, or holds no network.
    """
    try:
        saved = run.checkpoints.load(number)
    except Damaged as error:
        raise ConfigurationError(str(error)) from error
    try:
        return _saved(run, number, saved)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigurationError(
            f"RUN_OR_CHECKPOINT must be a run of dormant; checkpoint {number} in {run.base} is laid"
            f" out otherwise: {type(error).__name__} {first_line(error)}"
        ) from error


def _saved(run: RunFolder, number: int, saved: Mapping[str, Any]) -> Saved:
    state = saved["state"]
    agent_step, replay, on_device, runs = None, None, False, 1
    if "run" in state:
        folders = _folders(saved["settings"])
        place = _place(run, folders)
        _check_not_failed(run, number, state.get("failed", {}).get(str(place)))
        part, index = _part(state["run"], place)
        runs = len(folders)
        replay = jax.tree.map(lambda leaf: leaf[index], part["replay"])
        learner = {name: jax.tree.map(lambda leaf: leaf[index], part["learner"][name])
                   for name in ("params", "target_params")}  # fmt: skip
        agent_step, on_device = int(part["agent_step"]), True
    else:
        inner = state.get("agent", state.get("fit", state))
        learner = inner.get("learner", {}) if isinstance(inner, dict) else {}
        replay = inner.get("replay") if isinstance(inner, dict) else None
        agent_step = inner.get("training_steps") if isinstance(inner, dict) else None
    if "params" not in learner:
        raise ConfigurationError(f"RUN_OR_CHECKPOINT must be of one network; {run.base} has none")
    path = run.base / CHECKPOINTS_FOLDER / "process_0" / str(number)
    arrays = _named(learner["params"])
    kind = "run on the device" if on_device else "run"
    checkpoint = Checkpoint(path, kind, number, arrays)
    # The rebuilt run takes the other defaults by itself.
    settings = {name: value for name, value in saved["settings"].items() if value != ITS_DEFAULT}
    return Saved(checkpoint, settings, agent_step, learner, replay, on_device, runs)


def network_of(saved: Saved, rows: int) -> Network:
    """The network, so many states of the replay, and the gradient of the loss on a batch of those.

    Raises:
      ConfigurationError: it is not known from the records alone.
    """
    if saved.on_device:
        return _device_network(saved, rows)
    return _host_network(saved, rows)


def replay_arrays(saved: Saved, rows: int) -> dict[str, np.ndarray]:
    """So many transitions of the replay, by the names of `learners.Batch`.

    Raises:
      ConfigurationError: the run has no replay that can be read.
    """
    batch = _device_batch(saved, rows)[0] if saved.on_device else _host_batch(saved, rows)
    return {name: np.asarray(array) for name, array in batch._asdict().items()}


def _device_network(saved: Saved, rows: int) -> Network:
    batch, agent, environment = _device_batch(saved, rows)
    from dormant.runs import interventions

    # An intervention may have wrapped the network.
    acting = saved.settings.get("LearnerOptions.intervention", "").strip("@()")
    wrap = getattr(getattr(interventions, acting, None), "WRAP", None)
    found = agent.q_network(environment, wrap=wrap)
    gradient = _gradient(found.apply, found.init, agent.discount, agent.loss, batch, saved)
    apply = jax.vmap(found.apply, in_axes=(None, 0))
    return Network(apply, found.init, (batch.state,), gradient, found.graph)


def _device_batch(saved: Saved, rows: int) -> tuple[learners.Batch, Any, Any]:
    agent, environment = _device_agent(saved.settings)
    from dormant import vectorized

    replay = vectorized.make_replay(environment, agent)

    @jax.jit
    def draw(ring: vectorized.Transitions) -> learners.Batch:
        return replay.batch(ring, replay.draw(jax.random.key(0), saved.agent_step or 0, (rows,)))

    return draw(vectorized.Transitions(**(saved.replay or {}))), agent, environment


def _device_agent(settings: Mapping[str, str]) -> tuple[Any, Any]:
    try:
        from dormant import vectorized
        from dormant.runs.gin_files import parse_gin
        from dormant.vectorized.agent import VectorizedDQN
        from dormant.vectorized.options import VectorizedRun  # noqa: F401  (registers more)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error}; what rebuilds a run is installed by: pip install 'dormant[vectorized]'"
        ) from error
    bindings = [f"{name} = {value}" for name, value in settings.items() if name.startswith(_DEVICE)]
    # A line of its own could import a module.
    if any("\n" in binding or "\r" in binding for binding in bindings):
        raise ConfigurationError("the run's settings must be one line each; got one of several")
    parse_gin([], bindings)
    agent = VectorizedDQN()
    environment = agent.environment
    if isinstance(environment, str):
        environment = vectorized.gymnax_environment(environment)
    return agent, environment


def _host_network(saved: Saved, rows: int) -> Network:
    settings = {name.rpartition("/")[2]: value for name, value in saved.settings.items()}
    known = {name: _literal(settings.get(f"DormantDQNAgent.{name}"), default)
             for name, default in (("network", "nature"), ("width", 1), ("activation", "relu"),
                                   ("loss", None))}  # fmt: skip
    is_dqn = any(name.startswith("DormantDQNAgent.") for name in settings)
    if not is_dqn or known["network"] not in NETWORKS:
        names = " or ".join(map(repr, NETWORKS))
        raise ConfigurationError(
            "--network and --inputs must name the network of this run and what it takes, as its"
            f" records tell them of DQN with the network {names} and of runs on the"
            " device alone"
        )
    batch = _host_batch(saved, rows)
    actions = int(np.shape(saved.learner["params"]["params"]["final_layer"]["bias"])[0])
    make = NETWORKS[known["network"]]
    module = make(actions, width=known["width"], activation=known["activation"])
    gamma = _literal(settings.get("JaxDQNAgent.gamma"), 0.99)
    horizon = _literal(settings.get("JaxDQNAgent.update_horizon"), 1)

    def init(key: jax.Array) -> Any:
        return module.init(key, batch.state[0])

    loss = known["loss"] or _literal(settings.get("JaxDQNAgent.loss_type"), "huber")
    gradient = _gradient(module.apply, init, gamma**horizon, loss, batch, saved)
    return traced(jax.vmap(module.apply, in_axes=(None, 0)), init, (batch.state,), gradient)


def _host_batch(saved: Saved, rows: int) -> learners.Batch:
    state = saved.replay
    if not isinstance(state, Mapping) or "fixed" not in state:
        raise ConfigurationError("--inputs must be given, as this run has no replay")
    try:
        buffer = ReplayBuffer.from_state(state)
        keys = buffer.draw_uniformly(np.random.default_rng(0), rows)
        return buffer.gather(keys)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the replay cannot be read: {first_line(error)}") from error


def _gradient(
    apply: Callable, init: Callable, discount: float, loss: str, batch: Any, saved: Saved
) -> Callable[[Any], Any]:
    """The gradient of DQN's loss on a batch, with the target network as it was saved."""
    # An optimizer whose state is the last gradient.
    learner = learners.dqn(apply, init, optax.trace(decay=0.0), discount=float(discount), loss=loss)

    def gradient(params: Any) -> Any:
        state = learner.init(jax.random.key(0))
        target = fitted(init, _named(saved.learner["target_params"]), "the target network")
        state = state._replace(params=params, target_params=target)
        return jax.jit(learner.step)(state, batch)[0].opt_state.trace

    return gradient


def _folders(settings: Mapping[str, str]) -> list[str]:
    """Those of the runs side by side, in the order of the checkpoint."""
    options = (settings.get(f"VectorizedRun.{name}") for name in ("seeds", "side_by_side"))
    seeds, side_by_side = (_literal(text, None) for text in options)
    first = _literal(settings.get("LearnerOptions.seed"), None) or 0
    return [each.folder for each in members_of("VectorizedRun", first, seeds, side_by_side)]


def _place(run: RunFolder, folders: list[str]) -> int:
    if run.member and run.member not in folders:
        raise ConfigurationError(
            f"RUN_OR_CHECKPOINT must be {run.base} or one of {', '.join(folders)} in it; got"
            f" {run.member}"
        )
    return folders.index(run.member) if run.member else 0


def _check_not_failed(run: RunFolder, number: int, failure: str | None) -> None:
    """Of a member that has failed a checkpoint holds zeros."""
    if failure is not None:
        raise ConfigurationError(
            f"RUN_OR_CHECKPOINT must be a run that has not failed; {run.base / run.member} has, and"
            f" checkpoint {number} holds none of its network: {failure}"
        )


def _part(state: Mapping[str, Any], member: int) -> tuple[Mapping[str, Any], int]:
    """The program's state that a member is in, and its place there."""
    parts = [state] if "learner" in state else [state[name] for name in sorted(state, key=int)]
    for part in parts:
        seeds = len(part["running_return"])
        if member < seeds:
            return part, member
        member -= seeds
    raise ConfigurationError("the run's folder must be of one of the members in its checkpoint")


def _named(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of nested dicts by their paths; that of one array alone is empty."""
    leaves = flatten_dict(tree, sep="/") if isinstance(tree, dict) else {"": tree}
    return {path: np.asarray(leaf) for path, leaf in leaves.items()}


def _literal(text: str | None, default: Any) -> Any:
    """What a value of gin is; what is no literal, as a reference, stays a text."""
    if text is None:
        return default
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
