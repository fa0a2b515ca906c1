"""The optimizer that `create_optimizer.*` describes in gin; weight decay and per-entry counts."""

import inspect

import dopamine.jax.agents.dqn.dqn_agent as dopamine_dqn
import gin
import optax

import dormant
from dormant.agents.options import ConfigurationError


def create_optimizer(
    name: str, *, weight_decay: float = 0.0, per_entry_count: bool = False
) -> optax.GradientTransformation:
    """Dopamine's `create_optimizer(name)` as gin configures it.

    Args:
      name: "adam", "rmsprop" or "sgd".
      weight_decay: coefficient of an L2 term in the gradient, added before the optimizer scales it,
        as the released ReDo agent does.
      per_entry_count: Adam with one step count per parameter entry (`ReDo.adam_count`).

    Raises:
      ConfigurationError: when the name is unknown, or per-entry counts are asked of another
        optimizer than Adam.
    """
    if name not in ("adam", "rmsprop", "sgd"):
        raise ConfigurationError(
            f"JaxDQNAgent.optimizer must be one of 'adam', 'rmsprop', 'sgd'; received {name!r}"
        )
    if not per_entry_count:
        optimizer = dopamine_dqn.create_optimizer(name)
    elif name == "adam":
        optimizer = _adam_with_per_entry_count()
    else:
        raise ConfigurationError(
            f"ReDo.adam_count = 'per_entry' needs JaxDQNAgent.optimizer = 'adam'; received {name!r}"
        )
    if weight_decay > 0:
        optimizer = optax.chain(optax.add_decayed_weights(weight_decay), optimizer)
    return optimizer


def _adam_with_per_entry_count() -> optax.GradientTransformation:
    parameters = inspect.signature(dopamine_dqn.create_optimizer).parameters
    values = {name: parameter.default for name, parameter in parameters.items()}
    values |= gin.get_bindings("create_optimizer")
    learning_rate = values["learning_rate"]
    if values["anneal_learning_rate"]:
        learning_rate = optax.linear_schedule(learning_rate, 0.0, values["anneal_steps"])
    return dormant.adam(learning_rate, b1=values["beta1"], b2=values["beta2"], eps=values["eps"])
