# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a configuration says, as gin writes it."""

import pytest

from dormant.records.settings import UNKNOWN_GAME, differing, game_of, iterations_of, settings_in

CONFIG = """\
# Macros:
# ==============================================================================
GAME = 'CartPole-v1'

# Parameters for VectorizedDQN:
# ==============================================================================
VectorizedDQN.environment = %GAME
VectorizedDQN.measures = \\
    ('srank',
     'fau')
VectorizedRun.num_iterations = 20
"""


def test_values_on_several_lines_are_whole():
    assert settings_in(CONFIG) == {
        "GAME": "'CartPole-v1'",
        "VectorizedDQN.environment": "%GAME",
        "VectorizedDQN.measures": "('srank','fau')",
        "VectorizedRun.num_iterations": "20",
    }


@pytest.mark.parametrize(
    "config, game",
    [
        (CONFIG, "CartPole-v1"),
        (CONFIG.replace("GAME = ", "OTHER = "), UNKNOWN_GAME),
        ("create_gym_environment.environment_name = 'CartPole'\n"
         "create_gym_environment.version = 'v0'", "CartPole-v0"),
        ("gym_lib.create_gym_environment.environment_name = \\\n    'Ant'", "Ant"),
        ("VectorizedDQN.environment = @pick()", UNKNOWN_GAME),
        ("", UNKNOWN_GAME),
    ],
)  # fmt: skip
def test_the_game_is_what_the_run_plays(config, game):
    assert game_of(config) == game


def test_the_length_is_a_number_or_unknown():
    assert iterations_of(CONFIG) == 20
    for runner in ("Runner", "ContinuousRunner", "run_experiment.Runner"):
        assert iterations_of(f"{runner}.num_iterations = 250") == 250
    assert iterations_of("Runner.num_iterations = %N") == 0 == iterations_of("")


def test_runs_of_one_cell_may_differ_in_seeds_lengths_and_paths_alone():
    base = CONFIG + "LearnerOptions.seed = {}\nDistillation.teacher_run = {}\nRun.new = {}\n"
    alike = [base.format(0, "'runs/a'", 1), base.format(1, "'runs/b'", 1), CONFIG, ""]
    longer = alike[0].replace("num_iterations = 20", "num_iterations = 40")
    assert differing([*alike, longer]) == {}
    drawn = ["run_seed = {0}\nA.seed = %run_seed\nA.rate = %rate\nrate = 0.1", "A.rate = 0.1\n"]
    assert differing([drawn[0].format(0), drawn[0].format(1), drawn[1]]) == {}
    assert differing(["A.kind = @a/X()", "A.kind = @b/X()"]) == {"A.kind": ["@a/X()", "@b/X()"]}
    assert differing([*alike, base.format(2, "None", 3)]) == {"Run.new": ["1", "3"]}
