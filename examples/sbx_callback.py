# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""ReDo by a callback in Stable-Baselines' JAX version: its DQN on Gymnasium's CartPole.
The lines that end with `# dormant` are all that ReDo adds; without them the callback just prints.
Needs `pip install sbx-rl` in an environment without Dopamine: it brings tfp-nightly, which
overwrites the tensorflow-probability that Dopamine needs, and PyTorch."""

import argparse

import numpy as np
from sbx import DQN
from stable_baselines3.common.callbacks import BaseCallback

import dormant  # dormant


class Callback(BaseCallback):
    """Every `period` rollouts, each followed by gradient steps: prints how training goes."""

    def __init__(self, model: DQN, period: int):
        super().__init__()
        self.period, self.rollouts = period, 0
        qf, state, obs = model.policy.qf, model.policy.qf_state, model.env.reset()  # dormant
        graph = dormant.trace(qf.apply, state.params, obs)  # dormant
        self.redo = dormant.redo(graph, lambda k: qf.init(k, obs), state.tx, period=1)  # dormant
        self.redo_state = self.redo.init(model.key)  # dormant

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.rollouts += 1
        if self.rollouts % self.period == 0:
            policy = self.model.policy
            state = policy.qf_state
            batch = self.model.replay_buffer.sample(256).observations.numpy()
            q_value = float(state.apply_fn(state.params, batch).max(axis=-1).mean())
            episodic_return = np.mean([episode["r"] for episode in self.model.ep_info_buffer])
            print(f"timesteps={self.num_timesteps}, {episodic_return=:.1f}, {q_value=:.2f}")
            new = self.redo.update(state.params, state.opt_state, self.redo_state, batch)  # dormant
            params, opt_state, self.redo_state = new  # dormant
            policy.qf_state = state.replace(params=params, opt_state=opt_state)  # dormant
            report = self.redo_state.report  # dormant
            print(f"dormant={report.pooled[-1]:.3f}, recycled={report.recycled_total}")  # dormant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-timesteps", type=int, default=14_000)
    parser.add_argument("--period", type=int, default=8, help="rollouts")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # The zoo's values for CartPole.
    model = DQN(
        "MlpPolicy", "CartPole-v1", learning_rate=2.3e-3, batch_size=64, buffer_size=100_000,
        learning_starts=1_000, target_update_interval=10, train_freq=256, gradient_steps=128,
        exploration_fraction=0.16, exploration_final_eps=0.04, seed=args.seed,
    )  # fmt: skip
    model.learn(args.total_timesteps, callback=Callback(model, args.period))


if __name__ == "__main__":
    main()
