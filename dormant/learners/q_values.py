"""Q-values: the functions that give them, their shapes, and those of the actions taken."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dormant.learners.targets import Params

# (params, observation without a batch dimension) -> q_values (A,)
QFunction = Callable[[Params, jax.Array], jax.Array]
# (params, observation without a batch dimension, key) -> q_values (A,)
KeyedQFunction = Callable[[Params, jax.Array, jax.Array], jax.Array]


def check_q_values(shape: tuple[int, ...]) -> None:
    """Raises ValueError unless `shape`, that of one observation's Q-values, is (A,)."""
    if len(shape) != 1:
        raise ValueError(
            "`apply` must map one observation without a batch dimension to q_values of shape (A,);"
            f" got {shape}"
        )


def of_actions(outputs: jax.Array, actions: jax.Array) -> jax.Array:
    """Picks each row's action: outputs (B, A, ...), integer actions (B,) -> (B, ...).

    An action out of range gives NaN, which stops a run, where indexing would take another action.
    """
    actions = jnp.where(actions < 0, outputs.shape[1], actions)
    index = actions.reshape(-1, *(1,) * (outputs.ndim - 1))
    return jnp.take_along_axis(outputs, index, axis=1)[:, 0]
