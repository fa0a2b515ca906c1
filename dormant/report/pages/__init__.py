# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Pages of docs/ that are made of the experiments' declarations and of committed results."""
