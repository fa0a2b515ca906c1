#!/usr/bin/env bash
# An experiment at the paper's scale on Slurm: submits what is not whole, settles what has ended, says
# how far it is, and returns. The same command goes on; docs/slurm.md says how.
#   launchers/slurm.sh NAME OPTIONS [FLAG ...]   such as fig10; a file of sbatch's options, one a line
set -euo pipefail
usage="usage: launchers/slurm.sh NAME OPTIONS [FLAG ...]"
"${PYTHON:-python}" -m dormant.reproduce "${1:?$usage}" --scale=paper \
    --engine=slurm --slurm_options="${2:?$usage}" "${@:3}"
