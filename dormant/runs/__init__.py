# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What every run has, whatever trains in it: options and interventions in gin, records, progress.
Imports gin and tqdm, and no Dopamine: a run on the device needs neither it nor TensorFlow."""
