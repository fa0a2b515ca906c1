# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.study --gin_files=FILE --base_dir=DIR [--gin_bindings=…]`: one of the paper's
side experiments, in which nothing acts while the network learns. Needs neither Dopamine nor
TensorFlow."""

from collections.abc import Sequence

from dormant.interruption import end, end_at_once
from dormant.runs.command_line import run_compiled
from dormant.runs.options import LearnerOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one run of a study, with these flags or those of the command line. Returns the exit
    code: 0, or 2 where a flag, a gin file or an option is wrong; then nothing was created."""

    def load():
        # They register what gin files bind.
        from dormant.studies import distillation, offline, supervised  # noqa: F401
        from dormant.studies.options import StudyRun
        from dormant.studies.runner import StudyRunner, compiled_functions

        def make_runner(base_dir: str) -> StudyRunner:
            return StudyRunner(base_dir, StudyRun(), LearnerOptions())

        return make_runner, lambda: compiled_functions(StudyRun(), LearnerOptions())

    return run_compiled("dormant.study", __doc__, arguments, load)


if __name__ == "__main__":
    end_at_once()
    end(main())
