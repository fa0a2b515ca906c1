# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Released Dopamine and its ReDo agent run on the installed packages, each shim still being needed.
A shim that is no longer needed fails here: then it is deleted."""

import importlib
import subprocess
import sys
import textwrap
import types
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import xla

from benchmarks import released_redo
from dormant.agents import dopamine_compat

with warnings.catch_warnings():
    # tensorflow-probability warns about distutils while it is imported, whatever we do.
    warnings.simplefilter("ignore")
    released_redo.install_released_redo()
    from dopamine.discrete_domains import atari_lib, gym_lib

    from benchmarks import released_agent

ALL_SHIMS = dopamine_compat.SHIMS + released_redo.RELEASED_REDO_SHIMS


@pytest.mark.parametrize("shim", ALL_SHIMS, ids=lambda shim: shim.name)
def test_shim_is_still_needed(shim):
    assert shim.needed(), (
        f"the installed packages no longer need the shim {shim.name!r} ({shim.issue}): delete it"
    )


def shim_named(name):
    return next(shim for shim in ALL_SHIMS if shim.name == name)


@pytest.mark.parametrize(
    ("name", "packages"),
    [("baselines", ["baselines"]), ("control_suite", ["dm_control", "dm_env"])],
)
def test_shim_is_not_needed_once_its_packages_are_installed(name, packages, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    for package in packages:
        (tmp_path / package).mkdir()
    assert shim_named(name).needed()  # folders of that name are no packages
    for package in packages:
        (tmp_path / package / "__init__.py").write_text("")
    importlib.invalidate_caches()
    assert not shim_named(name).needed()


def test_aval_mappings_are_not_needed_once_jax_has_them(monkeypatch):
    monkeypatch.delattr(xla, "_pytype_aval_mappings_given_back")  # as if JAX itself had the name
    assert not shim_named("pytype_aval_mappings").needed()


def test_environment_seeding_is_still_needed():
    for wrapper in (atari_lib.AtariPreprocessing, gym_lib.GymPreprocessing):
        arguments = wrapper.reset.__code__.co_varnames[: wrapper.reset.__code__.co_argcount]
        assert "seed" not in arguments, f"{wrapper.__name__}.reset now takes a seed: pass it there"


def test_every_shim_names_its_issue_and_its_reason():
    assert len({shim.name for shim in ALL_SHIMS}) == len(ALL_SHIMS)
    for shim in ALL_SHIMS:
        known = shim.issue == dopamine_compat.NOT_REPORTED
        assert known or shim.issue.startswith("https://github.com/")
        assert len(shim.reason.split(". ")) > 1


def test_installing_again_changes_nothing():
    finders, mapping = list(sys.meta_path), xla.pytype_aval_mappings
    dopamine_compat.install()
    released_redo.install_released_redo()
    assert sys.meta_path == finders
    assert xla.pytype_aval_mappings is mapping


def test_aval_mappings_are_the_object_of_jax_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert xla.pytype_aval_mappings is jax.core.pytype_aval_mappings


def test_freeze_is_replaced_in_the_weight_recyclers_only():
    from dopamine.labs.redo import weight_recyclers

    tree = {"kernel": jnp.ones(2)}
    assert weight_recyclers.flax.core.freeze(tree) is tree
    assert isinstance(flax.core.freeze(tree), flax.core.FrozenDict)


def test_missing_dopamine_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dopamine", None)
    with pytest.raises(ModuleNotFoundError, match=r"not installed.* 'dormant\[dopamine]'"):
        dopamine_compat.install()


def test_another_package_named_dopamine_is_recognized(monkeypatch, tmp_path):
    (tmp_path / "dopamine").mkdir()
    (tmp_path / "dopamine" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dopamine")
    with pytest.raises(ModuleNotFoundError, match="is not dopamine-rl"):
        dopamine_compat.install()


def test_half_imported_dopamine_is_an_error(monkeypatch):
    name = "dopamine.discrete_domains.atari_lib"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with pytest.raises(ImportError, match=f"{name} is already half imported"):
        dopamine_compat.install()


def test_jax_without_aval_mappings_is_an_error(monkeypatch):
    monkeypatch.setitem(vars(jax.core), "pytype_aval_mappings", None)
    with pytest.raises(ImportError, match=f"jax>=0.10.2,<0.11.*got {jax.__version__}"):
        dopamine_compat.install()


def run_python(program):
    """Runs a program in a fresh interpreter, from the repository root as pytest does."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_without_the_shims_dopamine_does_not_import():
    result = run_python("import dopamine.discrete_domains.atari_lib")
    assert result.returncode != 0
    assert "No module named 'baselines'" in result.stderr


