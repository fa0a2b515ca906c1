# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Atari in a study: evaluation episodes, and what a run of `dormant.train` left."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dormant.checks import ConfigurationError
from dormant.learners import epsilon_greedy
from dormant.runs.checkpoints import Checkpoints
from dormant.studies.atari import Atari
from dormant.studies.trained_runs import trained_run as find_run

OPTION = "Distillation.teacher_run"


def by_brightness(params, observation):
    # Not one action alone: of sticky actions nothing would be seen.
    return jax.nn.one_hot(jnp.sum(observation.astype(jnp.int32)) % 6, 6)


def test_evaluation_plays_whole_episodes_and_follows_from_its_key_alone():
    play = Atari("SpaceInvaders").evaluation(epsilon_greedy(by_brightness), 2)
    returns, lengths = play((), jax.random.key(0))
    # Whoever moves and fires hits something, and is hit before long.
    assert returns.shape == lengths.shape == (2,) and (returns > 0).all()
    assert len(set(lengths.tolist())) > 1 and (lengths > 100).all() and (lengths < 5_000).all()
    again, other = play((), jax.random.key(0)), play((), jax.random.key(1))
    np.testing.assert_array_equal((returns, lengths), again)
    assert not np.array_equal(lengths, other[1])
    short = Atari("SpaceInvaders").evaluation(epsilon_greedy(by_brightness), 2, most_frames=400)
    assert short((), jax.random.key(0))[1].tolist() == [100, 100]


def test_a_policy_is_shown_the_last_four_frames():
    seen = []

    def watch(params, observation):
        jax.debug.callback(lambda frames: seen.append(np.array(frames)), observation)
        return by_brightness(params, observation)

    Atari("Pong").evaluation(epsilon_greedy(watch), 1, most_frames=40)((), jax.random.key(0))
    jax.effects_barrier()
    # Callbacks come in any order; frames that are missing at the start are zeros.
    seen.sort(key=lambda state: (state.reshape(-1, 4).any(axis=0)).sum())
    assert [int(state.reshape(-1, 4).any(axis=0).sum()) for state in seen[:5]] == [1, 2, 3, 4, 4]
    assert seen[0].shape == (84, 84, 4) and not seen[0][..., :3].any() and len(seen) == 10
    np.testing.assert_array_equal(seen[1][..., 2], seen[0][..., 3])


def test_a_game_that_does_not_exist_is_named():
    with pytest.raises(ConfigurationError, match="no game 'DemonAtack'; did you mean DemonAttack"):
        Atari("DemonAtack")
    with pytest.raises(ConfigurationError, match="sticky_actions` must be True or False"):
        Atari("Pong", sticky_actions=0.25)
    assert Atari("Pong").experience().game.num_actions == 6
    assert Atari("Asterix").experience().game.num_actions == 9


# What a run of dormant.train left.


@pytest.fixture
def damaged(trained_run, tmp_path):
    """A copy of the trained run's newest checkpoint, to be damaged."""
    copy = tmp_path / "run"
    shutil.copytree(trained_run / "checkpoints", copy / "checkpoints")
    shutil.rmtree(copy / "checkpoints" / "process_0" / "0")
    shutil.copy(trained_run / "config.gin", copy)
    return copy


def template(study_of):
    study, _ = study_of("fig08_atari", {"Distillation.student": "'fresh'"})
    return jax.eval_shape(study.learner.init, jax.random.key(0)).params


def test_its_network_and_its_replay_are_those_of_the_checkpoint(trained_run, study_of):
    found = find_run(OPTION, str(trained_run), "Asterix")
    saved = Checkpoints(trained_run / "checkpoints").load(1)["state"]["agent"]
    params = found.params(template(study_of))
    kernel = saved["learner"]["params"]["params"]["Dense_0"]["kernel"]
    np.testing.assert_array_equal(params["params"]["Dense_0"]["kernel"], kernel)
    stored = found.frames(9)
    assert stored.frame.shape == (100, 84, 84) and 60 < len(stored.row) < 100
    np.testing.assert_array_equal(stored.frame, saved["replay"]["arrays"]["observation"])


