"""`python -m dormant.train --gin_files=FILE --base_dir=DIR [--gin_bindings=…]`: one run.
Flags as in Dopamine. Exit code 2 and one line on stderr when what was asked for is not possible."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence

# Read when TensorFlow is imported, which happens below, behind the cheap checks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags, logging  # noqa: E402

from dormant.agents import preflight  # noqa: E402
from dormant.agents.options import ConfigurationError  # noqa: E402

_PROGRAM = "dormant.train"
CONFIGURATION_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one agent.

    Args:
      arguments: the flags; None for those of the command line.

    Returns:
      The exit code: 0, or 2 where a flag, a gin file or an option is wrong; then nothing was
      created.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        given = _parse(arguments)
        if given is None:
            return 0
        base_dir = preflight.check_base_dir(given.base_dir)
        preflight.check_gin_files(given.gin_files)
        with _quiet_stderr():
            preflight.load_gin(given.gin_files, given.gin_bindings)
            preflight.check_runner()
            preflight.check_environment()
            preflight.check_replay()
            runner = _create_runner(base_dir)
    except ConfigurationError as error:
        print(f"{_PROGRAM}: error: {preflight.one_line(error)}", file=sys.stderr)
        return CONFIGURATION_ERROR
    _run(runner, base_dir, arguments)
    return 0


def _parse(arguments: list[str]) -> flags.FlagValues | None:
    """The flags given; None where help was asked for and printed."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "base_dir", None, "Folder of the run; continued where it holds a checkpoint.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "gin_files", [], "Gin file, such as gin_configs/dqn_redo.gin; may be repeated.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "gin_bindings", [], "Binding that overrides the files, such as 'ReDo.tau = 0.025'; may be"
        " repeated.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    try:
        rest = values([_PROGRAM, *arguments])[1:]
    except flags.Error as error:
        raise ConfigurationError(str(error)) from error
    if values.help:
        print(__doc__, values.main_module_help() or values, sep="\n")
        return None
    if rest:
        raise ConfigurationError(f"every argument must be a flag; received {rest[0]!r}")
    return values


def _create_runner(base_dir: str):
    import tensorflow as tf

    from dormant.agents.runner import create_dormant_runner

    # Dopamine and orbax warn of things that a user can do nothing about.
    logging.set_verbosity(logging.ERROR)
    # TensorFlow only writes event files here; the accelerator's memory is JAX's.
    tf.config.set_visible_devices([], "GPU")
    return create_dormant_runner(base_dir)


def _run(runner, base_dir: str, arguments: list[str]) -> None:
    from dormant.agents.run_record import RunRecord, command_line

    record = RunRecord(
        base_dir,
        seed=runner.agent.seed,
        start_iteration=runner.start_iteration,
        command=command_line(arguments),
    )
    print(f"{_PROGRAM}: {runner.describe()}; {record.device}; {base_dir}", file=sys.stderr)
    try:
        runner.run_experiment()
    except BaseException as error:
        record.fail(error)
        raise
    record.finish()


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Holds back what imports write to stderr, from Python or C++; shows it if they fail."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except ConfigurationError:
            raise
        except BaseException:
            held_back.seek(0)
            os.write(saved, held_back.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


if __name__ == "__main__":
    sys.exit(main())
