# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a random policy scores on gymnax's MinAtar games: score 0 in dormant/report/data.

    python benchmarks/minatar_scores.py

The mean return of the first episode of each of 1 000 environments. (Score 1 is not measured here:
it is the return of PPO that gymnax's README gives.)
"""

import jax
import jax.numpy as jnp
import numpy as np

from dormant.vectorized import gymnax_environment

GAMES = ("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "SpaceInvaders-MinAtar")
ENVIRONMENTS = 1_000
# The longest episode, Freeway's; no other is cut off later.
STEPS = 2_500


def random_returns(game: str, seed: int = 0, environments: int = ENVIRONMENTS) -> np.ndarray:
    """(environments,) the return of the first episode of each environment, actions uniform."""
    environment = gymnax_environment(game)

    def play(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        reset_key, key = jax.random.split(key)
        state, _ = environment.reset(reset_key)

        def advance(carry, key):
            state, total, done = carry
            action_key, step_key = jax.random.split(key)
            action = jax.random.randint(action_key, (), 0, environment.num_actions)
            step = environment.step(state, action, step_key)
            total = total + jnp.where(done, 0.0, step.reward)
            return (step.state, total, done | step.terminal | step.truncated), None

        first = (state, jnp.float32(0), jnp.bool_(False))
        (_, total, done), _ = jax.lax.scan(advance, first, jax.random.split(key, STEPS))
        return total, done

    total, done = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(seed), environments))
    if not done.all():
        raise RuntimeError(f"an episode of {game} did not end within {STEPS} agent steps")
    return np.asarray(total)


def main() -> None:
    for game in GAMES:
        returns = random_returns(game)
        error = returns.std() / np.sqrt(returns.size)
        print(f"{game}: {returns.mean():.4g}, standard error {error:.2g}", flush=True)


if __name__ == "__main__":
    main()
