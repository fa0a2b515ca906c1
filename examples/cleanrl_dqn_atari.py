# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""CleanRL's DQN on Atari with ReDo: one file, a replay buffer, Flax and optax.
The lines that end with `# dormant` are all that ReDo adds; without them this is plain DQN.
The defaults are those of a look; in brackets are CleanRL's, which need hours."""

import argparse
import random
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ale_py.vector_env import AtariVectorEnv
from flax.core import FrozenDict
from flax.training import train_state

import dormant  # dormant


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="breakout", help="the name of the ALE's ROM")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--total-timesteps", type=int, default=900, help="[10 000 000]")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--buffer-size", type=int, default=10_000, help="[1 000 000]")
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--target-network-frequency", type=int, default=200, help="[1 000]")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--start-e", type=float, default=1.0)
    parser.add_argument("--end-e", type=float, default=0.01)
    parser.add_argument("--exploration-fraction", type=float, default=0.8, help="[0.1]")
    parser.add_argument("--learning-starts", type=int, default=300, help="[80 000]")
    parser.add_argument("--train-frequency", type=int, default=4)
    parser.add_argument("--redo-tau", type=float, default=0.1)  # dormant
    parser.add_argument("--redo-period", type=int, default=50, help="[1 000]")  # dormant
    return parser.parse_args()


class QNetwork(nn.Module):
    action_dim: int

    @nn.compact
    def __call__(self, x):
        x = jnp.transpose(x, (0, 2, 3, 1)) / 255.0
        x = nn.relu(nn.Conv(32, (8, 8), strides=(4, 4), padding="VALID")(x))
        x = nn.relu(nn.Conv(64, (4, 4), strides=(2, 2), padding="VALID")(x))
        x = nn.relu(nn.Conv(64, (3, 3), strides=(1, 1), padding="VALID")(x))
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(512)(x))
        return nn.Dense(self.action_dim)(x)


class TrainState(train_state.TrainState):
    target_params: FrozenDict


class ReplayBuffer:
    """The last transitions, each with both of its observations."""

    def __init__(self, size: int, observation_shape: tuple[int, ...]):
        self.observations = np.zeros((size, *observation_shape), np.uint8)
        self.next_observations = np.zeros_like(self.observations)
        self.actions = np.zeros(size, np.int32)
        self.rewards, self.dones = np.zeros((2, size), np.float32)
        self.size, self.added = size, 0

    def add(self, *transition) -> None:
        for values, value in zip(self._fields(), transition, strict=True):
            values[self.added % self.size] = value
        self.added += 1

    def sample(self, batch_size: int) -> tuple[np.ndarray, ...]:
        rows = np.random.randint(min(self.added, self.size), size=batch_size)
        return tuple(values[rows] for values in self._fields())

    def _fields(self):
        return (
            self.observations, self.actions, self.next_observations, self.rewards, self.dones
        )  # fmt: skip


def linear_schedule(start_e: float, end_e: float, duration: float, t: int) -> float:
    slope = (end_e - start_e) / duration
    return max(slope * t + start_e, end_e)


def main() -> None:
    args = parse_args()
    random.seed(args.seed)
    np.random.seed(args.seed)
    key, q_key = jax.random.split(jax.random.key(args.seed))

    # 84 x 84 in grey, four frames stacked, rewards clipped, an episode for each life.
    envs = AtariVectorEnv(args.game, num_envs=1, episodic_life=True, autoreset_mode="SameStep")
    obs, _ = envs.reset(seed=args.seed)
    action_dim = int(envs.single_action_space.n)

    q_network = QNetwork(action_dim)
    tx = optax.adam(args.learning_rate)

    def init(key):
        return q_network.init(key, jnp.zeros((1, *envs.single_observation_space.shape)))

    params = init(q_key)
    graph = dormant.trace(q_network.apply, params, obs)  # dormant
    redo = dormant.redo(graph, init, tx, args.redo_tau, args.redo_period)  # dormant
    tx = dormant.as_transformation(tx, redo, key)  # dormant
    q_state = TrainState.create(
        apply_fn=jax.jit(q_network.apply), params=params, target_params=params, tx=tx
    )

    @jax.jit
    def update(q_state, observations, actions, next_observations, rewards, dones):
        q_next = jnp.max(q_network.apply(q_state.target_params, next_observations), axis=-1)
        targets = rewards + (1 - dones) * args.gamma * q_next

        def mse_loss(params):
            q_pred = q_network.apply(params, observations)
            q_pred = q_pred[jnp.arange(q_pred.shape[0]), actions]
            return jnp.mean((q_pred - targets) ** 2)

        loss, grads = jax.value_and_grad(mse_loss)(q_state.params)
        # What `q_state.apply_gradients` does, which has no inputs to pass on.
        updates, opt_state = q_state.tx.update(
            grads,
            q_state.opt_state,
            q_state.params,
            inputs=observations,  # dormant
        )
        params = optax.apply_updates(q_state.params, updates)
        return loss, q_state.replace(params=params, opt_state=opt_state, step=q_state.step + 1)

    replay = ReplayBuffer(args.buffer_size, envs.single_observation_space.shape)
    episodic_return, start_time = 0.0, time.time()
    for global_step in range(args.total_timesteps):
        epsilon = linear_schedule(
            args.start_e, args.end_e, args.exploration_fraction * args.total_timesteps, global_step
        )
        if random.random() < epsilon:
            actions = np.array([random.randrange(action_dim)])
        else:
            actions = np.asarray(q_state.apply_fn(q_state.params, obs).argmax(axis=-1))
        next_obs, rewards, terminations, truncations, infos = envs.step(actions)

        done = terminations[0] or truncations[0]
        real_next_obs = infos["final_obs"] if done else next_obs
        replay.add(obs[0], actions[0], real_next_obs[0], rewards[0], terminations[0])
        obs = next_obs
        episodic_return += float(rewards[0])
        if done:
            print(f"global_step={global_step}, episodic_return={episodic_return}")
            episodic_return = 0.0

        if global_step > args.learning_starts and global_step % args.train_frequency == 0:
            loss, q_state = update(q_state, *replay.sample(args.batch_size))
            if global_step % 100 == 0:
                sps = int(global_step / (time.time() - start_time))
                print(f"global_step={global_step}, td_loss={float(loss):.5f}, SPS={sps}")
                report = q_state.opt_state.intervention.report  # dormant
                fraction = report.dormant_fraction(args.redo_tau)  # dormant
                print(f"dormant={fraction:.3f}, recycled={report.recycled_total}")  # dormant
        if global_step % args.target_network_frequency == 0:
            q_state = q_state.replace(target_params=q_state.params)
    envs.close()


if __name__ == "__main__":
    main()
