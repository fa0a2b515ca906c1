# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The report of a folder of runs: tables, figures and one self-contained page.
`python -m dormant.report DIR` writes it; needs neither gin nor Dopamine."""
