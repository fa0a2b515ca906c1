# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Names of games as people write them, and what they have in common."""

import re
from typing import NamedTuple

_PARTS = re.compile(
    r"(?:(?P<module>\w+):)?(?:(?P<namespace>.*)/)?"
    r"(?P<name>.+?)(?P<atari>NoFrameskip|Deterministic)?(?P<version>-v\d+)?"
)
# Modules that register games of no other kind than those without a module.
_MODULES = ("", "ale_py", "gym", "gymnasium")


class GameName(NamedTuple):
    """The parts of a game's name: of "ALE/Pong-v5" they are "ale", "pong", "-v5" and True."""

    namespace: str  # in lower case; "" for none
    name: str  # letters and digits alone, in lower case
    version: str  # such as "-v4"; "" for none
    says_atari: bool  # whether namespace or suffix say that it is a game of the ALE


def parts_of(game: str) -> GameName:
    """The parts of a name as Dopamine, ALE, Gymnasium and others write it."""
    found = _PARTS.fullmatch(game.strip())
    if found is None:
        return GameName("", letters(game), "", False)
    module, namespace, name, atari, version = (part or "" for part in found.groups())
    namespace = namespace.lower()
    if module.lower() not in _MODULES:
        namespace = f"{module.lower()}:{namespace}"
    says_atari = namespace == "ale" or (not namespace and bool(atari))
    return GameName(namespace, letters(name), version, says_atari)


def letters(text: str) -> str:
    """Its letters and digits in lower case: sources write the marks between them differently."""
    return re.sub(r"[\W_]", "", text.lower())


def is_name_of(text: str, game: str) -> bool:
    """Whether a text, such as a folder's name, is a name of a game; "Breakout" is one of
    "Breakout-MinAtar"."""
    names = {parts_of(text).name, letters(text)} - {""}
    bare = re.sub(r"[- ]\(?MinAtar( 1\.0\))?$", "", game)
    return bool(names & {letters(game), parts_of(game).name, letters(bare)})
