# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the config.gin of a run says: its settings, its game, and how long it was to be."""

import re
from collections.abc import Iterable, Mapping

UNKNOWN_GAME = "unknown game"
# What may be another in a run that goes on: how long it is, and how it is computed and kept.
FREE = (
    "num_iterations",
    "checkpoint_frequency",
    "checkpoint_duration",
    "keep_every",
    "override_number",
    "log_every_n",
    "threads",
    "devices",
    "one_dispatch",
    "coordinator_address",
)
# The parameters that name the environment, in the operative configuration of each kind of run. A
# study on Atari has others, too, which name an environment that it does not play.
_ATARI_STUDY = re.compile(r"(?:.*[./])?Atari\.game")
_GAME = re.compile(
    r"(?:.*[./])?(?:create_atari_environment\.game_name|create_gym\w*\.environment_name"
    r"|create_minatar_env\w*\.game_name|VectorizedDQN\.environment|GameSequence\.games"
    r"|Images\.source|\w+\.environment_name)"
)
_GYM_VERSION = re.compile(r"(?:.*[./])?create_gym\w*\.version")
_ITERATIONS = re.compile(r"(?:.*[./])?(?:\w*Runner|VectorizedRun|StudyRun)\.num_iterations")
# What the runs of one cell differ in: their seeds, how many there are, and paths.
_OF_EACH_RUN = re.compile(r"(?:.*\.)?(?:seed|seeds|first_seed|\w+_run|run|folder)")


def settings_in(config: str) -> dict[str, str]:
    """{scope/configurable.parameter: value} of a configuration as gin writes it, the names of
    macros among them; a value on several lines is one."""
    found: dict[str, str] = {}
    name = ""
    for line in config.split("\n"):
        if line[:1] == " ":  # a value that goes on
            found[name] = found.get(name, "") + line.strip()
        elif line[:1] != "#" and " = " in line:
            name, value = line.split(" = ", 1)
            found[name] = value.removesuffix("\\")
    return found


def game_of(config: str) -> str:
    """The game, or other environment, that a configuration names; `UNKNOWN_GAME` for none.

    Of Gymnasium's environments it has the version, two of which are two games.
    """
    settings = _parameters_in(config)
    named = _first(settings, _ATARI_STUDY) or _first(settings, _GAME)
    game = named and _text(settings, named)
    if not game:
        return UNKNOWN_GAME
    if "create_minatar_env" in named:
        # Its "asterix" is neither Atari's nor gymnax's, and must not have their reference scores.
        return f"{game} (MinAtar 1.0)"
    version = _first(settings, _GYM_VERSION) if "create_gym" in named else ""
    return "-".join(filter(None, (game, version and _text(settings, version))))


def iterations_of(config: str) -> int:
    """How many iterations a run was to have; 0 where its configuration does not say it."""
    settings = _parameters_in(config)
    said = settings.get(_first(settings, _ITERATIONS), "")
    return int(said) if said.isdecimal() else 0


def differing(configs: Iterable[str]) -> dict[str, list[str]]:
    """{parameter: its values} of what is not the same in the configurations of runs that are to
    differ in their seeds alone; without what is `FREE`, and without paths."""
    each = [found for found in map(_parameters_in, dict.fromkeys(configs)) if found]
    found = {}
    for name in dict.fromkeys(name for settings in each for name in settings):
        # What only one of two versions of the package has is not another.
        values = list(dict.fromkeys(settings[name] for settings in each if name in settings))
        is_own = name.rpartition(".")[2] in FREE or _OF_EACH_RUN.fullmatch(name)
        if len(values) > 1 and not is_own and not any(map(_is_path, values)):
            found[name] = values
    return found


def _parameters_in(config: str) -> dict[str, str]:
    """`settings_in` without macros, whose values stand where they are used."""
    settings = settings_in(config)
    return {
        name: settings.get(value[1:], value) if value.startswith("%") else value
        for name, value in settings.items()
        if "." in name
    }


def _is_path(value: str) -> bool:
    return value[:1] in ("'", '"') and "/" in value


def _first(settings: Mapping[str, str], pattern: re.Pattern[str]) -> str:
    """The first parameter of a kind; "" without one."""
    return next(filter(pattern.fullmatch, settings), "")


def _text(settings: Mapping[str, str], name: str) -> str:
    """The text of a parameter; "" for anything else."""
    quoted = re.fullmatch(r"(['\"])(.+)\1", settings[name].strip())
    return quoted.group(2) if quoted else ""
