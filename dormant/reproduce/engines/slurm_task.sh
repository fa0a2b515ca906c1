#!/bin/sh
# A task of an array that `dormant.reproduce --engine=slurm` submits.
#   slurm_task.sh PYTHON FOLDER SUBMISSION HOSTS   SUBMISSION.names: the tasks' names, one a line
# The worker takes this shell's place: Slurm's SIGTERM reaches it, and its exit code is the task's.

# Lines of the site may stand before sbatch's answer; a task may start before there is one.
answer='s/^[[:space:]]*\([0-9][0-9]*\)\(;[^[:space:]]*\)\{0,1\}[[:space:]]*$/\1/p'
array=$(sed -n "$answer" "$3.id" 2>/dev/null | tail -n 1)
if [ -n "$array" ] && [ "$array" != "$SLURM_ARRAY_JOB_ID" ]; then
    exec >>"$3_array_$SLURM_ARRAY_JOB_ID.log"
    echo "task $SLURM_ARRAY_TASK_ID must be of array $array, which $3.id names;" \
        "got one of array $SLURM_ARRAY_JOB_ID: nothing is run"
    exit 1
fi
exec >>"$3_$SLURM_ARRAY_TASK_ID.log" 2>&1
hosts=$4
set -- "$1" -m dormant.reproduce.engines.worker "$2" --names="$3.names" "$SLURM_ARRAY_TASK_ID"
if [ "$hosts" -gt 1 ]; then
    # From Slurm 22.05 on srun no longer takes them of sbatch.
    [ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
    # Else JAX takes one GPU of each node, as of a process for each.
    [ -z "$SLURM_GPUS_ON_NODE" ] ||
        export JAX_LOCAL_DEVICE_IDS="$(seq -s, 0 $((SLURM_GPUS_ON_NODE - 1)))"
    ranked='exec "$@" --rank="$SLURM_PROCID"'
    set -- srun --nodes="$hosts" --ntasks="$hosts" --ntasks-per-node=1 --kill-on-bad-exit=1 \
        sh -c "$ranked" sh "$@" --hosts="$hosts"
fi
exec "$@"
