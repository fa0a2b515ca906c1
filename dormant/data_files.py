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

"""Where the files lie that come with the package and are no code: gin files and measured speeds."""

import importlib.resources
from pathlib import Path


def data_folder(name: str) -> Path:
    """A folder of such files.

    Args:
      name: from the repository's root, such as "gin_configs". A checkout has it there; setup.py
        packs it under the same name into the package, where an installed wheel has it.
    """
    package = Path(str(importlib.resources.files("dormant")))
    packed = package / name
    return packed if packed.is_dir() else package.parent / name
