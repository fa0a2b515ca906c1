#!/usr/bin/env bash
# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0
# Installs a built wheel or sdist into an empty environment and uses it from an empty folder.
#   launchers/try_package.sh dist/dormant-0.1.0-py3-none-any.whl
#   PYTHON=python3.13 launchers/try_package.sh dist/dormant-0.1.0.tar.gz
set -euo pipefail
shopt -s nullglob
packages=($1)  # the argument may be a pattern
[ "${#packages[@]}" = 1 ] || { echo "try_package: $1 names ${#packages[@]} files" >&2; exit 2; }
package=$(realpath "${packages[0]}")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "$package"

cat > use.py <<'PROGRAM'
"""Traces, measures and recycles a small network, with what the package brings alone."""
import importlib.metadata
import re
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import dormant

inputs = jnp.linspace(-1, 1, 64)[:, None]
network = nn.Sequential([nn.Dense(16), nn.relu, nn.Dense(1)])
params, adam = network.init(jax.random.key(0), inputs), optax.adam(1e-3)
graph = dormant.trace(network.apply, params, inputs)
redo = dormant.redo(graph, lambda key: network.init(key, inputs), adam, tau=0.1, period=1)
step = jax.jit(redo.update)
recycled, _, state = step(params, adam.init(params), redo.init(jax.random.key(1)), inputs)
assert state.report.recycled_total > 0
assert "site-packages" in dormant.__file__, dormant.__file__

# What jax, flax, optax and numpy bring themselves; nothing else may come with dormant.
heavy = {"tensorflow", "dopamine-rl", "gin-config", "gymnax", "gymnasium", "ale-py", "matplotlib",
         "pandas", "torch", "ray", "plotly", "scikit-learn", "sphinx"}  # fmt: skip
named = importlib.metadata.requires("dormant")
direct = sorted(re.match(r"\w+", line)[0] for line in named if "extra ==" not in line)
assert direct == ["flax", "jax", "numpy", "optax"], direct
brought = {each.metadata["Name"].lower() for each in importlib.metadata.distributions()}
assert not heavy & brought, heavy & brought
version = ".".join(map(str, sys.version_info[:3]))
print(f"dormant {dormant.__version__} on Python {version}, jax {jax.__version__}:"
      f" {len(brought)} packages, {int(state.report.recycled_total)} neurons recycled")  # fmt: skip
PROGRAM
environment/bin/python use.py
environment/bin/dormant --help > printed
grep -q reproduce printed
# What needs an extra says which one.
environment/bin/dormant reproduce --list > printed 2>&1 && exit 1
grep -q "pip install 'dormant\[" printed
