# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Agents for Dopamine's runners; apart from `dormant.train`, only this package imports Dopamine.

Importing it applies `dopamine_compat.install()`, so every module here may import Dopamine at its
top. It imports nothing of Dopamine itself: ask for the module that you need.
"""

from dormant.agents.dopamine_compat import install

install()
