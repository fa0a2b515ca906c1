# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every runner on its real environments, with an agent that only remembers what it is told:
phases, ends of episodes, no-ops, exact resume, and the files that a run leaves."""

import json
import warnings

import gin
import numpy as np
import pytest

from dormant.agents import preflight
from dormant.checks import ConfigurationError

with warnings.catch_warnings():
    # tensorflow-probability warns about distutils while it is imported, whatever we do.
    warnings.simplefilter("ignore")
    from dormant.agents.runner import create_dormant_runner
    from dormant.records.run_file import RunRecord
    from tests.agents.recording_agent import ATARI, CARTPOLE, MINATAR, MUJOCO, RecordingAgent

SIZES = {
    "num_iterations": 2,
    "training_steps": 60,
    "evaluation_steps": 30,
    "max_steps_per_episode": 25,
    "use_legacy_logger": False,
}
RUNS = {
    "atari, max episodes": (ATARI, "max_episode_eval"),
    "cartpole, max episodes": (
        [
            *CARTPOLE,
            "MaxEpisodeEvalRunner.max_noops = 0",
            "MaxEpisodeEvalRunner.num_eval_episodes = 3",
        ],
        "max_episode_eval",
    ),
    "cartpole, train": (CARTPOLE, "continuous_train"),
    "cartpole, train and eval": (CARTPOLE, "continuous_train_and_eval"),
    "minatar, train": (MINATAR, "continuous_train"),
    "minatar, train and eval": (MINATAR, "continuous_train_and_eval"),
    "mujoco, train": (MUJOCO, "continuous_train"),
    "mujoco, train and eval": (MUJOCO, "continuous_train_and_eval"),
}


def load(environment, schedule, *bindings, **sizes):
    runner = "ContinuousRunner" if environment is MUJOCO else "Runner"
    lines = [f"{runner}.{name} = {value!r}" for name, value in (SIZES | sizes).items()]
    lines.append("CollectorDispatcher.collectors = ['tensorboard']")
    lines.append(f"create_dormant_runner.schedule = {schedule!r}")
    preflight.load_gin([], [*environment, *lines, *bindings])
    preflight.check_runner()
    preflight.check_environment()


def play(base_dir, name, *bindings, **sizes):
    """Runs one of RUNS to its end; returns the runner."""
    load(*RUNS[name], *bindings, **sizes)
    runner = create_dormant_runner(str(base_dir))
    runner.run_experiment()
    return runner


@pytest.fixture
def created(tmp_path):
    """`created(environment, schedule)`: a runner that has run nothing yet."""
    runners = []

    def create(environment, schedule):
        load(environment, schedule)
        runners.append(create_dormant_runner(str(tmp_path / str(len(runners)))))
        return runners[-1]

    yield create
    for runner in runners:
        runner._saved.files[0].close()


def records(base_dir):
    lines = (base_dir / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "steps_per_second": None} for line in lines]


def assert_told_the_same(told, others):
    assert len(told) == len(others)
    for one, other in zip(told, others, strict=True):
        assert one[:2] == other[:2]
        for value, another in zip(one[2:], other[2:], strict=True):
            np.testing.assert_array_equal(value, another)


@pytest.fixture(scope="module", params=RUNS)
def finished(request, tmp_path_factory):
    """The name, the folder and the runner of a finished run of two iterations."""
    base_dir = tmp_path_factory.mktemp("runs") / "whole"
    return request.param, base_dir, play(base_dir, request.param)


def test_a_run_leaves_its_metrics_and_checkpoints(finished):
    name, base_dir, runner = finished
    iterations = records(base_dir)
    assert [record["iteration"] for record in iterations] == [0, 1]
    assert iterations[-1]["agent_step"] == runner.agent.training_steps
    evaluates = RUNS[name][1] != "continuous_train"
    for record in iterations:
        lengths = record["train_episode_lengths"]
        assert sum(lengths) >= 60 and sum(lengths[:-1]) < 60
        # Without an agent that tells of lost lives an episode is at most its 25 steps.
        assert max(lengths) <= 25
        assert ("eval_returns" in record) == evaluates
    assert {path.name for path in base_dir.iterdir()} == {"checkpoints", "metrics", "metrics.jsonl"}
    assert (base_dir / "checkpoints" / "process_0" / "1").exists()


def test_evaluation_is_as_long_as_it_should_be(finished):
    name, base_dir, _ = finished
    if RUNS[name][1] == "continuous_train":
        assert not any("eval_returns" in record for record in records(base_dir))
        return
    for record in records(base_dir):
        lengths = record["eval_episode_lengths"]
        if name.endswith("max episodes"):
            assert len(lengths) == 3
        else:
            assert sum(lengths) >= 30 and sum(lengths[:-1]) < 30


def test_a_resumed_run_is_told_the_same(finished, tmp_path):
    name, base_dir, whole = finished
    first = play(tmp_path / "run", name, num_iterations=1)
    calls = len(first.agent.told)
    resumed = play(tmp_path / "run", name)
    assert resumed.start_iteration == 1
    assert 0 < calls < len(whole.agent.told)
    assert_told_the_same(first.agent.told, whole.agent.told[:calls])
    assert_told_the_same(resumed.agent.told[calls:], whole.agent.told[calls:])
    assert records(tmp_path / "run") == records(base_dir)


def test_another_seed_is_told_something_else(finished, tmp_path, monkeypatch):
    name, _, whole = finished
    monkeypatch.setattr(RecordingAgent, "seed", 4)
    other = play(tmp_path / "run", name, num_iterations=1)
    with pytest.raises(AssertionError):
        assert_told_the_same(other.agent.told, whole.agent.told[: len(other.agent.told)])


def test_an_episode_that_is_cut_off_is_not_terminal(finished):
    name, base_dir, runner = finished
    lengths = [
        length
        for record in records(base_dir)
        for phase in ("train", "eval")
        for length in record.get(f"{phase}_episode_lengths", ())
    ]
    ends = [told[3] for told in runner.agent.told if told[0] == "end"]
    if name.startswith("mujoco"):
        assert set(lengths) == {25} and not any(ends)
    elif name.startswith(("cartpole", "minatar")):
        # The last step before the limit may also be a terminal one.
        assert all(end or length == 25 for end, length in zip(ends, lengths, strict=True))
        assert any(ends) and (name.startswith("cartpole") or not all(ends))


def test_without_a_limit_of_the_runner_the_environments_own_ends_an_episode(tmp_path):
    sizes = {"num_iterations": 1, "training_steps": 1_100, "max_steps_per_episode": None}
    runner = play(tmp_path / "run", "mujoco, train", **sizes)
    (record,) = records(tmp_path / "run")
    assert record["train_episode_lengths"][0] == 1_000
    assert [told[3] for told in runner.agent.told if told[0] == "end"] == [False]


def test_float_actions_reach_the_environment(created):
    runner = created(MUJOCO, "continuous_train")
    received = []
    step = runner._environment.environment.step
    runner._environment.environment.step = lambda action: received.append(action) or step(action)
    runner._run_one_episode()
    assert len(received) == 25
    assert all((action.dtype, action.shape) == (np.float32, (6,)) for action in received)
    assert len({action.tobytes() for action in received}) == 25
    assert all(isinstance(told[2], np.ndarray) and told[2].dtype == np.float32
               for told in runner.agent.told if told[0] == "step")  # fmt: skip


def test_a_lost_life_is_terminal_in_training_only(tmp_path):
    runner = play(
        tmp_path / "run", "atari, max episodes",
        num_iterations=1, training_steps=150, max_steps_per_episode=150,
    )  # fmt: skip
    ends = {
        evaluating: [told[3] for told in runner.agent.told if told[:2] == ("end", evaluating)]
        for evaluating in (False, True)
    }
    (record,) = records(tmp_path / "run")
    # Breakout has five lives and a random player loses the first ones within 150 steps.
    assert len(ends[False]) > len(record["train_episode_lengths"])
    assert sum(ends[False]) >= 2
    assert len(ends[True]) == len(record["eval_episode_lengths"]) == 3
    assert runner._environment.terminal_on_life_loss


def no_ops(runner, episodes):
    """How many frames the no-ops of so many episodes take, and the screens after them."""
    runner._seed_environment(0)
    ale = runner._environment.environment.env.ale
    frames, observations = [], []
    for _ in range(episodes):
        runner._environment.reset()
        start = ale.getFrameNumber()
        observations.append(runner._run_no_ops())
        frames.append(ale.getFrameNumber() - start)
        assert runner._environment.lives == ale.lives() == 5
    return frames, observations


def test_no_ops_are_drawn_for_each_episode_and_repeat_with_the_seed(created):
    frames, observations = no_ops(created(ATARI, "max_episode_eval"), 8)
    assert len(set(frames)) > 4 and 0 <= min(frames) < max(frames) < 30
    again = no_ops(created(ATARI, "max_episode_eval"), 8)
    assert again[0] == frames
    np.testing.assert_array_equal(again[1], observations)


def test_the_first_observation_is_the_screen_after_the_no_ops(created):
    # Pong's ball is served by itself, so that doing nothing changes the screen.
    pong = created([*ATARI, "create_atari_environment.game_name = 'Pong'"], "max_episode_eval")
    pong._max_noops = 400
    reset = pong._environment.reset()
    pong._seed_environment(0)
    pong._no_op_seeds = np.random.SeedSequence(1)
    pong._environment.reset()
    after = pong._run_no_ops()
    screen = np.empty((210, 160), np.uint8)
    pong._environment.environment.env.ale.getScreenGrayscale(screen)
    assert (after != reset).any()
    pong._environment.screen_buffer[0][:] = screen
    pong._environment.screen_buffer[1].fill(0)
    np.testing.assert_array_equal(after, pong._environment._pool_and_resize())


def test_a_lost_life_during_no_ops_is_not_charged_to_the_first_action(created):
    runner = created(ATARI, "max_episode_eval")
    runner._seed_environment(0)
    runner._environment.reset()
    runner._environment.lives = 6  # as if one had been lost
    runner._run_no_ops()
    assert not runner._environment.step(0)[2]


def test_nothing_reaches_stdout(tmp_path, capfd):
    play(tmp_path / "run", "atari, max episodes", num_iterations=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("iteration 0 done  average train return ")


def test_a_long_evaluation_shows_that_it_goes_on(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("dormant.runs.progress._LINE_PERIOD", 0.0)
    play(tmp_path / "run", "cartpole, train and eval", num_iterations=1)
    lines = capfd.readouterr().err.splitlines()
    assert sum("eval return" in line for line in lines) >= 3


def test_a_continuous_run_writes_its_scalars_once(finished):
    name, base_dir, _ = finished
    assert not list(base_dir.glob("events.*"))
    if name.startswith("mujoco"):
        assert list((base_dir / "metrics" / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("name", ["cartpole, train", "mujoco, train"])
def test_config_gin_names_the_environment_again(name, tmp_path):
    play(tmp_path / "run", name, num_iterations=1)
    config = gin.operative_config_str()
    RunRecord(str(tmp_path / "run"), seed=3, start_iteration=0, command=["python"], config=config)
    preflight.load_gin([str(tmp_path / "run" / "config.gin")], [])
    preflight.check_environment()
    again = create_dormant_runner(str(tmp_path / "again"))
    again.run_experiment()
    assert records(tmp_path / "again") == records(tmp_path / "run")


@pytest.mark.parametrize("name", ["cartpole, train", "mujoco, train and eval"])
def test_an_agent_that_fails_leaves_no_folder(name, tmp_path, monkeypatch):
    def refuse(environment):
        raise ConfigurationError("an option is wrong")

    load(*RUNS[name])
    monkeypatch.setattr(RecordingAgent, "for_environment", staticmethod(refuse))
    with pytest.raises(ConfigurationError, match="an option is wrong"):
        create_dormant_runner(str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_a_clear_error(tmp_path):
    # Box2D is in none of the project's extras.
    bindings = ["create_gym_environment.environment_name = 'LunarLander'",
                "create_gym_environment.version = 'v3'"]  # fmt: skip
    load([*CARTPOLE, *bindings], "continuous_train")
    with pytest.raises(ConfigurationError, match="the environment needs a package: Box2D"):
        create_dormant_runner(str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
