# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Games, seeds and lengths at each scale, by the kind of agent. Lengths are agent steps.
The paper's are in its section 3 and appendix; `mini` is sized for a day on one GPU, unmeasured."""

import dataclasses
import functools

from dormant.reproduce.experiments import TRAIN, TRAIN_VECTORIZED, Families, Family

GAMES_17 = (
    "Asterix", "BeamRider", "Breakout", "DemonAttack", "DoubleDunk", "Enduro", "IceHockey",
    "Jamesbond", "MsPacman", "Pong", "Qbert", "RoadRunner", "Seaquest", "SpaceInvaders",
    "WizardOfWor", "YarsRevenge", "Zaxxon",
)  # fmt: skip
GAMES_26 = (
    "Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout",
    "ChopperCommand", "CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero",
    "Jamesbond", "Kangaroo", "Krull", "KungFuMaster", "MsPacman", "Pong", "PrivateEye", "Qbert",
    "RoadRunner", "Seaquest", "UpNDown",
)  # fmt: skip
# The games of the figures that look at dormancy alone.
PAIR = ("DemonAttack", "Asterix")
MUJOCO = ("Ant", "HalfCheetah", "Hopper", "Walker2d")
MINATAR = ("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "SpaceInvaders-MinAtar")
MINI_GAMES = ("DemonAttack", "Asterix", "Seaquest")

# Any smoke run on the device starts from this file, in which is neither an intervention nor weight
# decay.
DEVICE_FILE = "vectorized/replay_ratio.gin"
DEVICE_GAME = "VectorizedDQN.environment"
ATARI_GAME = "atari_lib.create_atari_environment.game_name"
_GYM = "create_gym_environment.environment_name"
_ITERATION = 250_000

# The tracker's and ReDo's periods, in gradient steps, must divide those of the runs on the device.
SMOKE_DEVICE = Family(
    TRAIN_VECTORIZED, DEVICE_GAME, ("Breakout-MinAtar", "SpaceInvaders-MinAtar"), 2, 2_000,
    {
        "VectorizedDQN.dense": "(32,)",
        "VectorizedDQN.min_replay_history": "200",
        "VectorizedDQN.target_update_period": "200",
        "VectorizedDQN.network": "'mlp'",
        "VectorizedRun.num_iterations": "2",
        "VectorizedRun.training_steps": "1_000",
        "Tracker.tracking_period": "40",
        "ReDo.period": "40",
        "Reset.period": "120",
        "Prune.period": "40",
        "FixedBudget.period": "40",
    },
    "minatar mlp",
    gin_file=DEVICE_FILE,
)  # fmt: skip
# A study on the device of two iterations, and the online runs before it.
SMOKE_STUDY = {
    "VectorizedDQN.dense": "(32,)",
    "VectorizedDQN.min_replay_history": "200",
    "VectorizedDQN.target_update_period": "200",
    "StudyRun.num_iterations": "2",
    "StudyRun.training_steps": "500",
    "Tracker.tracking_period": "100",
    "ReDo.period": "100",
}
# An Atari run of some hundred agent steps: it shows that everything runs, and its numbers mean
# nothing.
_SMOKE_ATARI = {
    "JaxDQNAgent.min_replay_history": "100",
    "JaxDQNAgent.target_update_period": "40",
    "ReplayBuffer.max_capacity": "1_000",
    "Runner.max_steps_per_episode": "100",
    "Runner.num_iterations": "1",
    "Runner.training_steps": "200",
    "Tracker.tracking_period": "8",
    "ReDo.period": "8",
}


def atari(iterations: int, games: tuple[str, ...] | None = None, speed: str = "nature") -> Families:
    """DQN: five seeds of so many iterations; `mini` has two seeds and a fifth of the iterations.

    Args:
      iterations: of the paper's runs.
      games: those of every scale but `smoke`; None for 17, or 3 of them at `mini`.
      speed: as in `Family`.
    """
    mini = max(1, iterations // 5)
    shorter = {"Runner.num_iterations": str(mini)}
    runs = functools.partial(Family, TRAIN, ATARI_GAME, speed=speed)
    return {
        "paper": runs(games or GAMES_17, 5, iterations * _ITERATION),
        "mini": runs(games or MINI_GAMES, 2, mini * _ITERATION, shorter),
        "smoke": runs(("DemonAttack",), 1, 200, _SMOKE_ATARI, on_device=SMOKE_DEVICE),
    }


def drq_eps() -> Families:
    """DrQ(eps): ten seeds of 400 000 agent steps on 26 games."""
    mini = {"Runner.num_iterations": "10", "MaxEpisodeEvalRunner.num_eval_episodes": "10"}
    smoke = {**_SMOKE_ATARI, "MaxEpisodeEvalRunner.num_eval_episodes": "1"}
    runs = functools.partial(Family, TRAIN, ATARI_GAME, speed="drq_eps", replay_ratio=1)
    return {
        "paper": runs(GAMES_26, 10, 400_000),
        "mini": runs(("Pong", "Breakout", "MsPacman"), 2, 100_000, mini),
        "smoke": runs(("Pong",), 1, 200, smoke),
    }


def sac(games: tuple[str, ...] = MUJOCO) -> Families:
    """SAC: ten seeds of 1M agent steps; a shorter run acts as often as the paper's."""
    mini = {
        "ContinuousRunner.num_iterations": "20",
        "ReDo.period": "40_000",
        "Reset.period": "40_000",
    }
    smoke = {
        "SACAgent.min_replay_history": "300",
        "ReplayBuffer.max_capacity": "2_000",
        "ContinuousRunner.num_iterations": "1",
        "ContinuousRunner.training_steps": "600",
        "ContinuousRunner.evaluation_steps": "100",
        "ContinuousRunner.max_steps_per_episode": "100",
        "Tracker.tracking_period": "60",
        "ReDo.period": "60",
        "Reset.period": "120",
        "Prune.period": "60",
    }
    runs = functools.partial(Family, TRAIN, _GYM, speed="sac", replay_ratio=1)
    return {
        "paper": runs(games, 10, 1_000_000),
        "mini": runs(games[:2], 3, 200_000, mini),
        "smoke": runs(games[:1], 1, 600, smoke),
    }


def minatar() -> Families:
    """DQN on the device: ten seeds; `paper` has 1M agent steps and the MinAtar paper's network,
    `mini` 30 000 and dense layers."""
    longer = {
        "VectorizedDQN.network": "'minatar'",
        "VectorizedDQN.epsilon_decay_period": "100_000",
        "VectorizedDQN.min_replay_history": "5_000",
        "Reset.period": "100_000",
        "VectorizedRun.num_iterations": "10",
        "VectorizedRun.training_steps": "100_000",
    }
    return {
        "paper": Family(TRAIN_VECTORIZED, DEVICE_GAME, MINATAR, 10, 1_000_000, longer, "minatar"),
        "mini": Family(TRAIN_VECTORIZED, DEVICE_GAME, MINATAR, 10, 30_000, {}, "minatar mlp"),
        "smoke": SMOKE_DEVICE,
    }


def quickstart() -> Families:
    """DQN on the device, five seeds of one game for minutes: there is nothing longer."""
    game = ("SpaceInvaders-MinAtar",)
    whole = Family(TRAIN_VECTORIZED, DEVICE_GAME, game, 5, 40_000, {}, "minatar mlp")
    smoke = dataclasses.replace(SMOKE_DEVICE, games=game, gin_file="")
    return {"paper": whole, "mini": whole, "smoke": smoke}
