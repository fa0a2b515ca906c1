# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Networks for MinAtar and classic control: one convolution and dense layers, or dense layers."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from dormant import layers
from dormant.checks import check, check_choice, check_count, check_flag
from dormant.xla_cpu import is_cpu

_KERNEL = (3, 3)
_BORDERS = {"VALID": 0, "SAME": 1}
_INITIALIZER = nn.initializers.xavier_uniform()
# To be called in a module's compact method, to which their parameters then belong.
_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "crelu": layers.concatenated_relu,
    "fourier": layers.deep_fourier_features,
    "tanh": jnp.tanh,
    "adaptive_linear": lambda x: layers.linen.AdaptiveLinear()(x),
    "smooth_leaky_relu": layers.smooth_leaky_relu,
}


class ConvolutionAsProduct(nn.Module):
    """A 3 x 3 convolution of stride 1 on a CPU, with the parameters of `flax.linen.Conv`.

    XLA on CPU runs convolutions inside loops about ten times slower than outside. Laying the
    nine pixels under each place of the kernel side by side, and one matrix product, is as fast
    inside. Goes when they are as fast: row "convolution as a product" of the table xla_cpu in
    `benchmarks/RESULTS.md`.

    Attributes:
      filters: F, number of filters.
      padding: "VALID" or "SAME".
    """

    filters: int
    padding: str = "VALID"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """float (..., R, C, channels) -> (..., R', C', F)."""
        channels = x.shape[-1]
        kernel = self.param("kernel", _INITIALIZER, (*_KERNEL, channels, self.filters))
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        patches = _pixels_under_kernel(x, _BORDERS[self.padding])
        kernel = kernel.reshape(-1, self.filters)
        return _product(patches, kernel, (((patches.ndim - 1,), (0,)), ((), ()))) + bias


class MinAtarCNN(nn.Module):
    """A 3 x 3 convolution and dense layers, each followed by an activation, and a linear head.

    `A` is the number of actions, `...` any leading batch dimensions, also none. With the variables
    of `init(key, observation)`, `apply` maps (..., 10, 10, channels) to float32 Q-values (..., A).
    The flatten is channels-last. All kernels are Xavier-uniform, all biases zero. By default it is
    the network of the MinAtar paper (Young and Tian, 2019); with `dense=()` and `padding="SAME"`
    it is Dopamine's `MinatarDQNNetwork`, names of the parameters included.

    Attributes:
      num_actions: A, a whole number >= 1.
      filters: of the convolution.
      dense: neurons of each dense layer before the head.
      padding: of the convolution, "VALID" or "SAME".
      activation: "relu", "tanh", or one of `dormant.layers`: "crelu" and "fourier", which give
        each layer twice the values, "adaptive_linear" (of relu) and "smooth_leaky_relu".
      layer_norm: whether a LayerNorm over the neurons (channels) stands before each activation.
      on_cpu: whether to compute as is fastest on a CPU; None: where `xla_cpu.is_cpu()`. The
        parameters are the same, the outputs equal up to rounding.

    Raises:
      ValueError: when an attribute is out of its range.
    """

    num_actions: int
    filters: int = 16
    dense: Sequence[int] = (128,)
    padding: str = "VALID"
    activation: str = "relu"
    layer_norm: bool = False
    on_cpu: bool | None = None

    def __post_init__(self) -> None:
        _check_neurons(num_actions=[self.num_actions], filters=[self.filters], dense=self.dense)
        check_activation(self.activation, self.layer_norm)
        check_choice("padding", self.padding, tuple(_BORDERS))
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        on_cpu = is_cpu() if self.on_cpu is None else self.on_cpu
        plain = functools.partial(nn.Conv, kernel_size=_KERNEL, kernel_init=_INITIALIZER)
        convolution = ConvolutionAsProduct if on_cpu else plain
        layer = convolution(self.filters, padding=self.padding, name="Conv_0")
        x = _activated(layer(observation.astype(jnp.float32)), self.activation, self.layer_norm)
        return _dense_layers(self, x.reshape(*x.shape[:-3], -1), on_cpu)


