# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""For which platform a program is compiled: what decides whether the ways around XLA are used."""

from collections.abc import Sequence

import jax


def is_cpu(devices: Sequence[jax.Device] | None = None) -> bool:
    """Whether a program for these devices is compiled for a CPU.

    Told to a program when it is built, not asked inside of it: a choice by
    `jax.lax.platform_dependent` is a branch, into which neither `dormant.trace` nor the rewriting
    of this package looks.

    Args:
      devices: all of one platform; None for the device that JAX computes on by default.
    """
    if devices is not None:
        return devices[0].platform == "cpu"
    # JAX sets the attributes of its options when it is imported, where no type checker sees them.
    default = jax.config.jax_default_device  # type: ignore[attr-defined]
    if default is None:
        return jax.default_backend() == "cpu"
    return getattr(default, "platform", default) == "cpu"
