# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The gin face of `dormant.regularizers`: `LearnerOptions.regularizers = (@L2Init(),)`.

What an option means, its default and its check stand with the function that takes it."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import optax

import dormant
from dormant import regularizers
from dormant.checks import errors_of
from dormant.runs.registered import REQUIRED, registered
from dormant.runs.smallest_network import smallest_network

# What a regularizer is given of the run; all else that it takes is an option.
_OF_RUN = ("optimizer", "graph", "learning_rate")


class Regularizer:
    """The options of a regularizer, which is put around an optimizer once there is a network.

    Raises:
      ConfigurationError: when an option is not allowed.
    """

    _FUNCTION: ClassVar[Callable[..., optax.GradientTransformation]]

    def __post_init__(self) -> None:
        self.around(optax.adam(1.0), smallest_network()["graph"], 1.0)

    def around(
        self,
        optimizer: optax.GradientTransformation,
        graph: dormant.NeuronGraph,
        learning_rate: float | optax.Schedule,
    ) -> optax.GradientTransformation:
        """The optimizer with the regularizer.

        Args:
          optimizer: what it is put around.
          graph: of the network that is trained.
          learning_rate: of the optimizer.

        Raises:
          ConfigurationError: when an option is not allowed or does not fit the network.
        """
        taken = inspect.signature(type(self)._FUNCTION).parameters
        given = {"optimizer": optimizer, "graph": graph, "learning_rate": learning_rate}
        if getattr(self, "kind", "decoupled") != "decoupled":
            given["learning_rate"] = None
        given = {name: value for name, value in given.items() if name in taken}
        with errors_of(type(self).__name__):
            return type(self)._FUNCTION(**given, **vars(self))


def _configured(name: str, function: Callable[..., Any]) -> type:
    """Registers a regularizer in gin, with the options and defaults of its function."""
    taken = inspect.signature(function).parameters.values()
    options = {
        each.name: REQUIRED if each.default is each.empty else each.default
        for each in taken
        if each.name not in _OF_RUN
    }
    return registered(name, Regularizer, options, function, [function], _FUNCTION=function)


L2Init = _configured("L2Init", regularizers.l2_init)
WeightClipping = _configured("WeightClipping", regularizers.weight_clipping)
Spectral = _configured("Spectral", regularizers.spectral_regularization)
Parseval = _configured("Parseval", regularizers.parseval_regularization)
IsometryDecay = _configured("IsometryDecay", regularizers.isometry_decay)
NormProjection = _configured("NormProjection", regularizers.norm_projection)
AdamRel = _configured("AdamRel", regularizers.adam_rel)
