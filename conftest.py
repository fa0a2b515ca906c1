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

"""What holds for every test: JAX on the CPU, repeatable hypothesis profiles, bounded memory.
Stands in the root because the doctests of the package and the README need it too."""

import os

import hypothesis
import pytest

# Before the first import of JAX or TensorFlow. A platform named outside stands.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# No deadline: an example's first run compiles. Name another one with --hypothesis-profile.
hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile("default")


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Frees what JAX compiled for a module: hundreds of programs would add up to gigabytes."""
    import jax

    yield
    jax.clear_caches()
