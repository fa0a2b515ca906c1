# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Ways around what XLA does slowly on a CPU. Results are those of the plain program, and each goes
as soon as its row in the table xla_cpu of `benchmarks/RESULTS.md` shows no gain any more."""

from dormant.xla_cpu.kernel_gradients import laid_out_as_kernels
from dormant.xla_cpu.keys import holds_keys, of_kind, unrolled
from dormant.xla_cpu.platform import is_cpu
from dormant.xla_cpu.threads import one_by_one, usable_cores

__all__ = [
    "holds_keys",
    "is_cpu",
    "laid_out_as_kernels",
    "of_kind",
    "one_by_one",
    "unrolled",
    "usable_cores",
]