class MLP(nn.Module):
    """Dense layers, each followed by an activation, and a linear head on the flattened observation.

    With the variables of `init(key, observation)`, `apply` maps (..., *observation_shape) to
    float32 Q-values (..., A), with any leading batch dimensions `...`, also none. All kernels are
    Xavier-uniform, all biases zero.

    Attributes:
      num_actions: A, a whole number >= 1.
      observation_shape: of one observation.
      dense: neurons of each hidden layer.
      activation, layer_norm, on_cpu: as for `MinAtarCNN`.

    Raises:
      ValueError: when an attribute is out of its range.
    """

    num_actions: int
    observation_shape: Sequence[int]
    dense: Sequence[int] = (128, 128)
    activation: str = "relu"
    layer_norm: bool = False
    on_cpu: bool | None = None

    def __post_init__(self) -> None:
        _check_neurons(num_actions=[self.num_actions], dense=self.dense)
        check_activation(self.activation, self.layer_norm)
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        leading = observation.shape[: observation.ndim - len(self.observation_shape)]
        x = observation.astype(jnp.float32).reshape(*leading, math.prod(self.observation_shape))
        on_cpu = is_cpu() if self.on_cpu is None else self.on_cpu
        return _dense_layers(self, x, on_cpu)


def _pixels_under_kernel(x: jax.Array, border: int) -> jax.Array:
    """(..., R, C, channels) -> (..., R', C', 9 * channels): what each place of the kernel sees."""
    borders = ((0, 0),) * (x.ndim - 3) + ((border, border), (border, border), (0, 0))
    x = jnp.pad(x, borders)
    # Columns first, then rows: two passes of longer pieces, where nine shifts copy single pixels.
    for axis, size in ((-2, _KERNEL[1]), (-3, _KERNEL[0])):
        places = x.shape[axis] - size + 1
        shifted = [
            jax.lax.slice_in_dim(x, offset, offset + places, axis=axis) for offset in range(size)
        ]
        x = jnp.concatenate(shifted, axis=-1)
    return x


def _product(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **options: Any) -> jax.Array:
    """`jax.lax.dot_general` of (..., K) and (K, F) for few F, whose gradient is fast on CPU too.

    XLA on CPU has no fast kernel for the gradient (K, F) of several seeds, but has for (F, K). The
    barrier keeps it from turning the one into the other. Goes when it has one for both: row "head
    of few actions" of the table xla_cpu in `benchmarks/RESULTS.md`.
    """
    kernel = jax.lax.optimization_barrier(kernel.T)
    (axis, _), batch = dimension_numbers
    return jax.lax.dot_general(x, kernel, ((axis, (1,)), batch), **options)


def _activated(x: jax.Array, activation: str, layer_norm: bool) -> jax.Array:
    """To be called in a module's compact method, as `_dense_layers`."""
    return _ACTIVATIONS[activation](nn.LayerNorm()(x) if layer_norm else x)


def _dense_layers(network: MinAtarCNN | MLP, x: jax.Array, on_cpu: bool) -> jax.Array:
    """To be called in the network's compact method: the layers then belong to it."""
    for neurons in network.dense:
        x = nn.Dense(neurons, kernel_init=_INITIALIZER)(x)
        x = _activated(x, network.activation, network.layer_norm)
    product = _product if on_cpu else jax.lax.dot_general
    return nn.Dense(network.num_actions, kernel_init=_INITIALIZER, dot_general=product)(x)


def check_activation(activation: str, layer_norm: bool) -> None:
    """Raises ValueError unless these are options of the networks here."""
    check_choice("activation", activation, tuple(_ACTIVATIONS))
    check_flag("layer_norm", layer_norm)


def _check_neurons(**layers: Sequence[int]) -> None:
    for name, sizes in layers.items():
        check(isinstance(sizes, Sequence), name, "whole numbers >= 1 in a sequence", sizes)
        for neurons in sizes:
            check_count(name, neurons, 1)
