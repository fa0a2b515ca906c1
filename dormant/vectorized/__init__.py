# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Whole runs on the device: environments, replay, learner, tracker and intervention in one compiled
program, for several seeds side by side, on one device or many."""

from dormant.vectorized.environments import Environment, Step, from_gymnax, gymnax_environment
from dormant.vectorized.episodes import play_episodes
from dormant.vectorized.networks import MLP, MinAtarCNN
from dormant.vectorized.program import Program, Progress, RunState, axes_of_run, make_program
from dormant.vectorized.replay import Replay, Transitions, bytes_per_transition, make_replay
from dormant.vectorized.seeds import axes_of, take_seed
from dormant.vectorized.sequences import minatar_sequence, sequence_of
from dormant.vectorized.settings import Settings
from dormant.vectorized.sharding import initialize_distributed, local_seeds, shard, usable_devices

__all__ = [
    "MLP",
    "Environment",
    "MinAtarCNN",
    "Program",
    "Progress",
    "Replay",
    "RunState",
    "Settings",
    "Step",
    "Transitions",
    "axes_of",
    "axes_of_run",
    "bytes_per_transition",
    "from_gymnax",
    "gymnax_environment",
    "initialize_distributed",
    "local_seeds",
    "make_program",
    "make_replay",
    "minatar_sequence",
    "play_episodes",
    "sequence_of",
    "shard",
    "take_seed",
    "usable_devices",
]
