# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""PureJaxRL's PPO on gymnax's CartPole with ReDo: the whole training is one compiled program.
The lines that end with `# dormant` are all that ReDo adds; without them this is plain PPO."""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.linen.initializers import orthogonal
from flax.training.train_state import TrainState
from gymnax.wrappers.purerl import LogWrapper

import dormant  # dormant

CONFIG = {
    "LR": 2.5e-3,
    "NUM_ENVS": 4,
    "NUM_STEPS": 128,
    "TOTAL_TIMESTEPS": 100_000,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ENV_NAME": "CartPole-v1",
    "REDO_TAU": 0.1,  # dormant
    "REDO_PERIOD": 500,  # dormant
}


class ActorCritic(nn.Module):
    action_dim: int

    @nn.compact
    def __call__(self, x):
        def mlp(outputs: int, scale: float):
            y = x
            for _ in range(2):
                y = nn.relu(nn.Dense(64, kernel_init=orthogonal(np.sqrt(2)))(y))
            return nn.Dense(outputs, kernel_init=orthogonal(scale))(y)

        return mlp(self.action_dim, 0.01), mlp(1, 1.0).squeeze(-1)


class Transition(NamedTuple):
    done: jax.Array
    action: jax.Array
    value: jax.Array
    reward: jax.Array
    log_prob: jax.Array
    obs: jax.Array
    info: dict[str, jax.Array]


def log_prob_of(logits: jax.Array, action: jax.Array) -> jax.Array:
    return jnp.take_along_axis(nn.log_softmax(logits), action[..., None], -1).squeeze(-1)


def make_train(config: dict[str, Any]) -> Callable[[jax.Array], dict[str, jax.Array]]:
    batch_size = config["NUM_ENVS"] * config["NUM_STEPS"]
    num_updates = config["TOTAL_TIMESTEPS"] // batch_size
    env, env_params = gymnax.make(config["ENV_NAME"])
    env = LogWrapper(env)

    def train(rng):
        # INIT NETWORK
        network = ActorCritic(env.action_space(env_params).n)
        rng, init_rng, redo_rng, reset_rng = jax.random.split(rng, 4)
        init_x = jnp.zeros((1, *env.observation_space(env_params).shape))

        def init(rng):
            return network.init(rng, init_x)

        params = init(init_rng)
        gradient_steps = num_updates * config["UPDATE_EPOCHS"] * config["NUM_MINIBATCHES"]
        tx = optax.chain(
            optax.clip_by_global_norm(config["MAX_GRAD_NORM"]),
            optax.adam(optax.linear_schedule(config["LR"], 0.0, gradient_steps), eps=1e-5),
        )
        graph = dormant.trace(network.apply, params, init_x)  # dormant
        redo = dormant.redo(graph, init, tx, config["REDO_TAU"], config["REDO_PERIOD"])  # dormant
        tx = dormant.as_transformation(tx, redo, redo_rng)  # dormant
        train_state = TrainState.create(apply_fn=network.apply, params=params, tx=tx)

        # INIT ENV
        reset_rngs = jax.random.split(reset_rng, config["NUM_ENVS"])
        obsv, env_state = jax.vmap(env.reset, (0, None))(reset_rngs, env_params)

        # TRAIN LOOP
        def _update_step(runner_state, _):
            # COLLECT TRAJECTORIES
            def _env_step(runner_state, _):
                train_state, env_state, last_obs, rng = runner_state
                rng, action_rng, step_rng = jax.random.split(rng, 3)
                logits, value = network.apply(train_state.params, last_obs)
                action = jax.random.categorical(action_rng, logits)
                step_rngs = jax.random.split(step_rng, config["NUM_ENVS"])
                obsv, env_state, reward, terminated, truncated, info = jax.vmap(
                    env.step, (0, 0, 0, None)
                )(step_rngs, env_state, action, env_params)
                transition = Transition(
                    terminated | truncated, action, value, reward, log_prob_of(logits, action),
                    last_obs, info,
                )  # fmt: skip
                return (train_state, env_state, obsv, rng), transition

            runner_state, traj_batch = jax.lax.scan(
                _env_step, runner_state, None, config["NUM_STEPS"]
            )

            # CALCULATE ADVANTAGE
            train_state, env_state, last_obs, rng = runner_state
            _, last_val = network.apply(train_state.params, last_obs)

            def _get_advantages(gae_and_next_value, transition):
                gae, next_value = gae_and_next_value
                continues = config["GAMMA"] * (1 - transition.done)
                delta = transition.reward + continues * next_value - transition.value
                gae = delta + continues * config["GAE_LAMBDA"] * gae
                return (gae, transition.value), gae

            _, advantages = jax.lax.scan(
                _get_advantages, (jnp.zeros_like(last_val), last_val), traj_batch, reverse=True
            )
            targets = advantages + traj_batch.value

            # UPDATE NETWORK
            def _update_minibatch(train_state, batch):
                traj, gae, targets = batch

                def _loss_fn(params):
                    logits, value = network.apply(params, traj.obs)
                    clip = config["CLIP_EPS"]
                    clipped = traj.value + (value - traj.value).clip(-clip, clip)
                    losses = jnp.maximum((value - targets) ** 2, (clipped - targets) ** 2)
                    ratio = jnp.exp(log_prob_of(logits, traj.action) - traj.log_prob)
                    scaled = (gae - gae.mean()) / (gae.std() + 1e-8)
                    gain = jnp.minimum(ratio * scaled, ratio.clip(1 - clip, 1 + clip) * scaled)
                    log_probs = nn.log_softmax(logits)
                    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1).mean()
                    value_loss = config["VF_COEF"] * 0.5 * losses.mean()
                    return value_loss - gain.mean() - config["ENT_COEF"] * entropy

                loss, grads = jax.value_and_grad(_loss_fn)(train_state.params)
                # What `train_state.apply_gradients` does, which has no inputs to pass on.
                updates, opt_state = train_state.tx.update(
                    grads,
                    train_state.opt_state,
                    train_state.params,
                    inputs=traj.obs,  # dormant
                )
                params = optax.apply_updates(train_state.params, updates)
                return train_state.replace(params=params, opt_state=opt_state), loss

            def _update_epoch(carry, _):
                train_state, rng = carry
                rng, permutation_rng = jax.random.split(rng)
                permutation = jax.random.permutation(permutation_rng, batch_size)

                def shuffle(x):
                    x = x.reshape((batch_size, *x.shape[2:]))[permutation]
                    return x.reshape((config["NUM_MINIBATCHES"], -1, *x.shape[1:]))

                minibatches = jax.tree.map(shuffle, (traj_batch, advantages, targets))
                train_state, loss = jax.lax.scan(_update_minibatch, train_state, minibatches)
                return (train_state, rng), loss

            (train_state, rng), loss = jax.lax.scan(
                _update_epoch, (train_state, rng), None, config["UPDATE_EPOCHS"]
            )
            returns = traj_batch.info["returned_episode_returns"]
            metric = {"episodic_return": returns[-1].mean(), "loss": loss.mean()}
            report = train_state.opt_state.intervention.report  # dormant
            metric["dormant"] = report.dormant_fraction(config["REDO_TAU"])  # dormant
            metric["recycled"] = report.recycled_total  # dormant
            return (train_state, env_state, last_obs, rng), metric

        runner_state = (train_state, env_state, obsv, rng)
        return jax.lax.scan(_update_step, runner_state, None, num_updates)[1]

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-timesteps", type=int, default=CONFIG["TOTAL_TIMESTEPS"])
    parser.add_argument("--seed", type=int, default=30)
    args = parser.parse_args()
    config = CONFIG | {"TOTAL_TIMESTEPS": args.total_timesteps}
    metrics = jax.jit(make_train(config))(jax.random.key(args.seed))
    updates = len(metrics["loss"])
    for update in np.linspace(0, updates - 1, min(updates, 10)).astype(int):
        values = ", ".join(f"{name}={value[update]:.3f}" for name, value in metrics.items())
        print(f"update={update}, {values}")


if __name__ == "__main__":
    main()
