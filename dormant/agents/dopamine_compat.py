# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Makes released dopamine-rl 4.1.2 import and run on today's JAX and Gymnasium, in one place.

`install()` applies each shim that is still needed; none changes what Dopamine computes.
"""

import contextlib
import dataclasses
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import operator
import pathlib
import re
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator

from dormant.checks import check_count

NOT_REPORTED = "not reported upstream"


class Shim(typing.NamedTuple):
    """One difference between what a released package expects and what is installed today.

    Attributes:
      name: short name, unique among the shims.
      issue: address of the upstream issue, or `NOT_REPORTED`.
      reason: what fails without the shim, and why the shim leaves every computed number alone.
      needed: says whether the packages installed now fail without the shim, also after `apply`.
      apply: puts the shim in place; calling it again changes nothing.
    """

    name: str
    issue: str
    reason: str
    needed: Callable[[], bool]
    apply: Callable[[], None]


def install() -> None:
    """Applies every shim that the installed packages still need, before the first Dopamine import.

    Imports no Dopamine module: what concerns one module happens when that module is imported.
    Calling it again changes nothing. `import dormant.agents` calls it.

    Raises:
      ModuleNotFoundError: dopamine-rl is not installed.
      ImportError: a Dopamine module that a shim must surround is half imported, or the installed
        JAX is too new for the tensorflow-probability that Dopamine imports.
    """
    _dopamine_folder()
    for shim in SHIMS:
        if shim.needed():
            shim.apply()


def seed_environment(environment: typing.Any, seed: int) -> None:
    """Seeds the randomness of a Dopamine environment (sticky actions, start states), once a run.

    The `reset()` of Dopamine's wrappers takes no seed (google/dopamine #96), so a repeatable run
    calls this right after it created the environment. The resets that follow continue the same
    random stream. Nothing else about the environment changes.

    Args:
      environment: a Dopamine wrapper: of Atari or Gymnasium, with the wrapped environment in
        `.environment`, or of MinAtar, with the game in `.env`.
      seed: whole number >= 0; for MinAtar below 2**32.

    Raises:
      ValueError: the seed is negative or not whole, or the environment is not such a wrapper.
    """
    check_count("seed", seed, 0)
    seed = operator.index(seed)
    if hasattr(environment, "environment"):
        environment.environment.reset(seed=seed)
    elif hasattr(getattr(environment, "env", None), "sticky_action_prob"):
        environment.env.seed(seed)
        # What a sticky first action repeats; MinAtar's reset leaves the old one.
        environment.env.last_action = 0
        if hasattr(environment, "_rng"):  # Dopamine's sticky actions, on top of MinAtar's own
            import jax

            environment._rng = jax.random.PRNGKey(seed)
    else:
        raise ValueError(
            "`environment` must be a Dopamine wrapper, with the wrapped environment in"
            f" `.environment` or `.env`; got {type(environment).__name__}"
        )


# What is installed. Sources are read and not imported, so that asking is cheap and has no effect.


def _is_installed(package: str) -> bool:
    """Whether a top-level package can be imported; a stray folder of that name does not count."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # somebody else's stand-in is in sys.modules, without a spec
        return True
    return spec is not None and spec.origin is not None


def _package_folder(package: str) -> pathlib.Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return pathlib.Path(next(iter(spec.submodule_search_locations)))


def _dopamine_folder() -> pathlib.Path:
    folder = _package_folder("dopamine")
    if folder is None:
        problem = "Dopamine is not installed"
    elif not (folder / "discrete_domains").is_dir():
        problem = "the installed package `dopamine` is not dopamine-rl"
    else:
        return folder
    raise ModuleNotFoundError(
        f"{problem}; dormant.agents needs dopamine-rl: pip install 'dormant[dopamine]'",
        name="dopamine",
    )


def _source(folder: pathlib.Path | None, file: str) -> str:
    path = folder and folder / file
    return path.read_text(encoding="utf-8") if path and path.is_file() else ""


def _imports(file: str, statement: str) -> bool:
    """Whether a file of Dopamine has a line that begins with such an import."""
    source = _source(_dopamine_folder(), file)
    return re.search(rf"^{statement}\b", source, flags=re.MULTILINE) is not None


def _imports_what_is_missing(file: str, *packages: str) -> bool:
    """Whether a file of Dopamine imports one of the packages that is not installed."""
    return any(
        _imports(file, f"(from|import) {package}") and not _is_installed(package)
        for package in packages
    )


# Patches that belong to the import of one module.


class _StandIn(types.ModuleType):
    """Module in place of one that is not installed; using anything of it says what is missing."""

    def __getattr__(self, name: str) -> typing.Any:
        package = self.__name__.partition(".")[0]
        raise AttributeError(
            f"{self.__name__}.{name} is not available: the optional package `{package}`, which"
            " Dopamine uses here, is not installed"
        )


@contextlib.contextmanager
def _stand_ins(names: tuple[str, ...]) -> Iterator[None]:
    """Stands in for missing packages while the body runs, so that no other package sees it.

    Each name is a dotted module, parents first; "module:Name" adds a class for annotations.
    """
    added: dict[str, types.ModuleType] = {}
    for name in names:
        module_name, _, class_name = name.partition(":")
        if _is_installed(module_name.partition(".")[0]):
            continue
        module = added[module_name] = _StandIn(module_name)
        if class_name:
            setattr(module, class_name, type(class_name, (), {}))
        parent, _, child = module_name.rpartition(".")
        if parent:
            setattr(added[parent], child, module)
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


