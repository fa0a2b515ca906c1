# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The options that an agent inherits from the Dopamine agent which it extends: where gin sets them,
and to what."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import gin

from dormant.checks import require
from dormant.runs.options import bound_in_gin


def _bases_with(agent: type, parameter: str) -> Iterator[tuple[type, inspect.Parameter]]:
    """The bases of an agent whose own constructor has such a parameter, the nearest first."""
    for base in inspect.getmro(agent)[1:]:
        if "__init__" in vars(base):
            found = inspect.signature(base).parameters.get(parameter)
            if found is not None:
                yield base, found


def option_name(agent: type, parameter: str) -> str:
    """Where gin sets an option of the Dopamine agent that `agent` extends: `JaxDQNAgent.gamma`."""
    names = (f"{base.__name__}.{parameter}" for base, _ in _bases_with(agent, parameter))
    return next(names, parameter)


def inherited_value(agent: type, parameter: str) -> Any:
    """The value of an option of the Dopamine agent that `agent` extends, whatever it is.

    What gin binds to the nearest base with such a parameter, else that parameter's default;
    `inspect.Parameter.empty` where no base has it.
    """
    return next(_inherited_values(agent, parameter), inspect.Parameter.empty)


def inherited_option(agent: type, parameter: str, default: Any) -> Any:
    """The value of an option of the Dopamine agent that `agent` extends.

    That of the nearest base where it is not None: what gin binds to it there, else the parameter's
    default. The given default where there is none.
    """
    for value in _inherited_values(agent, parameter):
        if value is not None and value is not inspect.Parameter.empty:
            return value
    return default


def _inherited_values(agent: type, parameter: str) -> Iterator[Any]:
    """Of every base that has the option, the nearest first: what gin binds, else its default."""
    for base, found in _bases_with(agent, parameter):
        yield bound_in_gin(f"{base.__name__}.{parameter}", found.default)


def check_no_dead_bindings(
    agent: type, host: type, replaced: Mapping[str, str], unread: Collection[str] = ()
) -> None:
    """Checks that nothing is bound in gin which would silently do nothing.

    Rainbow, C51 and the quantile agents hand options of their own to the constructor of
    `JaxDQNAgent`, so that `JaxDQNAgent.min_replay_history` does nothing for them.

    Args:
      agent: the class that is created.
      host: the class whose bindings may be dead, `JaxDQNAgent`.
      replaced: {option of Dopamine: the one that takes its place}.
      unread: options of Dopamine, such as `JaxDQNAgent.loss_type`, that the agent does not read.

    Raises:
      ConfigurationError: naming the binding that has the effect, where there is one.
    """
    refused = dict.fromkeys(unread, ", which does not read it")
    refused |= {option: f": bind {place} instead" for option, place in replaced.items()}
    for option, why in refused.items():
        value = bound_in_gin(option, None)
        require(value is None, option, f"left out with {agent.__name__}{why}", value)
    partial = option_name(agent, "allow_partial_reload")
    allowed = f"False with {agent.__name__}: a checkpoint holds all that a run needs, or is refused"
    require(not bound_in_gin(partial, False), partial, allowed, True)
    bound = gin.get_bindings(host.__name__) if issubclass(agent, host) else {}
    for parameter, value in bound.items():
        nearest = next((base for base, _ in _bases_with(agent, parameter)), host)
        # The seed is read from wherever it is bound.
        if nearest is not host and parameter != "seed":
            place = f"{nearest.__name__}.{parameter}"
            allowed = f"left out with {agent.__name__}, on which it has no effect: bind {place}"
            require(False, f"{host.__name__}.{parameter}", allowed, value)
