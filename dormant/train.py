# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""`python -m dormant.train --gin_files=FILE --base_dir=DIR [--gin_bindings=…]`: one run.
Flags as in Dopamine. Exit code 2 and one line on stderr when what was asked for is not possible."""

import functools
import os
import sys
from collections.abc import Sequence

# Read when TensorFlow is imported, which happens below, behind the cheap checks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import logging  # noqa: E402

from dormant import hardware  # noqa: E402
from dormant.checks import require  # noqa: E402
from dormant.interruption import end, end_at_once  # noqa: E402
from dormant.runs.command_line import (  # noqa: E402
    command_line,
    quiet_stderr,
    run_command,
    warn_of_unread,
)
from dormant.runs.compiling import print_compiled  # noqa: E402

_PROGRAM = "dormant.train"


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one agent.

    Args:
      arguments: the flags; None for those of the command line.

    Returns:
      The exit code: 0, or 2 where a flag, a gin file or an option is wrong; then nothing was
      created.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)

    def prepare(given, base_dir):
        with quiet_stderr():
            from dormant.agents import preflight

            preflight.load_gin(given.gin_files, given.gin_bindings)
            preflight.check_runner()
            preflight.check_environment()
            import tensorflow as tf

            from dormant.agents.compiled_functions import compiled_functions
            from dormant.agents.runner import create_dormant_runner

            # Dopamine and orbax warn of things that a user can do nothing about.
            logging.set_verbosity(logging.ERROR)
            # TensorFlow only writes event files here; the accelerator's memory is JAX's.
            tf.config.set_visible_devices([], "GPU")
            runner = create_dormant_runner(base_dir)
        target = hardware.target()
        if target is not None:
            alone = hasattr(runner, "agent")
            require(
                alone, "--compile_for", "left out where several runs are in lockstep", target.name
            )
            return functools.partial(print_compiled, compiled_functions(runner.agent), target)
        warn_of_unread(_PROGRAM, given.gin_bindings)
        return functools.partial(_run, runner, base_dir, command_line(_PROGRAM, arguments))

    return run_command(_PROGRAM, __doc__, arguments, prepare)


def _run(runner, base_dir: str, command: list[str]) -> None:
    from dormant.agents.runner import recorded
    from dormant.replay import describe_memory

    with recorded(runner, command) as record:
        print(f"{_PROGRAM}: {runner.describe()}; {record.device}; {base_dir}", file=sys.stderr)
        agents = [each.agent for each in getattr(runner, "runners", [runner])]
        replays = [agent.replay.options for agent in agents if hasattr(agent, "replay")]
        if replays:
            print(f"{_PROGRAM}: {describe_memory(*replays)}", file=sys.stderr)
        runner.run_experiment()


if __name__ == "__main__":
    end_at_once()
    end(main())
