# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run writes and how it is read back."""
