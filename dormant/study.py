"""`python -m dormant.study --gin_files=FILE --base_dir=DIR [--gin_bindings=…]`: one of the paper's
side experiments, in which nothing acts while the network learns. Needs neither Dopamine nor
TensorFlow."""

import functools
import sys
from collections.abc import Sequence

from dormant.runs.command_line import command_line, quiet_stderr, run_command
from dormant.runs.gin_files import parse_gin
from dormant.runs.options import ConfigurationError, LearnerOptions

_PROGRAM = "dormant.study"


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one run of a study.

    Args:
      arguments: the flags; None for those of the command line.

    Returns:
      The exit code: 0, or 2 where a flag, a gin file or an option is wrong; then nothing was
      created.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)

    def prepare(given, base_dir):
        try:
            # They register what gin files bind.
            from dormant.studies import distillation, offline, supervised  # noqa: F401
            from dormant.studies.options import StudyRun
            from dormant.studies.runner import StudyRunner
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{error}; what studies need is installed by: pip install 'dormant[vectorized]'"
            ) from error
        with quiet_stderr():
            parse_gin(given.gin_files, given.gin_bindings)
        runner = StudyRunner(base_dir, StudyRun(), LearnerOptions())
        print(f"{_PROGRAM}: {runner.describe()}; {base_dir}", file=sys.stderr)
        return functools.partial(runner.run_experiment, command_line(_PROGRAM, arguments))

    return run_command(_PROGRAM, __doc__, arguments, prepare)


if __name__ == "__main__":
    sys.exit(main())
