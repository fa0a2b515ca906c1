# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The version of dormant, in one place.
setup.py reads it as text and the package exports it."""

__version__ = "0.1.0"
