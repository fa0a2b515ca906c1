# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

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
