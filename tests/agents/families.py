# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The agent families, each as a run of seconds on its real environment."""

# What turns the gin file of each agent family into a run of seconds on its real environment:
# recycling on, 30 agent steps an episode.
_SHORT = {
    "LearnerOptions.intervention": "@ReDo()",
    "ReDo.tau": 0.1,
    "ReDo.period": 8,
    "ReDo.score_batch": 8,
    "Tracker.tracking_period": 4,
    "Tracker.score_batch": 8,
    "ReplayBuffer.batch_size": 4,
    "ReplayBuffer.max_capacity": 1_000,
    "Runner.num_iterations": 2,
    "Runner.training_steps": 60,
    "Runner.evaluation_steps": 20,
    "Runner.max_steps_per_episode": 30,
}
_SHORT_DQN = {"JaxDQNAgent.min_replay_history": 20, "JaxDQNAgent.target_update_period": 24}
_SHORT_RAINBOW = {
    "JaxRainbowAgent.min_replay_history": 20, "JaxRainbowAgent.target_update_period": 24
}  # fmt: skip
_SHORT_ATARI_100K = {
    "JaxDQNAgent.min_replay_history": 20, "MaxEpisodeEvalRunner.num_eval_episodes": 2
}  # fmt: skip
_SHORT_SAC = {
    "SACAgent.hidden_units": 32,
    "SACAgent.min_replay_history": 20,
    "ContinuousRunner.num_iterations": 2,
    "ContinuousRunner.training_steps": 60,
    "ContinuousRunner.evaluation_steps": 20,
    "ContinuousRunner.max_steps_per_episode": 30,
}
FAMILIES = {
    "dqn": _SHORT | _SHORT_DQN | {"DormantDQNAgent.width": 0.25},
    "dqn_cartpole": _SHORT | _SHORT_DQN,
    # Of its few neurons none is dormant so soon: recycled are those below the average.
    "dqn_minatar": _SHORT | _SHORT_DQN | {"ReDo.tau": 0.9},
    "c51": _SHORT | _SHORT_RAINBOW,
    "rainbow": _SHORT | _SHORT_RAINBOW,
    "full_rainbow": _SHORT | _SHORT_DQN,
    "drq_eps": _SHORT | _SHORT_ATARI_100K,
    "der": _SHORT | _SHORT_ATARI_100K | {"JaxDQNAgent.target_update_period": 24},
    "sac": {n: v for n, v in _SHORT.items() if not n.startswith("Runner.")} | _SHORT_SAC,
}
