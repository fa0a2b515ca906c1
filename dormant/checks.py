# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The checks of every argument and option, with one wording: "`name` must be …; got …".

`check_*` raise a plain ValueError: the caller of a function passed something wrong. `require_*` are
the same checks of what the user of a run asked for, in gin or on the command line. They raise
ConfigurationError, which a command reports in one line. Any other ValueError may be a mistake in
the code and keeps its traceback.
"""

import contextlib
import functools
import inspect
import math
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

_Arguments = ParamSpec("_Arguments")
_SHOWN = 400  # characters of a value in an error
# JAX counts in int32 and computes in float32.
LARGEST_COUNT = 2**31 - 1
_LARGEST_NUMBER = float(np.finfo(np.float32).max)


class ConfigurationError(ValueError):
    """A mistake in what the user asked for: reported in one line, without a traceback."""


def first_line(error: BaseException | str) -> str:
    """The first line of an error or of its text, without what JAX, Flax or gin append to it."""
    return str(error).strip().partition("\n")[0]


class RunFailed(Exception):
    """A run ended before its time, for a reason that needs no traceback: a line for each."""


class NotFinite(RunFailed, FloatingPointError):
    """A run diverged: says what is not finite, of which seed and since which gradient step."""


def is_number(value: Any) -> bool:
    """Whether `value` is one number: of Python, NumPy or JAX, but no boolean."""
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    if not is_array or isinstance(value, jax.core.Tracer) or value.ndim != 0:
        return False
    return any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.integer, jnp.floating))


def is_count(value: Any, least: int) -> bool:
    """Whether `value` is a whole number of at least `least`: no boolean, and nothing traced."""
    if not is_number(value) or isinstance(value, float):
        return False
    return (isinstance(value, int) or jnp.issubdtype(value.dtype, jnp.integer)) and value >= least


def clip_to_int32(count: Any) -> int:
    """A whole number, at most the largest that an int32 holds."""
    # Steps and ages are int32; none reaches a larger number.
    return min(int(count), LARGEST_COUNT)


def is_pair(value: Any) -> bool:
    """Whether `value` has two functions `init` and `update`, as an optax transformation has."""
    parts = (getattr(value, part, None) for part in ("init", "update"))
    return not isinstance(value, type) and all(map(callable, parts))


def as_inputs(inputs: Any) -> tuple[Any, ...]:
    """The inputs of a network: a tuple is several; anything else is one, such as an array or the
    NamedTuple of an observation."""
    return inputs if type(inputs) is tuple else (inputs,)


def as_names(name: str, value: Any) -> tuple[str, ...]:
    """The names in `value`, of which a string is one. Raises ValueError for anything else."""
    if isinstance(value, str):
        return (value,)
    names = tuple(value) if isinstance(value, Iterable) else (value,)
    check(all(isinstance(each, str) for each in names), name, "a name or several of them", value)
    return names


def shown(value: Any) -> str:
    """The value as errors show it: on one line, and no more of an array than its beginning."""
    return _cut(re.sub(r"\s*\n\s*", " ", repr(value)))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def shown_shapes(tree: Any) -> str:
    """Dtypes and shapes of a tree's leaves as errors show them: `float32[8, 4], NoneType[]`."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda leaf: leaf is None)
    shapes = [
        f"{getattr(leaf, 'dtype', type(leaf).__name__)}{list(getattr(leaf, 'shape', ()))}"
        for leaf in leaves
    ]
    return _cut(", ".join(shapes)) or "nothing"


def check(condition: bool | np.bool_, name: str, allowed: str, value: Any) -> None:
    """Raises ValueError "`name` must be allowed; got value" unless `condition` is true."""
    if not condition:
        raise ValueError(f"`{name}` must be {allowed}; got {shown(value)}")


def check_number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> None:
    """Raises ValueError unless `value` is a number in [least, most] and (above, below), and finite
    in float32."""
    finite = is_number(value) and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
    within = finite and least <= value <= most
    low, high = max(least, above), min(most, below)
    left, right = "(" if above == low else "[", ")" if below == high else "]"
    if math.isinf(low) and math.isinf(high):
        allowed = "a finite number"
    elif math.isinf(high):
        allowed = f"a number {'>' if left == '(' else '>='} {low}"
    elif math.isinf(low):
        allowed = f"a number {'<' if right == ')' else '<='} {high}"
    else:
        allowed = f"a number in {left}{low}, {high}{right}"
    if is_number(value) and not finite and value == value and abs(value) != math.inf:
        allowed += ", finite in float32"
    check(within and above < value < below, name, allowed, value)


def check_count(
    name: str, value: Any, least: int, units: str = "", *, most: int | None = None
) -> None:
    """Raises ValueError unless `value` is a whole number >= least, and <= most where that is given;
    `units` names what it counts."""
    allowed = f"a whole number{units and f' of {units}'} >= {least}"
    check(is_count(value, least), name, allowed, value)
    if most is not None:
        allowed = allowed.replace(f">= {least}", f"from {least} to {most}")
        check(value <= most, name, allowed, value)


def check_counter(name: str, value: int, counted: str) -> None:
    """Raises ValueError when so many steps are more than an int32, which counts them, can hold."""
    check(value <= LARGEST_COUNT, name, f"fewer than 2**31 {counted}s", value)


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    choices = ", ".join(repr(choice) for choice in allowed)
    check(isinstance(value, str) and value in allowed, name, f"one of {choices}", value)


