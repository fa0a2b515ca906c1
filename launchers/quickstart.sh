#!/usr/bin/env bash
# The story in minutes: a classifier whose labels are shuffled again and again loses the ability to
# learn them, and keeps it with ReDo; five seeds each, and their report. `make run` calls it.
#   launchers/quickstart.sh DIR [FLAG ...]   DIR: the runs' folder; flags of `dormant.reproduce`
set -euo pipefail
folder=${1:-runs/quickstart-mini}
python=${PYTHON:-python}
"$python" -m dormant.reproduce quickstart --base_dir="$folder" "${@:2}"
"$python" -m dormant.report "$folder"
