# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What runs the processes of an experiment: this machine, a Ray cluster, Slurm, Kubernetes."""
