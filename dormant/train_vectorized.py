"""`python -m dormant.train_vectorized --gin_files=FILE --base_dir=DIR [--gin_bindings=…]`: several
seeds of a run side by side, all of it on the device. Needs neither Dopamine nor TensorFlow."""

import functools
import sys
from collections.abc import Sequence

import jax

from dormant.runs.command_line import command_line, quiet_stderr, run_command
from dormant.runs.gin_files import parse_gin
from dormant.runs.options import ConfigurationError, LearnerOptions

_PROGRAM = "dormant.train_vectorized"


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains the seeds of a run.

    Args:
      arguments: the flags; None for those of the command line.

    Returns:
      The exit code: 0, or 2 where a flag, a gin file or an option is wrong; then nothing was
      created.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)

    def prepare(given, base_dir):
        try:
            from dormant.vectorized.agent import VectorizedDQN
            from dormant.vectorized.options import VectorizedRun, initialize_distributed
            from dormant.vectorized.runner import VectorizedRunner
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{error}; what runs on the device need is installed by: pip install"
                " 'dormant[vectorized]'"
            ) from error
        with quiet_stderr():
            parse_gin(given.gin_files, given.gin_bindings)
        run = VectorizedRun()
        # First: options that hold a schedule call it, and then it is too late.
        if run.distributed:
            initialize_distributed()
        runner = VectorizedRunner(base_dir, run, VectorizedDQN(), LearnerOptions())
        if jax.process_index() == 0:
            print(f"{_PROGRAM}: {runner.describe()}; {base_dir}", file=sys.stderr)
        return functools.partial(runner.run_experiment, command_line(_PROGRAM, arguments))

    return run_command(_PROGRAM, __doc__, arguments, prepare)


if __name__ == "__main__":
    sys.exit(main())
