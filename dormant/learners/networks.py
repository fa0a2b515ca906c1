# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The Q-networks of the paper: the nature CNN and the IMPALA ResNet, at any width, relu or leaky.
Parameter names and initializers are the released code's: parameters can be copied across."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from dormant.checks import check_choice, check_count, check_number

# Filters, kernel size and stride of the nature CNN's convolutions at width 1.
_NATURE_CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
# Filters of the three residual stacks of the IMPALA ResNet at width 1.
_IMPALA_STACKS = (32, 64, 64)
_DENSE_NEURONS = 512
# Leaky relu has slope 0.01 below 0, jax.nn's default (the paper's figure 21 names no slope).
_ACTIVATIONS = {"relu": nn.relu, "leaky_relu": nn.leaky_relu}


def _scaled(neurons: int, width: float) -> int:
    return math.ceil(neurons * width)


def _pixels_to_unit_interval(observation: jax.Array) -> jax.Array:
    return observation.astype(jnp.float32) / 255.0


def _dense_head(features: jax.Array, num_actions: int, width: float, activation: str) -> jax.Array:
    """Flattens (..., R, C, channels), adds the dense layer and the output layer: (..., A).

    To be called in a module's compact method, to which the two layers then belong.
    """
    initializer = nn.initializers.xavier_uniform()
    x = features.reshape((*features.shape[:-3], -1))
    x = nn.Dense(_scaled(_DENSE_NEURONS, width), kernel_init=initializer)(x)
    x = _ACTIVATIONS[activation](x)
    return nn.Dense(num_actions, kernel_init=initializer, name="final_layer")(x)


class _QNetwork(nn.Module):
    """What the networks of the paper share; see `NatureCNN`."""

    num_actions: int
    width: float = 1
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, tuple(_ACTIVATIONS))
        check_count("num_actions", self.num_actions, 1)
        check_number("width", self.width, above=0)
        super().__post_init__()


class NatureCNN(_QNetwork):
    """Nature DQN's network: three convolutions and a dense layer, each followed by the activation.

    `A` is the number of actions, `...` any leading batch dimensions, also none. With the variables
    of `init(key, observation)`, `apply` maps uint8 (..., 84, 84, 4) to float32 Q-values (..., A).
    The flatten is channels-last. All kernels are Xavier-uniform, all biases zero, as released.

    Attributes:
      num_actions: A, a whole number >= 1.
      width: multiplies the neurons of every hidden layer, rounded up (fig. 12 uses 1, 2 and 4).
      activation: "relu" or "leaky_relu" (fig. 21), wherever the network has one.

    Raises:
      ValueError: when an attribute is out of its range.
    """

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        initializer = nn.initializers.xavier_uniform()
        x = _pixels_to_unit_interval(observation)
        for filters, size, stride in _NATURE_CONVOLUTIONS:
            features = _scaled(filters, self.width)
            x = nn.Conv(features, (size, size), (stride, stride), kernel_init=initializer)(x)
            x = _ACTIVATIONS[self.activation](x)
        return _dense_head(x, self.num_actions, self.width, self.activation)


class ResidualStack(nn.Module):
    """One IMPALA stack: convolution, 3x3 max pooling with stride 2, then residual blocks.

    Maps float32 (..., R, C, channels) to (..., ceil(R / 2), ceil(C / 2), filters).

    Attributes:
      filters: number of filters of every convolution in the stack.
      num_blocks: residual blocks, of two convolutions each.
      activation: "relu" or "leaky_relu", before each of a block's convolutions.
    """

    filters: int
    num_blocks: int = 2
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(self.filters, (3, 3), kernel_init=nn.initializers.xavier_uniform())(x)
        x = nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding="SAME")
        activation = _ACTIVATIONS[self.activation]
        for _ in range(self.num_blocks):
            block_input = x
            # As released: only the first convolution is Xavier-uniform, these are Flax's default.
            x = nn.Conv(self.filters, (3, 3))(activation(x))
            x = nn.Conv(self.filters, (3, 3))(activation(x))
            x = x + block_input
        return x


class ImpalaResNet(_QNetwork):
    """The IMPALA ResNet: three residual stacks of 32, 64 and 64 filters and a dense layer.

    Inputs, outputs and errors are those of `NatureCNN`. The first kernel of each stack and those of
    the dense layers are Xavier-uniform, the others LeCun-normal, Flax's default; biases are zero.

    Attributes:
      num_actions, width, activation: as of `NatureCNN`.
    """

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        x = _pixels_to_unit_interval(observation)
        for index, filters in enumerate(_IMPALA_STACKS):
            x = ResidualStack(
                _scaled(filters, self.width), activation=self.activation, name=f"Stack_{index}"
            )(x)
        x = _ACTIVATIONS[self.activation](x)
        return _dense_head(x, self.num_actions, self.width, self.activation)


# By their names in gin. Both take images of uint8 and scale the pixels themselves.
NETWORKS = {"nature": NatureCNN, "impala": ImpalaResNet}
