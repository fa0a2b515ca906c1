# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command `python -m dormant.probe`: what a checkpoint of any JAX network tells of its neurons.
Everything that it reads is data: nothing is unpickled."""
