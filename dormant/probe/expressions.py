# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The two small languages of the command, `--what_if` and `--fail_if`; nothing is evaluated."""

import ast
import inspect
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from dormant import interventions
from dormant.checks import ConfigurationError

# All but those that need a past, which a checkpoint has not, or another network.
_NEEDS_MORE = "as_transformation continual_backprop self_normalized_resets plasticity_injection"
INTERVENTIONS = tuple(
    name for name in interventions.__all__ if name not in frozenset(_NEEDS_MORE.split())
)
# Options of the factories that are made of the network, or are not written as a literal; the
# gradient is that of the weights.
_NOT_LITERAL = frozenset("graph init optimizer period score taus of".split())
# {name: (whether it has a threshold, the level that measures it, what it is)}
VALUES = {
    "non_finite": (False, "weights", "entries that are not finite"),
    "near_zero_incoming": (False, "weights", "share of units with next to no incoming weights"),
    "near_zero_outgoing": (False, "weights", "share of units with next to no outgoing weights"),
    "dormant": (True, "activations", "share of units with a score of at most tau"),
    "fau": (False, "activations", "least share of active values of a layer"),
    "srank": (False, "activations", "least srank of a layer over the highest it could have"),
    "overlap": (True, "activations", "mean overlap with --compare"),
    "inactive": (True, "gradients", "share of units with a gradient score of at most tau"),
    "gradient_norm": (False, "gradients", "of all layers"),
    "plasticity_random": (False, "plasticity", "loss above a fresh network's on random targets"),
    "plasticity_network": (False, "plasticity", "the same on a fresh network's outputs"),
}
_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_CONDITION = re.compile(rf"\s*(\w+)(?:@({_NUMBER}))?\s*(>=|<=|>|<)\s*({_NUMBER})\s*")


class Condition(NamedTuple):
    """What `--fail_if` says."""

    text: str
    name: str  # out of VALUES
    tau: float | None
    compare: Callable[[float, float], bool]
    limit: float

    @property
    def level(self) -> str:
        """The level of evidence that measures it."""
        return VALUES[self.name][1]

    def holds(self, value: float) -> bool:
        """Whether it is so; of a value that is not a number, as of a broken network, it is."""
        return value != value or self.compare(value, self.limit)


def parse_condition(text: str) -> Condition:
    """`NAME[@TAU] > NUMBER`.

    Raises:
      ConfigurationError: it is not of this form.
    """
    names = ", ".join(f"{name}@TAU" if has_tau else name for name, (has_tau, *_) in VALUES.items())
    allowed = f"NAME > NUMBER, with >, >=, < or <= and a NAME of {names}"
    match = _CONDITION.fullmatch(text)
    if match is None or match[1] not in VALUES or (match[2] is not None) != VALUES[match[1]][0]:
        raise ConfigurationError(f"--fail_if must be {allowed}; got {text!r}")
    tau = None if match[2] is None else float(match[2])
    return Condition(text.strip(), match[1], tau, _COMPARISONS[match[3]], float(match[4]))


def parse_intervention(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the options of `redo(tau=0.1)`.

    Raises:
      ConfigurationError: it is not of this form.
    """
    forms = ", ".join(f"{name}({', '.join(options_of(name))})" for name in INTERVENTIONS)
    allowed = f"one of {forms}, with values written out, such as redo(tau=0.1)"
    problem = ConfigurationError(f"--what_if must be {allowed}; got {text!r}")
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise problem from None
    if isinstance(call, ast.Name):
        call = ast.Call(call, [], [])
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
        raise problem
    name = call.func.id
    if name not in INTERVENTIONS:
        raise problem
    options: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg not in options_of(name):
            raise problem
        try:
            options[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise problem from None
    return name, options


def options_of(name: str) -> list[str]:
    """What can be given to an intervention here."""
    parameters = inspect.signature(getattr(interventions, name)).parameters
    return [option for option in parameters if option not in _NOT_LITERAL]
