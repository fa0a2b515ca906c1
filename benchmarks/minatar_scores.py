"""The reference scores of gymnax's MinAtar games, as rows of dormant/evaluation/data.

    python benchmarks/minatar_scores.py RUNS

Score 0 is a random policy: the mean return of the first episode of each of 1 000 environments.
Score 1 is DQN after 1M agent steps: the mean over the seeds of the last iteration. RUNS holds a
folder for each game, made by

    python -m dormant.train_vectorized --gin_files=gin_configs/vectorized/dqn.gin \\
        --base_dir=RUNS/<game> --gin_bindings='VectorizedDQN.environment = "<game>"'
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dormant.evaluation.seeds import read_seeds
from dormant.evaluation.summary import mean_return
from dormant.vectorized import gymnax_environment

GAMES = ("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "SpaceInvaders-MinAtar")
ENVIRONMENTS = 1_000
# The longest episode, Freeway's; no other is cut off later.
STEPS = 2_500


def random_returns(game: str, seed: int = 0) -> np.ndarray:
    """(ENVIRONMENTS,) the return of the first episode of each environment, actions uniform."""
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

    total, done = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(seed), ENVIRONMENTS))
    if not done.all():
        raise RuntimeError(f"an episode of {game} did not end within {STEPS} agent steps")
    return np.asarray(total)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="?", help="folder of the DQN runs")
    folder = parser.parse_args().runs
    print("kind,game,random,reference")
    for game in GAMES:
        returns = random_returns(game)
        spread = returns.std() / np.sqrt(returns.size)
        reference = ""
        if folder is not None:
            last = [mean_return(run.iterations[-1]) for run in read_seeds(folder / game)]
            reference = f"{np.mean(last):.4g}"
        print(f"dqn,{game},{returns.mean():.4g},{reference}", flush=True)
        print(f"# random: standard error {spread:.2g}")


if __name__ == "__main__":
    main()
