# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is known of JAX's primitives, by name, for everything that reads a jaxpr."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import jax.extend.core as jex

# Linear on single elements in each operand (a quotient in its dividend).
LINEAR = frozenset(
    "neg convert_element_type add add_any sub mul div real imag conj complex".split()
)
PRODUCTS = frozenset({"dot_general", "conv_general_dilated"})
# Every element of the result depends on the elements in its place alone.
ELEMENTWISE = LINEAR | frozenset(
    "max min rem pow integer_pow square sqrt rsqrt cbrt exp exp2 expm1 log log1p logistic tanh sin "
    "cos tan asin acos atan sinh cosh asinh acosh atanh atan2 erf erfc erf_inv lgamma digamma abs "
    "sign floor ceil round is_finite not and or xor eq ne lt le gt ge select_n clamp nextafter "
    "shift_left shift_right_logical shift_right_arithmetic".split()
)
# Over axes, over windows, along an axis; then into parts of another value.
REDUCTIONS = frozenset(
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax "
    "argmin".split()
)
POOLS = frozenset(
    "reduce_window_sum reduce_window_max reduce_window_min reduce_window reduce_window_mul".split()
)
SCANS = frozenset("cumsum cumprod cummax cummin cumlogsumexp sort".split())
SCATTERS = frozenset("scatter scatter-mul scatter-add dynamic_update_slice".split())


def is_by_any_function(name: str, params: Mapping[str, Any]) -> bool:
    """Whether one of `SCATTERS` applies a function of the caller's, as `array.at[...].apply`."""
    return name == "scatter" and bool(params["update_jaxpr"])


def written_by(name: str, inputs: Sequence[Any]) -> Any:
    """Of the inputs of one of `SCATTERS` what it writes into the first."""
    return inputs[1] if name == "dynamic_update_slice" else inputs[2]


# Inlining these does not change a value; one of their parameters holds the body.
_CALLS = frozenset(
    "jit pjit closed_call core_call remat remat2 checkpoint custom_jvp_call custom_vjp_call "
    "custom_vjp_call_jaxpr custom_vmap_call".split()
)
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")


def called_body(equation: jex.JaxprEqn) -> jex.ClosedJaxpr | None:
    """What a call, such as `jit` or `remat`, computes; None for every other equation."""
    if equation.primitive.name not in _CALLS:
        return None
    body = next(equation.params[name] for name in _BODIES if name in equation.params)
    return body if isinstance(body, jex.ClosedJaxpr) else jex.ClosedJaxpr(body, ())


def is_body(value: Any) -> TypeGuard[jex.ClosedJaxpr | jex.Jaxpr]:
    """Whether a parameter of an equation is a body, such as that of a loop."""
    return isinstance(value, jex.ClosedJaxpr | jex.Jaxpr)


def bodies_of(equation: jex.JaxprEqn) -> Iterator[jex.ClosedJaxpr | jex.Jaxpr]:
    """The bodies among an equation's parameters, with those in tuples, such as branches."""
    for value in equation.params.values():
        yield from filter(is_body, value if isinstance(value, tuple | list) else (value,))


def equations_of(jaxpr: jex.ClosedJaxpr | jex.Jaxpr) -> Iterator[jex.JaxprEqn]:
    """The equations of a jaxpr and of the bodies in it."""
    for equation in jaxpr.eqns:
        yield equation
        for body in bodies_of(equation):
            yield from equations_of(body)


def outputs_reading(jaxpr: jex.Jaxpr, inputs: Iterable[jex.Var]) -> list[bool]:
    """Of each output, whether equations lead to it from one of the inputs."""
    read = set(inputs)

    def is_read(value: jex.Var | jex.Literal) -> bool:
        return isinstance(value, jex.Var) and value in read

    for equation in jaxpr.eqns:
        if any(map(is_read, equation.invars)):
            read.update(equation.outvars)
    return list(map(is_read, jaxpr.outvars))


def apply_primitive(
    primitive: jex.Primitive, params: Mapping[str, Any], operands: Sequence[Any]
) -> Sequence[Any]:
    """Runs one primitive; the results as a sequence."""
    bound = primitive.get_bind_params(params)
    # JAX before 0.10 returns (subfunctions, parameters), later ones the parameters alone.
    subfuns, params = bound if isinstance(bound, tuple) else ((), bound)
    results = primitive.bind(*subfuns, *operands, **params)
    return results if primitive.multiple_results else [results]