@dataclasses.dataclass(frozen=True)
class _ModulePatch(importlib.abc.MetaPathFinder):
    """What surrounds the import of one Dopamine module; a frozen value, so adding it twice is seen.

    Attributes:
      module: full name of the module.
      last_name: something that the module defines last, to recognize a half-finished import.
      stand_ins: modules to stand in for missing packages, as `_stand_ins` takes them.
      finish: called with the imported module.
    """

    module: str
    last_name: str
    stand_ins: tuple[str, ...] = ()
    finish: Callable[[types.ModuleType], None] = lambda module: None

    def apply(self) -> None:
        loaded = sys.modules.get(self.module)
        if loaded is None:
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
        elif hasattr(loaded, self.last_name):
            self.finish(loaded)
        else:
            raise ImportError(
                f"{self.module} is already half imported, too late for its shim: import"
                " dormant.agents before the first Dopamine module",
                name=self.module,
            )

    def find_spec(self, fullname: str, path: typing.Any, target: typing.Any = None) -> typing.Any:
        if fullname != self.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return found
        execute = found.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            with _stand_ins(self.stand_ins):
                execute(module)
            self.finish(module)

        found.loader.exec_module = exec_module
        return found


# The shims themselves.


_GIVEN_BACK = "_pytype_aval_mappings_given_back"


def _aval_mappings_needed() -> bool:
    folder = _package_folder("tensorflow_probability")
    source = _source(folder, "python/internal/backend/jax/ops.py")
    if "jax.interpreters.xla.pytype_aval_mappings" not in source:
        return False
    from jax.interpreters import xla

    return hasattr(xla, _GIVEN_BACK) or not hasattr(xla, "pytype_aval_mappings")


def _aval_mappings_apply() -> None:
    import jax.core
    from jax.interpreters import xla

    with warnings.catch_warnings():  # for this one read; the same warning stays on elsewhere
        warnings.simplefilter("ignore", DeprecationWarning)
        mapping = getattr(jax.core, "pytype_aval_mappings", None)
    if mapping is None:
        raise ImportError(
            "tensorflow-probability, which Dopamine imports, reads pytype_aval_mappings and this"
            f" JAX has none: install jax>=0.10.2,<0.11 beside Dopamine; got {jax.__version__}"
        )
    xla.pytype_aval_mappings = mapping
    setattr(xla, _GIVEN_BACK, True)


def _accept_boxes_of_gymnasium(run_experiment: types.ModuleType) -> None:
    import gymnasium

    spaces = run_experiment.spaces
    if isinstance(spaces, types.ModuleType):  # not yet replaced
        boxes = (spaces.Box, gymnasium.spaces.Box)
        box_module = types.SimpleNamespace(Box=boxes)
        run_experiment.spaces = types.SimpleNamespace(Box=boxes, box=box_module)


SHIMS = (
    Shim(
        name="baselines",
        issue="https://github.com/google/dopamine/issues/227",
        reason=(
            "dopamine.discrete_domains.atari_lib imports baselines.common.atari_wrappers, which no"
            " requirement of dopamine-rl brings. Only use_ppo_preprocessing=True uses it, and that"
            " still fails, naming the missing package; every other environment never touches it."
        ),
        needed=functools.partial(
            _imports_what_is_missing, "discrete_domains/atari_lib.py", "baselines"
        ),
        apply=_ModulePatch(
            module="dopamine.discrete_domains.atari_lib",
            last_name="GameOverWrapper",
            stand_ins=("baselines", "baselines.common", "baselines.common.atari_wrappers"),
        ).apply,
    ),
    Shim(
        name="pytype_aval_mappings",
        issue="https://github.com/tensorflow/probability/issues/2009",
        reason=(
            "dopamine.jax.networks imports tensorflow-probability, which registers a class in"
            " jax.interpreters.xla.pytype_aval_mappings, a name that JAX 0.7 removed. The shim"
            " gives it back as the object it always was, jax.core.pytype_aval_mappings, where"
            " tensorflow-probability registers the same class a second time anyway."
        ),
        needed=_aval_mappings_needed,
        apply=_aval_mappings_apply,
    ),
    Shim(
        name="control_suite",
        issue=NOT_REPORTED,
        reason=(
            "dopamine.continuous_domains.run_experiment imports wrappers of the DeepMind control"
            " suite, and they dm_control and dm_env, which dopamine-rl does not require. Gym"
            " environments use nothing of them; asking for a control suite environment still"
            " fails, naming the missing package."
        ),
        needed=functools.partial(
            _imports_what_is_missing,
            "labs/sac_from_pixels/deepmind_control_lib.py",
            "dm_control",
            "dm_env",
        ),
        apply=_ModulePatch(
            module="dopamine.labs.sac_from_pixels.deepmind_control_lib",
            last_name="DeepmindControlWithImagesPreprocessing",
            stand_ins=(
                "dm_control",
                "dm_control.suite",
                "dm_control.rl",
                "dm_control.rl.control:Environment",
                "dm_env:TimeStep",
                "dm_env.specs",
            ),
        ).apply,
    ),
    Shim(
        name="gymnasium_spaces",
        issue=NOT_REPORTED,
        reason=(
            "dopamine.continuous_domains.run_experiment asserts that the spaces are gym.spaces.Box"
            " while its environments come from Gymnasium. The shim lets those assertions accept"
            " either Box; they compute nothing."
        ),
        needed=functools.partial(
            _imports, "continuous_domains/run_experiment.py", "from gym import spaces"
        ),
        apply=_ModulePatch(
            module="dopamine.continuous_domains.run_experiment",
            last_name="ContinuousTrainRunner",
            finish=_accept_boxes_of_gymnasium,
        ).apply,
    ),
)