@pytest.mark.slow
def test_both_run_experiments_import_in_a_fresh_process():
    result = run_python("""
        import sys
        import dormant.agents
        assert not [name for name in sys.modules if name.startswith("dopamine.")]
        from dopamine.continuous_domains import run_experiment as continuous
        from dopamine.discrete_domains import atari_lib, run_experiment
        import gymnasium
        assert run_experiment.Runner and continuous.ContinuousRunner
        assert isinstance(gymnasium.spaces.Box(-1, 1), continuous.spaces.box.Box)
        assert not {"baselines", "dm_control", "dm_env"} & set(sys.modules), "stand-ins are left"
        try:
            atari_lib.create_atari_environment("Pong", use_ppo_preprocessing=True)
        except AttributeError as error:
            print(error)
        """)
    assert result.returncode == 0, result.stderr
    assert "the optional package `baselines`" in result.stdout


def frames_of(seed, actions):
    environment = atari_lib.create_atari_environment("Breakout")  # sticky actions are its noise
    dopamine_compat.seed_environment(environment, seed)
    frames = [environment.reset()]
    for action in actions:
        observation, _, terminal, _ = environment.step(action)
        frames.append(environment.reset() if terminal else observation)
    return np.stack(frames)


def test_environment_seed_fixes_every_frame():
    actions = np.random.default_rng(0).integers(4, size=150)
    first, again, other = (frames_of(seed, actions) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("seed", [-1, 0.5, "7", None, True])
def test_invalid_environment_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be a whole number >= 0; got"):
        dopamine_compat.seed_environment(types.SimpleNamespace(environment=None), seed)


def test_environment_without_a_wrapper_is_refused():
    with pytest.raises(ValueError, match="must be a Dopamine wrapper.*got object"):
        dopamine_compat.seed_environment(object(), 0)


def silenced(params, neurons):
    """Makes neurons of the nature network's dense layer silent on every input."""
    layers = dict(params["params"])
    dense = layers["Dense_0"]
    layers["Dense_0"] = {
        "kernel": dense["kernel"].at[:, neurons].set(0.0),
        "bias": dense["bias"].at[neurons].set(-1.0),
    }
    return {"params": layers}


@pytest.mark.slow
def test_released_agent_trains_on_atari_and_recycles():
    period, neurons = 7, np.arange(3)
    agent, environment = released_agent.released_agent(
        "Pong",
        seed=0,
        replay_ratio=0.25,
        period=period,
        logging_period=period,
        score_batch=8,
        min_replay_history=41,
        replay_capacity=100,
    )
    steps = released_agent.agent_steps(agent, environment)

    def adam():
        return agent.optimizer_state[0]

    while adam().count == 0:
        next(steps)
    # Gradient steps are numbered by agent steps, so the first one is not number 0 or 1.
    assert agent.gradient_step == (agent.training_steps - 1) // 4 > 1
    first = agent.gradient_step
    agent.online_params = silenced(agent.online_params, neurons)
    assert jnp.abs(adam().mu["params"]["final_layer"]["kernel"]).sum() > 0
    while agent.gradient_step % period:
        next(steps)
    assert adam().count == 1 + agent.gradient_step - first  # recycling keeps Adam's count

    dense = agent.online_params["params"]["Dense_0"]
    assert (jnp.abs(dense["kernel"][:, neurons]).sum(axis=0) > 1.0).all()
    assert (dense["bias"][neurons] == 0.0).all()
    assert (agent.online_params["params"]["final_layer"]["kernel"][neurons] == 0.0).all()
    for moment in (adam().mu, adam().nu):
        assert (moment["params"]["Dense_0"]["kernel"][:, neurons] == 0.0).all()
        assert (moment["params"]["final_layer"]["kernel"][neurons] == 0.0).all()

    recycled_at = int(adam().count)
    for _ in range(8):
        next(steps)
    assert adam().count == recycled_at + 2
    assert jnp.isfinite(agent.online_params["params"]["final_layer"]["kernel"]).all()


@pytest.mark.parametrize("replay_ratio", [0.1, 0.3, -1.0])
def test_replay_ratio_that_gives_no_whole_burst(replay_ratio):
    with pytest.raises(ValueError, match="whole number >= 1, received replay_ratio"):
        released_agent.updates_per_burst(replay_ratio)
