# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Mistakes in the flags, the gin files and the options: one line, exit code 2, nothing created.
`main` is called in this process; test_train.py starts real ones."""

import os
import sys
import warnings

import pytest

from dormant import train
from dormant.agents import preflight
from dormant.checks import ConfigurationError
from dormant.runs import gin_files
from dormant.runs.atari_games import atari_games

with warnings.catch_warnings():
    # tensorflow-probability warns about distutils while it is imported, whatever we do.
    warnings.simplefilter("ignore")
    from tests.agents.recording_agent import ATARI, CARTPOLE, MINATAR, MUJOCO


@pytest.fixture
def refused(gin_configs, tmp_path, capfd):
    """`refused(*bindings)`: the one line that `main` prints; asserts that nothing was created."""

    def run(*bindings, gin_file=None, base_dir=None, extra=()):
        base_dir = tmp_path / "run" if base_dir is None else base_dir
        gin_file = gin_configs / "dqn_redo.gin" if gin_file is None else gin_file
        capfd.readouterr()
        flags = [f"--gin_files={gin_file}", f"--base_dir={base_dir}", *extra]
        before = sorted(os.walk(tmp_path))
        assert train.main([*flags, *(f"--gin_bindings={line}" for line in bindings)]) == 2
        assert sorted(os.walk(tmp_path)) == before
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1 and err.startswith("dormant.train: error: ")
        return err.removeprefix("dormant.train: error: ").strip()

    return run


@pytest.mark.parametrize(
    ("binding", "line"),
    [
        ("ReDo.tua = 0.1", "gin: Configurable 'ReDo' doesn't have a parameter named 'tua' in"
         " --gin_bindings; did you mean ReDo.tau?"),
        ("JaxDQNAgent.gama = 0.9", "gin: Configurable 'JaxDQNAgent' doesn't have a parameter named"
         " 'gama' in --gin_bindings; did you mean JaxDQNAgent.gamma?"),
        ("DormantDQNAgent.gamma = 0.9", "gin: Configurable 'DormantDQNAgent' doesn't have a"
         " parameter named 'gamma' in --gin_bindings; did you mean JaxDQNAgent.gamma?"),
        ("Redoo.tau = 0.1", "gin: No configurable matching 'Redoo' in --gin_bindings; did you mean"
         " ReDo?"),
        ("LearnerOptions.intervention = @Redo()", "gin: No configurable matching reference"
         " '@Redo()' in --gin_bindings; did you mean ReDo or ReBorn?"),
        ("import dormant.agnets", "gin: No module named 'dormant.agnets' in --gin_bindings"),
        ("include 'dqnn.gin'", "gin: Unable to open file: dqnn.gin in --gin_bindings"),
        ("ReDo.tau = 0.1 0.2", "gin: Expected newline in --gin_bindings, line 1:"
         " ReDo.tau = 0.1 0.2"),
        ("ReDo.tau = nan", "gin: a value must be a number, a quoted text, True, False, None, a list"
         " of these, @name or %name; got nan in --gin_bindings, line 1: ReDo.tau = nan"),
        ("ReDo.tau = -0.1", "`ReDo.tau` must be a number >= 0, a schedule of the gradient step,"
         " called, or `adaptive_tau(...)`; got -0.1"),
        ("LearnerOptions.replay_ratio = 0.3", "`replay_ratio` * update_period, the gradient updates"
         " of one burst, must be a whole number >= 1, at update_period 4 with 0.25 or 0.5;"
         " got 0.3"),
        ("LearnerOptions.intervention = 'on'", "`LearnerOptions.intervention` must be None or an"
         " intervention such as @ReDo(), with its parentheses; got 'on'"),
        ("atari_lib.create_atari_environment.game_name = 'SpaceInvader'",
         "create_atari_environment.game_name: the ALE has no game 'SpaceInvader'; did you mean"
         " SpaceInvaders or SpaceWar?"),
        ("atari_lib.create_atari_environment.game_name = None",
         "`create_atari_environment.game_name` must be the name of a game, such as 'Pong';"
         " got None"),
        ("create_runner.schedule = 'continuous_train_and_eval'",
         "`create_runner.schedule` must be left out: bind create_dormant_runner.schedule; got"
         " 'continuous_train_and_eval'"),
        ("JaxDQNAgent.allow_partial_reload = True",
         "`JaxDQNAgent.allow_partial_reload` must be False with DormantDQNAgent: a checkpoint holds"
         " all that a run needs, or is refused; got True"),
        ("create_dormant_runner.schedule = 'train'", "`create_dormant_runner.schedule` must be one"
         " of 'continuous_train', 'continuous_train_and_eval', 'max_episode_eval'; got 'train'"),
        ("create_dormant_runner.agent = None", "`create_dormant_runner.agent` must be an agent such"
         " as @DormantDQNAgent; got None"),
        ("Runner.num_iterations = 0", "`Runner.num_iterations` must be a whole number >= 1;"
         " got 0"),
        ("Runner.max_steps_per_episode = -1", "`Runner.max_steps_per_episode` must be a whole"
         " number of agent steps >= 1; got -1"),
        ("ReplayBuffer.max_capacity = 10", "`ReplayBuffer.max_capacity` must be a whole number of"
         " transitions >= 32; got 10"),
        ("ReplayBuffer.batch_size = 0", "`ReplayBuffer.batch_size` must be a whole number >= 1;"
         " got 0"),
        ("ReplayBuffer.compress = True", "`ReplayBuffer.compress` must be False: each frame is"
         " stored once, as it is; got True"),
        # Dopamine's own logger creates its folder early; not before the options are checked.
        ("Runner.use_legacy_logger = True\nReDo.period = 0", "`ReDo.period` must be a whole"
         " number >= 1; got 0"),
    ],
)  # fmt: skip
def test_a_wrong_binding_is_explained_in_one_line(refused, binding, line):
    assert refused(*binding.split("\n")) == line


def test_a_replay_that_does_not_fit_into_the_machine(refused):
    line = refused("ReplayBuffer.max_capacity = 1_000_000_000_000")
    assert line.startswith("`ReplayBuffer.max_capacity` must fit into this machine's")
    assert "memory: 7077000.00 GB are needed, " in line and line.endswith("; got 1000000000000")


def test_a_name_that_gin_knows_twice(refused):
    line = refused("JaxDQNAgent.epsilon_fn = @identity_epsilon")
    assert line.startswith("gin: Ambiguous selector 'identity_epsilon', matches ['dopamine.")
    assert line.endswith("'] in --gin_bindings") and '"' not in line


def test_a_wrong_line_in_a_gin_file_is_located(refused, tmp_path):
    gin_file = tmp_path / "mine.gin"
    gin_file.write_text("include 'dqn_rdeo.gin'\nReDo.perod = 5\n")
    assert "Unable to open file: dqn_rdeo.gin" in refused(gin_file=gin_file)
    gin_file.write_text("ReDo.period = 5\nReDo.perod = 5\n")
    line = refused(gin_file=gin_file)
    assert line.endswith(f'in "{gin_file}", line 2; did you mean ReDo.period?')


def test_a_gin_file_that_does_not_exist(refused, gin_configs):
    line = refused(gin_file=gin_configs / "dqn_rdeo.gin")
    start = f"--gin_files {gin_configs}/dqn_rdeo.gin: no such file; did you mean"
    assert line.startswith(f"{start} {gin_configs}/dqn_redo.gin or ") and line.endswith(".gin?")
    assert refused(gin_file="/nowhere/a.gin") == "--gin_files /nowhere/a.gin: no such file"


def test_a_base_dir_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert refused(base_dir=tmp_path / "file" / "run") == (
        f"--base_dir {tmp_path}/file/run: {tmp_path}/file is not a folder"
    )
    assert refused(base_dir=tmp_path / "file") == (
        f"--base_dir {tmp_path}/file: {tmp_path}/file is not a folder"
    )
    line = refused(base_dir="/proc/run")
    assert line.startswith("--base_dir /proc/run cannot be written: /proc: ")
    assert "must be a folder of this machine" in refused(base_dir="gs://bucket/run")


def test_a_folder_without_permission_is_refused(refused, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("permission bits do not hold this user, who is root")
    assert "cannot be written" in refused(base_dir=locked / "run")


def test_wrong_flags(refused, capfd):
    assert refused(extra=["--gin_file=x"]).startswith("Unknown command line flag 'gin_file'")
    assert refused(extra=["run"]) == "every argument must be a flag; got 'run'"
    assert train.main([]) == 2
    assert train.main(["--base_dir=run"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" must be given")[0] for line in lines] == [
        "dormant.train: error: `--base_dir`", "dormant.train: error: `--gin_files`"
    ]  # fmt: skip


def test_help_is_printed_and_nothing_else_happens(capfd):
    assert train.main(["--help"]) == 0
    out, err = capfd.readouterr()
    assert "--gin_files" in out and "--gin_bindings" in out and "--base_dir" in out
    assert err == ""


def test_a_mistake_of_ours_keeps_its_traceback(gin_configs, tmp_path, monkeypatch):
    def fail():
        raise ValueError("a mistake in the code, not in the configuration")

    monkeypatch.setattr(preflight, "check_environment", fail)
    flags = [f"--gin_files={gin_configs / 'dqn.gin'}", f"--base_dir={tmp_path / 'run'}"]
    with pytest.raises(ValueError, match="a mistake in the code"):
        train.main(flags)


def test_every_game_of_the_paper_exists():
    seventeen = (
        "Asterix BeamRider Breakout DemonAttack DoubleDunk Enduro IceHockey Jamesbond MsPacman"
        " Pong Qbert RoadRunner Seaquest SpaceInvaders WizardOfWor YarsRevenge Zaxxon"
    ).split()
    assert set(seventeen) <= set(atari_games())


def test_a_base_dir_may_lie_several_new_folders_deep(tmp_path):
    assert gin_files.check_base_dir(str(tmp_path / "a" / "b")) == str(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError):
        gin_files.check_base_dir("")


@pytest.mark.parametrize(
    ("environment", "bindings", "line"),
    [
        (MUJOCO, ["create_gym_environment.environment_name = 'HalfCheeta'"],
         "create_gym_environment.environment_name: Gymnasium has no environment 'HalfCheeta'; did"
         " you mean HalfCheetah?"),
        (MUJOCO, ["create_gym_environment.environment_name = None"],
         "`create_gym_environment.environment_name` must be the name of an environment, such as"
         " 'HalfCheetah'; got None"),
        (MUJOCO, ["create_gym_environment.version = 'v2'"],
         "`create_gym_environment.version` must be one of 'v4', 'v5'; got 'v2'"),
        (CARTPOLE, ["create_gym_environment.version = 4"],
         "`create_gym_environment.version` must be one of 'v0', 'v1'; got 4"),
        (MINATAR, ["create_minatar_env.game_name = 'pong'"],
         "create_minatar_env.game_name: MinAtar has no game 'pong'"),
        (MINATAR, ["create_minatar_env.game_name = 'break_out'"],
         "create_minatar_env.game_name: MinAtar has no game 'break_out'; did you mean breakout?"),
        (MUJOCO, ["create_dormant_runner.schedule = 'max_episode_eval'"],
         "`create_dormant_runner.schedule` must be one of"
         " 'continuous_train', 'continuous_train_and_eval'; got 'max_episode_eval'"),
        (MUJOCO, ["Runner.num_iterations = 1"],
         "`Runner.num_iterations` must be left out where actions are continuous: bind"
         " ContinuousRunner.num_iterations; got 1"),
        (ATARI, ["ContinuousRunner.clip_rewards = True"],
         "`ContinuousRunner.clip_rewards` must be left out where actions are discrete: bind"
         " Runner.clip_rewards; got True"),
        (MUJOCO, ["ContinuousRunner.training_steps = 0"],
         "`ContinuousRunner.training_steps` must be a whole number >= 1; got 0"),
        (MUJOCO, ["ContinuousRunner.max_steps_per_episode = 2.5"],
         "`ContinuousRunner.max_steps_per_episode` must be a whole number of agent steps >= 1;"
         " got 2.5"),
        (MUJOCO, ["ContinuousRunner.max_step = 1"],
         "gin: Configurable 'ContinuousRunner' doesn't have a parameter named 'max_step' in"
         " --gin_bindings"),
        (MUJOCO, ["create_dormant_runner.agent = @RecordingAgent",
                  "Runner.create_environment_fn = @gym_lib.create_gym_environment"],
         "`create_environment_fn` must be of discrete actions, as RecordingAgent needs them; got"
         " 'continuous'"),
        (ATARI, ["create_dormant_runner.schedule = 'max_episode_eval'",
                 "MaxEpisodeEvalRunner.num_eval_episodes = 0"],
         "`MaxEpisodeEvalRunner.num_eval_episodes` must be a whole number of episodes >= 1;"
         " got 0"),
        (ATARI, ["create_dormant_runner.schedule = 'max_episode_eval'",
                 "Runner.max_steps_per_episode = None"],
         "`Runner.max_steps_per_episode` must be a whole number of agent steps >= 1; got None"),
        (CARTPOLE, ["create_dormant_runner.schedule = 'max_episode_eval'"],
         "`MaxEpisodeEvalRunner.max_noops` must be 0 in an environment of create_gym_environment:"
         " only Atari games have no-ops; got 30"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained_in_one_line(environment, bindings, line, tmp_path, capfd):
    gin_file = tmp_path / "mine.gin"
    replay = ["ReplayBuffer.max_capacity = 100", "ReplayBuffer.batch_size = 32"]
    gin_file.write_text("\n".join([*environment, *replay]))
    flags = [f"--gin_files={gin_file}", f"--base_dir={tmp_path / 'run'}"]
    assert train.main([*flags, *(f"--gin_bindings={binding}" for binding in bindings)]) == 2
    assert capfd.readouterr() == ("", f"dormant.train: error: {line}\n")
    assert not (tmp_path / "run").exists()


class WithoutMinAtar:
    """A finder that finds no MinAtar, and leaves every other package to the ones after it."""

    def find_spec(self, name, path=None, target=None):
        if name == "minatar":
            raise ModuleNotFoundError("No module named 'minatar'", name=name)


def test_a_missing_minatar_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [WithoutMinAtar(), *sys.meta_path])
    for module in ("minatar", "dopamine.labs.environments.minatar.minatar_env"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'dormant\[minatar]'"):
        preflight.load_gin([], MINATAR)
