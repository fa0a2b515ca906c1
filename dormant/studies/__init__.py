# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The paper's side experiments, in which nothing acts while the network learns: a classifier
(figure 3), DQN on fixed data (figure 4), distillation (figure 8). Started by `dormant.study`."""
