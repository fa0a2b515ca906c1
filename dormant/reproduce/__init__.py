# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The paper's figures and tables as named experiments: which runs each has, and how to run them.
`python -m dormant.reproduce --list` shows all of them."""
