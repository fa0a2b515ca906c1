#!/bin/sh
# A task of an array that `dormant.reproduce --engine=slurm` submits.
#   slurm_task.sh PYTHON FOLDER SUBMISSION   SUBMISSION.names: the tasks' names, one a line
# The worker takes this shell's place: Slurm's SIGTERM reaches it, and its exit code is the task's.
exec >>"$3_$SLURM_ARRAY_TASK_ID.log" 2>&1
exec "$1" -m dormant.reproduce.engines.worker "$2" --names="$3.names" "$SLURM_ARRAY_TASK_ID"
