#!/usr/bin/env bash
# The story in minutes: a classifier whose labels are shuffled again and again loses the ability to
# learn them, and keeps it with ReDo; five seeds each, and their report. `make run` calls it.
#   launchers/quickstart.sh DIR [FLAG ...]   DIR: the runs' folder; flags of `dormant.reproduce`
set -euo pipefail
folder=${1:-runs/quickstart-mini}
if [[ $folder == -* ]]; then
    echo "quickstart.sh: DIR must be a folder, and flags come after it; got $folder" >&2
    exit 2
fi
python=${PYTHON:-python}
"$python" -m dormant.reproduce quickstart --base_dir="$folder" --parallel=2 "${@:2}"
"$python" -m dormant.report "$folder"
cat <<'TEXT'

Every 20 epochs the labels of the images are shuffled, and the network has to learn them by heart anew. Its accuracy at
the end of each such period (figures/accuracy.png) is what it is still able to learn: with plain Adam it falls as
neurons fall dormant (figures/dormancy.png); ReDo recycles dormant neurons every 1 000 gradient steps, and it stays.
TEXT
