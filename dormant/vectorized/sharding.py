# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The same program with its seeds spread over devices, of this host or of many.

Each device runs the program of its own seeds; nothing is exchanged between devices."""

import socket
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dormant.checks import check, check_count
from dormant.runs.compiling import on_hardware
from dormant.vectorized.program import Hyperparameters, Program, Progress, RunState, axes_of_run

# After so long without a sign of life of one process all others end; JAX's own 100 are over a
# minute.
_HEARTBEAT_SECONDS = 30
_AXIS = "seeds"
_ONE_EACH, _SHARED = PartitionSpec(_AXIS), PartitionSpec()


def shard(program: Program, devices: Sequence[jax.Device] | Mesh | None = None) -> Program:
    """The program with its seeds split evenly over devices.

    With several processes each of them calls the same functions with the same arguments, keys and
    hyperparameters of all seeds included, and reads the results of its own seeds with `to_host`.

    Args:
      program: as `make_program` returns it.
      devices: devices, or a mesh whose devices are used whatever its axes; None for all devices of
        all processes.

    Returns:
      A `Program` with the same interface whose arrays are sharded along the seeds.

    Raises:
      ValueError: when there is no device; from `init`, when the number of seeds is not a multiple
        of the number of devices.
    """
    mesh = Mesh(_devices(devices), (_AXIS,))

    @jax.jit
    def compiled_init(keys: jax.Array, hyperparameters: Hyperparameters) -> RunState:
        specs = specs_of(jax.eval_shape(program.init, keys, hyperparameters))
        init_shard = _shard_map(program.init, mesh, (_ONE_EACH, _ONE_EACH), specs)
        return init_shard(keys, hyperparameters)

    def init(keys: jax.Array, hyperparameters: Hyperparameters | None = None) -> RunState:
        hyperparameters = dict(hyperparameters or {})
        jax.eval_shape(program.init, keys, hyperparameters)  # whose errors name the arguments
        if keys.shape[0] % mesh.size:
            raise ValueError(
                f"`keys` must hold a multiple of {mesh.size} seeds, the number of devices;"
                f" got {keys.shape[0]}"
            )
        if isinstance(keys, jax.core.Tracer):
            return compiled_init(keys, hyperparameters)
        given = (jax.random.key_data(keys), hyperparameters)
        key_data, spread = jax.tree.map(lambda values: _spread(np.asarray(values), mesh), given)
        keys = jax.random.wrap_key_data(key_data, impl=jax.random.key_impl(keys))
        return compiled_init(keys, spread)

    def run(function: Any, state: RunState) -> tuple[RunState, Progress]:
        # Traced here first: what `dormant.trace` reads within a mesh, and remembers, would not fit
        # another mesh of the same process.
        jax.eval_shape(function, state)
        specs = specs_of(state)
        return _shard_map(function, mesh, (specs,), (specs, _ONE_EACH))(state)

    def fill(state: RunState) -> tuple[RunState, Progress]:
        return run(program.fill, state)

    def advance(state: RunState, rounds: int) -> tuple[RunState, Progress]:
        return run(lambda state: program.advance(state, rounds), state)

    def evaluate(state: RunState, episodes: int) -> tuple[jax.Array, jax.Array]:
        def function(state: RunState) -> tuple[jax.Array, jax.Array]:
            return program.evaluate(state, episodes)

        jax.eval_shape(function, state)  # as in `run`
        return _shard_map(function, mesh, (specs_of(state),), _ONE_EACH)(state)

    return Program(
        init,
        jax.jit(fill, donate_argnums=0),
        jax.jit(advance, donate_argnums=0, static_argnums=1),
        jax.jit(evaluate, static_argnums=1),
    )


def specs_of(state: RunState) -> RunState:
    """The prefix tree of a run's state that says which leaves `shard` splits over the seeds."""
    return jax.tree.map(
        lambda axis: _SHARED if axis is None else _ONE_EACH,
        axes_of_run(state),
        is_leaf=lambda axis: axis is None,
    )


