# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""From a network's own computation to its neuron graph: jaxpr, propagation, layers."""
