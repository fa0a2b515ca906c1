# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""A run's programs compiled for hardware that is not there, and what the compiler says of them."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
from jax import export
from jax.interpreters import partial_eval
from jax.sharding import Sharding, SingleDeviceSharding

from dormant.checks import first_line
from dormant.hardware import Hardware, devices
from dormant.primitives import is_body

_EXCHANGE = re.compile(
    r"\s(all-reduce|all-gather|all-to-all|ragged-all-to-all|collective-permute|reduce-scatter"
    r"|collective-broadcast|send|recv)(-start)?\("
)


class CompiledFunction(NamedTuple):
    """One compiled function of a run.

    Attributes:
      name: such as "advance".
      function: made by `jax.jit`.
      arguments: shapes, placed where the arrays would be, and static arguments as they are.
      runs: side by side in it.
      steps: of each run in one call; 0 where it takes none.
      counted: of what kind these are, such as "agent step".
    """

    name: str
    function: Any
    arguments: tuple[Any, ...]
    runs: int
    steps: int
    counted: str


def on_hardware(tree: Any, sharding: Sharding) -> Any:
    """The shapes of a tree of arrays or of shapes, with the devices on which they would be."""

    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        dtype = leaf.dtype if hasattr(leaf, "dtype") else jax.numpy.result_type(leaf)
        return jax.ShapeDtypeStruct(jax.numpy.shape(leaf), dtype, sharding=sharding)

    return jax.tree.map(shape, tree)


def on_one_chip(tree: Any) -> Any:
    """`on_hardware` for a program of a single device."""
    return on_hardware(tree, SingleDeviceSharding(devices()[0]))


def print_compiled(functions: Iterable[CompiledFunction], hardware: Hardware) -> None:
    """Compiles one function after the other and prints a line of JSON for each: `described`."""
    for function in functions:
        print(json.dumps(described(function, hardware)), flush=True)


def described(program: CompiledFunction, hardware: Hardware) -> dict[str, Any]:
    """What the compiler says of a compiled function.

    Returns:
      For "cuda", for which the function is lowered only: "module_bytes". For TPUs, of one chip:
      "argument_bytes", "temporary_bytes", "peak_bytes", and "exchanges", how many instructions send
      or receive anything; or "refused", why the compiler made no program. Always "program",
      "runs", "steps", "counted", "chips" and "flops": see `flops_at_least`; of one call on a chip.
    """
    traced = program.function.trace(*program.arguments)
    found = {
        "program": program.name,
        "runs": program.runs,
        "steps": program.steps,
        "counted": program.counted,
        "chips": len(jax.tree.leaves(program.arguments)[0].sharding.device_set),
        "flops": flops_at_least(traced.jaxpr.jaxpr),
    }
    if not hardware.chip:
        exported = export.export(program.function, platforms=(hardware.platform,))
        module = exported(*program.arguments)
        return found | {"module_bytes": len(module.mlir_module_serialized)}
    try:
        compiled = traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        return found | {"refused": first_line(error)}
    memory = compiled.memory_analysis()
    return found | {
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "peak_bytes": memory.peak_memory_in_bytes,
        "exchanges": len(_EXCHANGE.findall(compiled.as_text())),
    }


def flops_at_least(jaxpr: Any) -> int:
    """Floating-point operations of a program's matrix products and convolutions, on one chip.

    XLA's own `cost_analysis` counts the body of a loop once, however often it is run; here it
    counts as often. What is not sure to run counts nothing: what nothing depends on, loops of
    unknown length, and all branches but the cheapest.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)  # that of a closed one
    total, (jaxpr, _) = 0, partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            ((contracted, _), _) = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            terms = math.prod(left[axis] for axis in contracted)
            total += 2 * terms * equation.outvars[0].aval.size
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            outputs = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
            # Zeros between the inputs, as in a strided convolution's gradient, are not counted.
            per_output = outputs * math.prod(params["lhs_dilation"])
            total += 2 * kernel.size * equation.outvars[0].aval.size // per_output
        elif name == "cond":
            total += min(map(flops_at_least, params["branches"]))
        elif name != "while":
            times = params["length"] if name == "scan" else 1
            total += times * sum(map(flops_at_least, filter(is_body, params.values())))
    return total