def shapes_on_devices(
    init: Any, keys: Any, hyperparameters: Any, devices: Sequence[jax.Device]
) -> tuple[RunState, Any, Any]:
    """Shapes of a run's state and of what `init` makes it of, placed as `shard` places the arrays.

    Args:
      init: of the program.
      keys, hyperparameters: shapes of those of all seeds.
      devices: as for `shard`.
    """
    mesh = Mesh(_devices(devices), (_AXIS,))

    def placed(spec: PartitionSpec, tree: Any) -> Any:
        return on_hardware(tree, NamedSharding(mesh, spec))

    state = jax.eval_shape(init, keys, hyperparameters)
    given = placed(_ONE_EACH, (keys, hyperparameters))
    return jax.tree.map(placed, specs_of(state), state), *given


def usable_devices(seeds: int, devices: int) -> int:
    """The most devices, out of so many, over which so many seeds can be split evenly."""
    return max(number for number in range(1, devices + 1) if seeds % number == 0)


def local_seeds(number: int, devices: Sequence[jax.Device] | Mesh | None = None) -> list[int]:
    """Which of `number` seeds this process holds after `shard` with the same devices, ascending."""
    mesh = Mesh(_devices(devices), (_AXIS,))
    allowed = f"a multiple of {mesh.size}, the number of devices"
    check(number % mesh.size == 0, "number", allowed, number)
    process_of = np.repeat([device.process_index for device in mesh.devices], number // mesh.size)
    return np.flatnonzero(process_of == jax.process_index()).tolist()


def initialize_distributed(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins this process to the others of a run; to be called before anything else uses JAX.

    On a TPU pod slice, and under Slurm or Open MPI, without arguments: JAX finds the others itself.

    Args:
      coordinator_address: "host:port" of process 0.
      num_processes: number of processes.
      process_id: of this one, 0 to num_processes - 1.

    Raises:
      ValueError: when only some arguments are given, or one is out of its range.
      RuntimeError: when JAX has been used already, the coordinator's port is taken, or the others
        cannot be reached.
    """
    given: dict[str, Any] = {
        "coordinator_address": coordinator_address,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing and len(missing) < len(given):
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in given)} must be given all three, or none of them;"
            f" got none for {', '.join(missing)}"
        )
    if not missing:
        _check_place(coordinator_address, num_processes, process_id)
        if process_id == 0:
            _check_port(str(coordinator_address))
    jax.distributed.initialize(**given, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS)


def _check_place(coordinator_address: Any, num_processes: Any, process_id: Any) -> None:
    host, _, port = str(coordinator_address).rpartition(":")
    is_address = bool(host) and port.isdigit()
    check(is_address, "coordinator_address", "'host:port'", coordinator_address)
    check_count("num_processes", num_processes, 1)
    check_count("process_id", process_id, 0)
    allowed = f"below `num_processes`, {num_processes}"
    check(process_id < num_processes, "process_id", allowed, process_id)


def _check_port(address: str) -> None:
    """Checks that process 0 can listen where the others look for it: JAX itself ends the process
    without a word of Python where it cannot."""
    try:
        with socket.socket() as listening:
            # As JAX does: connections of a process before this one may not be over yet.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("", int(address.rpartition(":")[2])))
    except OSError as error:
        raise RuntimeError(
            "the port of `coordinator_address` must be free on the host of process 0; got"
            f" {address}: {error.strerror}"
        ) from error


def _devices(devices: Sequence[jax.Device] | Mesh | None) -> np.ndarray:
    if devices is None:
        devices = jax.devices()
    listed = np.asarray(devices.devices if isinstance(devices, Mesh) else devices, object).ravel()
    if listed.size == 0:
        raise ValueError(f"`devices` must be None or hold at least one device; got {devices!r}")
    return listed


def _spread(values: np.ndarray, mesh: Mesh) -> jax.Array:
    """A global array of which this process makes its own part."""
    sharding = NamedSharding(mesh, _ONE_EACH)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def _shard_map(function: Any, mesh: Mesh, in_specs: Any, out_specs: Any) -> Any:
    # Unchecked: the counters are the same on all devices, which JAX cannot see.
    return jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )
