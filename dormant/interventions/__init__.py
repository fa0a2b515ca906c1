# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What is done to a network while it trains: score, selection, action, and what they make up."""

from dormant.interventions.transformation import as_transformation

__all__ = ["as_transformation"]
