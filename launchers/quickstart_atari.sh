#!/usr/bin/env bash
# DQN + ReDo on an Atari game for a few minutes, and its report. `make run-atari` calls it.
#   launchers/quickstart_atari.sh DIR [FLAG ...]   DIR: the run's folder; flags of `dormant.train`
set -euo pipefail
folder=${1:-runs/quickstart-atari-$(date +%Y%m%d-%H%M%S)}
if [[ $folder == -* ]]; then
    echo "quickstart_atari.sh: DIR must be a folder, and flags come after it; got $folder" >&2
    exit 2
fi
python=${PYTHON:-python}
"$python" -m dormant.train --gin_files=quickstart_atari.gin --base_dir="$folder" "${@:2}"
"$python" -m dormant.report "$folder"
