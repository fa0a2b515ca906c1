# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""PQN on gymnax's CartPole with ReDo: Q-learning on many environments without a replay buffer,
made stable by LayerNorm. In the manner of PureJaxQL; the whole training is one compiled program.
The lines that end with `# dormant` are all that ReDo adds; without them this is plain PQN."""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState
from gymnax.wrappers.purerl import LogWrapper

import dormant  # dormant


class QNetwork(nn.Module):
    action_dim: int
    hidden_size: int = 128
    num_layers: int = 2

    @nn.compact
    def __call__(self, x):
        for _ in range(self.num_layers):
            x = nn.relu(nn.LayerNorm()(nn.Dense(self.hidden_size)(x)))
        return nn.Dense(self.action_dim)(x)


class Transition(NamedTuple):
    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    done: jax.Array
    q_vals: jax.Array


def make_train(args: argparse.Namespace) -> Callable[[jax.Array], dict[str, jax.Array]]:
    num_updates = args.total_timesteps // args.num_steps // args.num_envs
    batch_size = args.num_steps * args.num_envs
    gradient_steps = num_updates * args.num_epochs * args.num_minibatches
    env, env_params = gymnax.make("CartPole-v1")
    env = LogWrapper(env)
    eps_schedule = optax.linear_schedule(1.0, 0.05, max(1, num_updates // 5))

    def train(rng):
        # INIT NETWORK AND OPTIMIZER
        network = QNetwork(env.action_space(env_params).n)
        rng, init_rng, redo_rng, reset_rng = jax.random.split(rng, 4)
        init_x = jnp.zeros((1, *env.observation_space(env_params).shape))

        def init(rng):
            return network.init(rng, init_x)

        params = init(init_rng)
        learning_rate = optax.linear_schedule(args.lr, 1e-20, gradient_steps)
        tx = optax.chain(optax.clip_by_global_norm(10.0), optax.radam(learning_rate))
        graph = dormant.trace(network.apply, params, init_x)  # dormant
        # LayerNorm takes its mean over all neurons of a layer: a recycled one changes it a little,
        # and so the outputs. `dormant.redo` only measures such layers; `also` recycles them too.
        recycling = dormant.parts.recycling(graph, init, tx, also=graph.names)  # dormant
        below, when = dormant.parts.below_threshold(0.1), dormant.parts.every(500)  # dormant
        redo = dormant.intervene(graph, selection=below, action=recycling, when=when)  # dormant
        tx = dormant.as_transformation(tx, redo, redo_rng)  # dormant
        train_state = TrainState.create(apply_fn=network.apply, params=params, tx=tx)

        # INIT ENV
        reset_rngs = jax.random.split(reset_rng, args.num_envs)
        obs, env_state = jax.vmap(env.reset, (0, None))(reset_rngs, env_params)

        # TRAINING LOOP
        def _update_step(runner_state, update):
            # SAMPLE PHASE
            train_state, *explorer = runner_state

            def _step_env(carry, _):
                last_obs, env_state, rng = carry
                rng, action_rng, eps_rng, step_rng = jax.random.split(rng, 4)
                q_vals = network.apply(train_state.params, last_obs)
                random_action = jax.random.randint(
                    action_rng, (args.num_envs,), 0, q_vals.shape[-1]
                )
                explores = jax.random.uniform(eps_rng, (args.num_envs,)) < eps_schedule(update)
                action = jnp.where(explores, random_action, jnp.argmax(q_vals, axis=-1))
                step_rngs = jax.random.split(step_rng, args.num_envs)
                new_obs, env_state, reward, terminated, truncated, info = jax.vmap(
                    env.step, (0, 0, 0, None)
                )(step_rngs, env_state, action, env_params)
                done = terminated | truncated
                transition = Transition(last_obs, action, 0.1 * reward, done, q_vals)
                return (new_obs, env_state, rng), (transition, info)

            (last_obs, env_state, rng), (transitions, infos) = jax.lax.scan(
                _step_env, tuple(explorer), None, args.num_steps
            )

            # Q(LAMBDA) TARGETS
            def _get_target(returns_and_next_q, transition):
                lambda_returns, next_q = returns_and_next_q
                mixed = (1 - args.lambda_) * next_q + args.lambda_ * lambda_returns
                target = transition.reward + args.gamma * (1 - transition.done) * mixed
                return (target, jnp.max(transition.q_vals, axis=-1)), target

            last_q = jnp.max(network.apply(train_state.params, last_obs), axis=-1)
            _, targets = jax.lax.scan(_get_target, (last_q, last_q), transitions, reverse=True)

            # NETWORK UPDATE
            def _learn_phase(train_state, batch):
                minibatch, target = batch

                def _loss_fn(params):
                    q_vals = network.apply(params, minibatch.obs)
                    chosen = jnp.take_along_axis(q_vals, minibatch.action[:, None], axis=-1)
                    return 0.5 * jnp.mean((chosen.squeeze(-1) - target) ** 2)

                loss, grads = jax.value_and_grad(_loss_fn)(train_state.params)
                # What `train_state.apply_gradients` does, which has no inputs to pass on.
                updates, opt_state = train_state.tx.update(
                    grads,
                    train_state.opt_state,
                    train_state.params,
                    inputs=minibatch.obs,  # dormant
                )
                params = optax.apply_updates(train_state.params, updates)
                return train_state.replace(params=params, opt_state=opt_state), loss

            def _learn_epoch(train_state, rng):
                order = jax.random.permutation(rng, batch_size)

                def shuffle(x):
                    x = x.reshape(batch_size, *x.shape[2:])[order]
                    return x.reshape(args.num_minibatches, -1, *x.shape[1:])

                minibatches = jax.tree.map(shuffle, (transitions, targets))
                return jax.lax.scan(_learn_phase, train_state, minibatches)

            rng, epoch_rng = jax.random.split(rng)
            epoch_rngs = jax.random.split(epoch_rng, args.num_epochs)
            train_state, loss = jax.lax.scan(_learn_epoch, train_state, epoch_rngs)
            returns = infos["returned_episode_returns"]
            metrics = {"episodic_return": returns[-1].mean(), "td_loss": loss.mean()}
            report = train_state.opt_state.intervention.report  # dormant
            metrics["dormant"] = report.dormant_fraction(0.1)  # dormant
            metrics["recycled"] = report.recycled_total  # dormant
            return (train_state, last_obs, env_state, rng), metrics

        runner_state = (train_state, obs, env_state, rng)
        return jax.lax.scan(_update_step, runner_state, jnp.arange(num_updates))[1]

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-timesteps", type=int, default=200_000)
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--num-steps", type=int, default=64)
    parser.add_argument("--num-epochs", type=int, default=4)
    parser.add_argument("--num-minibatches", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--lambda", type=float, default=0.95, dest="lambda_")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    metrics = jax.jit(make_train(args))(jax.random.key(args.seed))
    updates = len(metrics["td_loss"])
    for update in np.linspace(0, updates - 1, min(updates, 10)).astype(int):
        values = ", ".join(f"{name}={value[update]:.3f}" for name, value in metrics.items())
        print(f"update={update}, {values}")


if __name__ == "__main__":
    main()
