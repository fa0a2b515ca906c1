# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.train_vectorized --gin_files=FILE --base_dir=DIR [--gin_bindings=…]`: several
seeds of a run side by side, all of it on the device. Needs neither Dopamine nor TensorFlow."""

from collections.abc import Sequence

from dormant.checks import ConfigurationError, RunFailed, first_line
from dormant.interruption import end, end_at_once
from dormant.runs.command_line import run_compiled
from dormant.runs.options import LearnerOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains the seeds of a run, with these flags or those of the command line. Returns the exit
    code: 0; 2 where a flag, a gin file or an option is wrong, or 1 where other hosts cannot be
    reached; then nothing was created."""

    def load():
        from dormant.vectorized.agent import VectorizedDQN
        from dormant.vectorized.options import VectorizedRun, initialize_distributed
        from dormant.vectorized.runner import VectorizedRunner, compiled_functions

        def make_runner(base_dir: str) -> VectorizedRunner:
            run = VectorizedRun()
            # First: options that hold a schedule call it, and then it is too late.
            if run.distributed:
                try:
                    initialize_distributed()
                except ValueError as error:
                    raise ConfigurationError(f"initialize_distributed: {error}") from error
                except RuntimeError as error:  # another host is late or away: no mistake here
                    raise RunFailed(f"initialize_distributed: {first_line(error)}") from error
            return VectorizedRunner(base_dir, run, VectorizedDQN(), LearnerOptions())

        return make_runner, lambda: compiled_functions(
            VectorizedRun(), VectorizedDQN(), LearnerOptions()
        )

    return run_compiled("dormant.train_vectorized", __doc__, arguments, load)


if __name__ == "__main__":
    end_at_once()
    end(main())