def check_flag(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is True or False."""
    check(isinstance(value, bool), name, "True or False", value)


def check_function(name: str, value: Any, arguments: str = "", count: int | None = None) -> None:
    """Raises ValueError unless `value` can be called.

    Args:
      name, value: the argument.
      arguments: tells which it is given.
      count: of those; None does not check it.
    """
    takes = callable(value)
    if takes and count is not None:
        # A function of a C library does not tell what it takes.
        with contextlib.suppress(ValueError):
            try:
                inspect.signature(value).bind(*[None] * count)
            except TypeError:
                takes = False
    check(takes, name, f"a function {arguments}".rstrip(), value)


def check_init_and_update(name: str, value: Any, none_or: str = "") -> None:
    """Raises ValueError unless `value` has two functions `init` and `update`."""
    check(is_pair(value), name, f"{none_or}a pair (init, update)", value)


def check_mask(name: str, value: Any, neurons: int) -> None:
    """Raises ValueError unless `value` is a boolean array of shape (neurons,), traced or not.

    Anything else would be taken as true where it is not zero: scores, for one, are nearly all so.
    """
    dtype, shape = getattr(value, "dtype", None), np.shape(value)
    if dtype != np.bool_ or shape != (neurons,):
        found = f"{type(value).__name__} of shape {shape}" if dtype is None else f"{dtype} {shape}"
        raise ValueError(f"`{name}` must be a boolean array of shape ({neurons},); got {found}")


def check_key(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is one key, as `jax.random.key` or `PRNGKey` makes it."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    is_typed = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    raw = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    is_key = (is_typed and shape == ()) or (dtype == raw.dtype and shape == raw.shape)
    check(is_key, name, "one key, such as jax.random.key(0)", value)


def check_arrays(name: str, tree: Any) -> None:
    """Raises ValueError unless JAX can compute with every leaf of a tree."""
    try:
        jax.eval_shape(lambda tree: tree, tree)
    except (TypeError, ValueError, OverflowError):
        check(False, name, "a tree of arrays or numbers", tree)


def check_rows(name: str, tree: Any) -> None:
    """Raises ValueError where a leaf of a tree of arrays is a batch of none."""
    for leaf in jax.tree.leaves(tree):
        shape = np.shape(leaf)
        check(shape[:1] != (0,), name, "arrays of at least one row", shape)


def check_mapping(name: str, value: Any, holds: str) -> None:
    """Raises ValueError unless `value` maps names to something; `holds` tells what to what."""
    check(isinstance(value, Mapping), name, f"a mapping {holds}", value)


def check_schedule(name: str, value: Any, allowed: str) -> None:
    """Raises ValueError unless `value` maps a gradient step, also a traced one, to one number."""
    check(_kind_at_a_step(value) == "number", name, allowed, value)


def check_when(name: str, value: Any) -> None:
    """Raises ValueError unless `value` tells of a gradient step, also a traced one, yes or no."""
    allowed = "a function (step) that returns a boolean, also of a traced step"
    check(_kind_at_a_step(value) is not None, name, allowed, value)


def _kind_at_a_step(function: Any) -> str | None:
    """What a function makes of a traced step: "number", "boolean", or None for anything else."""
    if isinstance(function, type) or not callable(function):
        return None
    try:
        found = jax.eval_shape(function, jax.ShapeDtypeStruct((), np.int32))
    except (TypeError, ValueError):  # other arguments, or a branch on the step's value
        return None
    dtype = getattr(found, "dtype", None)
    if dtype is None or found.shape != ():
        return None
    is_real = jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)
    return "boolean" if dtype == np.bool_ else "number" if is_real else None


@contextlib.contextmanager
def errors_of_network(inputs: Any) -> Iterator[None]:
    """Reports what the user's network, or Flax, says where it does not take `inputs`.

    Raises:
      ValueError: in place of any error.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"`inputs` must be what the network takes; got {shown_shapes(inputs)}:"
            f" {first_line(error)}"
        ) from error


def _for_the_user(checked: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """The same check, which raises ConfigurationError."""

    @functools.wraps(checked)
    def required(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> None:
        try:
            checked(*arguments, **options)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    return required


require = _for_the_user(check)
require_number = _for_the_user(check_number)
require_count = _for_the_user(check_count)
require_counter = _for_the_user(check_counter)
require_choice = _for_the_user(check_choice)
require_flag = _for_the_user(check_flag)


@contextlib.contextmanager
def errors_of(name: str, renamed: Mapping[str, str] = types.MappingProxyType({})) -> Iterator[None]:
    """Reports what other parts say of a wrong argument, or of a package or memory that is missing.

    Args:
      name: whose options were passed on; the arguments are called alike in gin.
      renamed: {argument: its name in gin}, for the others.

    Raises:
      ConfigurationError: in place of a ValueError, an ImportError or a MemoryError.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except (ValueError, ImportError, MemoryError) as error:
        text = str(error)
        for argument, option in renamed.items():
            text = text.replace(f"`{argument}`", f"`{option}`")
        is_option = re.match(r"`\w+`", text)
        located = f"`{name}.{text[1:]}" if is_option else f"{name}: {text}"
        raise ConfigurationError(located) from error
