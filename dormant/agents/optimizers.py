# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The optimizer that `create_optimizer.*` describes in gin, with what an agent's options add."""

import inspect
from collections.abc import Mapping
from typing import Any

import dopamine.jax.agents.dqn.dqn_agent as dopamine_dqn
import gin
import optax

import dormant
from dormant.checks import require_choice, require_count, require_flag, require_number
from dormant.runs.options import LearnerOptions


def create_optimizer(
    name: str, options: LearnerOptions, option: str, graph: dormant.NeuronGraph
) -> optax.GradientTransformation:
    """Dopamine's `create_optimizer(name)` as gin configures it, with what an agent's options add.

    Args:
      name: "adam", "rmsprop" or "sgd".
      options: whose regularizers, weight decay and per-entry count of Adam's steps it has.
      option: where gin sets the name, for errors.
      graph: of the network that is trained.

    Raises:
      ConfigurationError: when the name is unknown or an option of `create_optimizer.*` is not
        allowed.
    """
    require_choice(option, name, ("adam", "rmsprop", "sgd"))
    parameters = inspect.signature(dopamine_dqn.create_optimizer).parameters.values()
    values = {parameter.name: parameter.default for parameter in parameters}
    values |= gin.get_bindings("create_optimizer")
    _check(values)
    rate = values["learning_rate"]
    if values["anneal_learning_rate"]:
        rate = optax.linear_schedule(rate, 0.0, values["anneal_steps"])
    return options.finished(dopamine_dqn.create_optimizer(name), graph, rate)


def _check(values: Mapping[str, Any]) -> None:
    option = "create_optimizer.{}".format
    require_number(option("learning_rate"), values["learning_rate"], 0)
    for decay in ("beta1", "beta2"):
        require_number(option(decay), values[decay], 0, below=1)
    require_number(option("eps"), values["eps"], 0)
    for flag in ("centered", "anneal_learning_rate"):
        require_flag(option(flag), values[flag])
    require_count(option("anneal_steps"), values["anneal_steps"], 1, "gradient steps")
