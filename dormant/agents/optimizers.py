# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The optimizer that `create_optimizer.*` describes in gin; weight decay and per-entry counts."""

import inspect

import dopamine.jax.agents.dqn.dqn_agent as dopamine_dqn
import gin
import optax

import dormant
from dormant.checks import require, require_choice


def create_optimizer(
    name: str,
    *,
    weight_decay: float = 0.0,
    weight_decay_kind: str = "l2",
    per_entry_count: bool = False,
    option: str = "JaxDQNAgent.optimizer",
) -> optax.GradientTransformation:
    """Dopamine's `create_optimizer(name)` as gin configures it.

    Args:
      name: "adam", "rmsprop" or "sgd".
      weight_decay: coefficient of the weight decay.
      weight_decay_kind: "l2", a term added to the gradient before the optimizer scales it, as the
        released ReDo agent does; or "decoupled", a step towards 0 beside it (AdamW).
      per_entry_count: Adam with one step count per parameter entry (`adam_count`).
      option: where gin sets the name, for errors.

    Raises:
      ConfigurationError: when the name is unknown, or per-entry counts are asked of another
        optimizer than Adam.
    """
    require_choice(option, name, ("adam", "rmsprop", "sgd"))
    if per_entry_count:
        allowed = "'adam' where the intervention's adam_count is 'per_entry'"
        require(name == "adam", option, allowed, name)
        optimizer = _adam_with_per_entry_count()
    else:
        optimizer = dopamine_dqn.create_optimizer(name)
    if weight_decay > 0:
        rate = _learning_rate() if weight_decay_kind == "decoupled" else None
        optimizer = dormant.weight_decay(
            optimizer, weight_decay, kind=weight_decay_kind, learning_rate=rate
        )
    return optimizer


def _adam_with_per_entry_count() -> optax.GradientTransformation:
    values = _options()
    b1, b2 = values["beta1"], values["beta2"]
    return dormant.adam(_learning_rate(), b1=b1, b2=b2, eps=values["eps"])


def _learning_rate() -> optax.ScalarOrSchedule:
    values = _options()
    if values["anneal_learning_rate"]:
        return optax.linear_schedule(values["learning_rate"], 0.0, values["anneal_steps"])
    return values["learning_rate"]


def _options() -> dict:
    """What gin binds to Dopamine's `create_optimizer`, and its defaults."""
    parameters = inspect.signature(dopamine_dqn.create_optimizer).parameters
    values = {name: parameter.default for name, parameter in parameters.items()}
    return values | gin.get_bindings("create_optimizer")