@pytest.mark.parametrize("student", ["pretrained", "fresh"])
def test_a_student_starts_from_its_run_and_learns_from_the_teachers(student, study_of, trained_run):
    study, fit = study_of("fig08_atari", {"Distillation.student": f"'{student}'"})
    data = study.prepare(jax.random.key(0), lambda text: None)
    assert np.isfinite(data.teacher_return) and data.kept.frame.shape == (100, 84, 84)
    state = fit.init(jax.random.key(1), data)
    alike = jax.tree.map(np.array_equal, state.learner.params, data.teacher)
    # Teacher and student are one run here.
    assert jax.tree.all(alike) == (student == "pretrained")

    @jax.jit
    def first_loss(learner, data):
        batch = study.draw(data, jax.random.key(2), jnp.int32(0))
        return study.learner.step(learner, batch)[1]["loss"]

    loss = float(first_loss(state.learner, data))
    assert (loss == 0) == (student == "pretrained")
    if student == "pretrained":
        assert float(data.start_return) == float(data.teacher_return)


def test_a_checkpoint_that_is_none_is_named(damaged, study_of):
    checkpoints = Checkpoints(damaged / "checkpoints")
    saved = checkpoints.load(1)

    def refused(match, **changes):
        checkpoints.save(2, saved | {"state": {"agent": saved["state"]["agent"] | changes}})
        with pytest.raises(ConfigurationError, match=match) as caught:
            run = find_run(OPTION, str(damaged), "Asterix")
            run.params(shape)
            run.frames(9)
        assert str(caught.value).lstrip("`").startswith(OPTION)

    shape = template(study_of)
    find_run(OPTION, str(damaged), "Asterix").frames(9)
    with pytest.raises(ConfigurationError, match="a run on Pong, which Atari.game names; got"):
        find_run(OPTION, str(damaged), "Pong")
    config = damaged / "config.gin"
    text = config.read_text()
    config.write_text("create_minatar_env.game_name = 'asterix'")
    with pytest.raises(ConfigurationError, match=r"a run on Asterix, .* got 'asterix .MinAtar 1.0"):
        find_run(OPTION, str(damaged), "Asterix")
    config.write_text(text)
    replay = saved["state"]["agent"]["replay"]
    fixed = json.loads(replay["fixed"]) | {"stack_size": 2}
    problem = "a run on Atari, whose frames are uint8 .84, 84. in stacks of four"
    refused(problem, replay=replay | {"fixed": json.dumps(fixed)})
    refused("the replay in .* cannot be read: 'fixed'", replay={"other": 1})
    problem = "a run whose network is VectorizedDQN.network for Atari.game"
    refused(problem, learner={"params": {"params": {"Dense_0": np.zeros(3)}}})
    shutil.rmtree(damaged / "checkpoints")
    with pytest.raises(ConfigurationError, match="a run of dormant.train, with a checkpoint; got"):
        find_run(OPTION, str(damaged), "Asterix")


MISTAKES = [
    ("Distillation.teacher_run", "'runs'", "with a checkpoint; got 'runs'"),
    ("Distillation.student_run", "None", "must be given where Distillation.teacher"),
    ("Distillation.student_run", "3", "None or a run's folder; got 3"),
    ("Atari.game", "'Pong'", "a run on Pong, which Atari.game names; got 'As"),
    ("VectorizedDQN.width", "1", "a run whose network is VectorizedDQN.network"),
]


@pytest.mark.parametrize(("option", "value", "problem"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_created(
    option, value, problem, run_study, tmp_path, capfd
):
    assert run_study("fig08_atari", tmp_path / "run", {option: value}) == 2
    error = capfd.readouterr().err
    assert error.startswith("dormant.study: error: ") and error.count("\n") == 1
    assert problem in error and not (tmp_path / "run").exists()
