# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What this process has compiled, and what JAX's cache of compiled programs saved it."""

from typing import Any, NamedTuple

import jax

# The names under which JAX reports these.
_COMPILED = "/jax/core/compile/backend_compile_duration"
_FROM_CACHE = "/jax/compilation_cache/cache_hits"
_SAVED = "/jax/compilation_cache/compile_time_saved_sec"


class Compilation(NamedTuple):
    """Of a process, or of several together.

    Attributes:
      programs: how many it needed.
      seconds: that this took, also to read what the cache had.
      from_cache: how many of them the cache had.
      saved_seconds: that these had taken when they were compiled, without the time to read them.
    """

    programs: int = 0
    seconds: float = 0.0
    from_cache: int = 0
    saved_seconds: float = 0.0

    def plus(self, **more: float) -> "Compilation":
        return self._replace(**{name: getattr(self, name) + each for name, each in more.items()})

    @classmethod
    def of(cls, entries: Any) -> "Compilation":
        """As run.json has it; nothing where it is of an older version."""
        known = entries if isinstance(entries, dict) else {}
        numbers: dict[str, Any] = {
            name: known[name] for name in cls._fields if isinstance(known.get(name), int | float)
        }
        return cls(**numbers)


_so_far = Compilation()


def so_far() -> Compilation:
    """What this process has compiled since this module was imported."""
    return _so_far


def _count_duration(event: str, duration_secs: float, **_: Any) -> None:
    global _so_far
    if event == _COMPILED:
        _so_far = _so_far.plus(programs=1, seconds=duration_secs)
    elif event == _SAVED:
        _so_far = _so_far.plus(saved_seconds=duration_secs)


def _count_event(event: str, **_: Any) -> None:
    global _so_far
    if event == _FROM_CACHE:
        _so_far = _so_far.plus(from_cache=1)


jax.monitoring.register_event_duration_secs_listener(_count_duration)
jax.monitoring.register_event_listener(_count_event)
