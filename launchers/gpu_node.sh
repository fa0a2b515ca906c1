#!/usr/bin/env bash
# An experiment at the paper's scale on one machine with 8 GPUs, four processes on each, and its
# report. The same command goes on; docs/gpu_node.md says how.
#   launchers/gpu_node.sh NAME DIR [FLAG ...]   such as fig10; the runs' folder; others go on to reproduce
set -euo pipefail
usage="usage: launchers/gpu_node.sh NAME DIR [FLAG ...]"
if [[ ${2:-} == -* ]]; then
    echo "gpu_node.sh: DIR must be a folder, and flags come after it; got $2" >&2
    exit 2
fi
python=${PYTHON:-python}
"$python" -m dormant.reproduce "${1:?$usage}" --scale=paper --base_dir="${2:?$usage}" \
    --accelerators=gpu:8 --processes_per_accelerator=4 "${@:3}"
"$python" -m dormant.report "$2"
