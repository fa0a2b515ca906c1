# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The network of a checkpoint, its inputs and its loss, as the user names them."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from dormant import trace
from dormant.checks import ConfigurationError, first_line, shown_shapes
from dormant.graph import NeuronGraph, ParameterTree, plain_path
from dormant.probe.checkpoints import read_checkpoint

_FACTORY = (
    "pkg.module:function, which returns (apply, init), apply(params, *inputs) and init(key), or a"
    " Flax module"
)
_LOSS = "pkg.module:function, a loss(params, **arrays) -> float of the arrays in --inputs"


class Network(NamedTuple):
    """What is known of a checkpoint besides its arrays.

    Attributes:
      apply: `apply(params, *inputs) -> outputs`, of a batch.
      init: `init(key) -> params`.
      inputs: what the network is measured on, a tuple of arrays.
      gradient: `gradient(params) -> tree like params` of the loss; None without a loss.
      graph: its neuron graph.
    """

    apply: Callable
    init: Callable[[jax.Array], Any]
    inputs: tuple[Any, ...]
    gradient: Callable[[Any], Any] | None
    graph: NeuronGraph


def load_network(
    network: str, arrays: Mapping[str, np.ndarray], names: Sequence[str], loss: str | None
) -> Network:
    """What `--network` and `--loss` name, traced.

    Args:
      network, loss: as the options have them.
      arrays: by name; the loss is given all of them.
      names: of those that the network is given, in their order.

    Raises:
      ConfigurationError: when one cannot be loaded or does not fit the others.
    """
    given = tuple(arrays[name] for name in names)
    apply, init = _functions(_called("--network", _named("--network", network, _FACTORY)), given)
    gradient = None
    if loss is not None:
        function = _named("--loss", loss, _LOSS)

        def gradient(params: Any) -> Any:
            try:
                return jax.grad(lambda params: function(params, **arrays))(params)
            except Exception as error:  # of the user's function
                raise ConfigurationError(
                    f"--loss must be {_LOSS}, which are {', '.join(map(repr, arrays))}; got"
                    f" {type(error).__name__}: {first_line(error)}"
                ) from error

    return traced(apply, init, given, gradient)


def traced(
    apply: Callable,
    init: Callable[[jax.Array], Any],
    inputs: tuple[Any, ...],
    gradient: Callable[[Any], Any] | None,
) -> Network:
    """The network with its graph.

    Raises:
      ConfigurationError: it does not take the inputs, or cannot be followed.
    """
    try:
        params = jax.eval_shape(init, jax.random.key(0))
        jax.eval_shape(apply, params, *inputs)
    except Exception as error:  # of the user's network
        raise ConfigurationError(
            "--network must have an init that takes a key alone, and an apply that takes the"
            f" parameters and --inputs, {shown_shapes(inputs)}; got {first_line(error)}"
        ) from error
    try:
        graph = trace(apply, params, *inputs)
    except ValueError as error:  # a TraceError, or parameters or inputs that are refused
        raise ConfigurationError(
            f"--network must be one that dormant.trace follows; got {first_line(error)}"
        ) from error
    return Network(apply, init, inputs, gradient, graph)


def fitted(init: Callable[[jax.Array], Any], arrays: Mapping[str, np.ndarray], where: str) -> Any:
    """The parameters of the network with this initializer, out of the arrays of a checkpoint.

    Names may have more in front of them in the checkpoint than in the network, or lack its
    `params`; everything behind has to agree, shapes as well.

    Raises:
      ConfigurationError: the checkpoint is of another network, or holds several such.
    """
    template = jax.eval_shape(init, jax.random.key(0))
    tree = ParameterTree.of(template)
    wanted = dict(zip(tree.paths, jax.tree.leaves(template), strict=True))
    bare = {plain_path(name): array for name, array in arrays.items()}
    shortened = {path: plain_path(path) for path in wanted}
    if all(path.startswith("params/") for path in shortened.values()):
        dropped = {path: name.removeprefix("params/") for path, name in shortened.items()}
    else:
        dropped = shortened
    first = min(dropped.values(), key=len, default="")
    prefixes = [name.removesuffix(first) for name in bare
                if name == first or name.endswith("/" + first)]  # fmt: skip
    whole = [
        prefix for prefix in prefixes if all(prefix + name in bare for name in dropped.values())
    ]
    if not whole:
        missing = next((name for name in dropped.values() if name not in bare), first)
        raise ConfigurationError(
            f"--network must have the parameters of {where}, such as"
            f" {', '.join(list(bare)[:3])}; got one with {missing}"
        )
    if len(whole) > 1:
        names = ", ".join(prefix.strip("/") or "(all)" for prefix in whole)
        raise ConfigurationError(f"--part must name one of the networks in {where}: {names}")
    leaves = {path: bare[whole[0] + name] for path, name in dropped.items()}
    for path, leaf in leaves.items():
        if tuple(leaf.shape) != tuple(wanted[path].shape):
            turned = "; PyTorch's are (out, in)" if leaf.shape[::-1] == wanted[path].shape else ""
            raise ConfigurationError(
                f"--network must have the shapes of {where}, where {path} is {leaf.shape}; got one"
                f" with {wanted[path].shape}{turned}"
            )
    return tree.unflatten(
        {path: jnp.asarray(leaf, wanted[path].dtype) for path, leaf in leaves.items()}
    )


def load_inputs(text: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of FILE or FILE:name,name, and the names of those that the network is given."""
    file, colon, listed = text.rpartition(":")
    if not colon or Path(text).exists():
        file, listed = text, ""
    path = Path(file)
    if not path.is_file():
        raise ConfigurationError(
            f"--inputs must be a file of npz, npy or safetensors; got {text!r}"
        )
    arrays = read_checkpoint(path).arrays
    names = listed.split(",") if listed else list(arrays)
    for name in names:
        if name not in arrays:
            raise ConfigurationError(
                f"--inputs must name arrays of {', '.join(arrays)}; got {name!r}"
            )
    for name, array in arrays.items():
        if array.ndim == 0 or len(array) == 0:
            raise ConfigurationError(
                f"--inputs must hold batches of at least a row; {name} has the shape {array.shape}"
            )
    return {name: np.asarray(array) for name, array in arrays.items()}, names


def _named(option: str, text: str, allowed: str) -> Callable:
    """What pkg.module:name is, with the working directory among the places to look."""
    module_name, colon, name = text.partition(":")
    if not colon or not module_name or not name:
        raise ConfigurationError(f"{option} must be {allowed}; got {text!r}")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise ConfigurationError(
            f"{option} must be {allowed}; importing {module_name} says"
            f" {type(error).__name__}: {first_line(error)}"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigurationError(
            f"{option} must be {allowed}; {module_name} has no function {name}"
        )
    return function


def _called(option: str, function: Callable) -> Any:
    try:
        return function()
    except Exception as error:  # of the user's function
        raise ConfigurationError(
            f"{option} must be {_FACTORY}, called without arguments; got"
            f" {type(error).__name__}: {first_line(error)}"
        ) from error


def _functions(made: Any, inputs: Sequence[Any]) -> tuple[Callable, Callable]:
    if isinstance(made, nn.Module):
        return made.apply, lambda key: made.init(key, *inputs)
    is_pair = isinstance(made, tuple) and len(made) == 2 and all(map(callable, made))
    if not is_pair:
        got = type(made).__name__
        raise ConfigurationError(f"--network must be {_FACTORY}; got one that returns {got}")
    return made
