# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What the commands that start runs share: their flags, one line for a mistake, a quiet start."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from dormant import hardware
from dormant.checks import ConfigurationError, RunFailed, first_line
from dormant.interruption import Interrupted, interruptible, last_words
from dormant.records.files import is_passing
from dormant.runs.compiling import CompiledFunction, print_compiled
from dormant.runs.gin_files import (
    check_base_dir,
    find_gin_files,
    parse_gin,
    unread_bindings,
)

_INTERRUPTED = (
    "{}; the same command goes on from the last checkpoint, or starts anew where there is none yet"
)
FAILED, CONFIGURATION_ERROR = 1, 2
# What gin adds to the TypeError of a function whose arguments no file and no binding gives.
_UNBOUND = "No values supplied by Gin"
_BASE_DIR = "Folder of the run; continued where it holds a checkpoint."
_COMPILE_FOR = "Hardware to compile the run's programs for, such as v5e:4x4; nothing is run."
_GIN_FILES = "Gin file: a path, or the name of one that comes with dormant, such as dqn_redo.gin"
_GIN_BINDINGS = "Binding that overrides the files, such as 'ReDo.tau = 0.025'"


def run_command(
    program: str,
    description: str,
    arguments: Sequence[str],
    prepare: Callable[[flags.FlagValues, str], Callable[[], None]],
) -> int:
    """Parses the flags, prepares a run and starts it.

    Args:
      program: the command's name, such as "dormant.train".
      description: what `--help` says first.
      arguments: the flags given.
      prepare: checks what was asked for and returns what runs it; given the parsed flags, of which
        `gin_files` can be read, and the absolute path of `base_dir`, which can be written.

    Returns:
      The exit code: 0; 2 where a flag, a gin file or an option is wrong, for which `prepare` raises
      ConfigurationError, or another process works on the folder; 1 where the run raised RunFailed,
      or the disk ended one that had started, or was full or away before; 130 or 143 where SIGINT
      or SIGTERM did. For all but 0 a line on stderr says why. After 2 nothing was created.
    """
    run = None

    def say(interrupted: Interrupted) -> None:
        print(f"{program}: {_INTERRUPTED.format(interrupted)}", file=sys.stderr, flush=True)

    try:
        given = _parse(program, description, list(arguments))
        if given is None:
            return 0
        target = _hardware(given.compile_for)
        with _folder(given.base_dir, target) as base_dir, hardware.compiling_for(target):
            find_gin_files(given.gin_files)
            run = prepare(given, base_dir)
            # From here on: jax.distributed, which `prepare` starts, takes SIGTERM for itself.
            with interruptible(), last_words(say):
                run()
        return 0
    except BaseException as error:
        ended = _ended(error, started=run is not None)
        if ended is None:
            raise
    code, text = ended
    for line in text.splitlines():
        print(f"{program}: {line}", file=sys.stderr)
    return code


def _hardware(name: str | None) -> hardware.Hardware | None:
    try:
        return None if name is None else hardware.hardware_of(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


@contextlib.contextmanager
def _folder(base_dir: str | None, target: hardware.Hardware | None) -> Iterator[str]:
    """The folder of a run; an empty one that is not kept where its programs are compiled only."""
    if target is None:
        yield check_base_dir(base_dir)
    else:
        with tempfile.TemporaryDirectory() as empty:
            yield empty


def _ended(error: BaseException, started: bool) -> tuple[int, str] | None:
    """The exit code and the lines for what ended a command; None for a mistake in the code."""
    match error:
        case Interrupted():
            return error.exit_code, _INTERRUPTED.format(error)
        case ConfigurationError():
            return CONFIGURATION_ERROR, f"error: {first_line(error)}"
        case TypeError() if not started and _UNBOUND in str(error):
            return CONFIGURATION_ERROR, f"error: gin: {first_line(error)}"
        case RunFailed():
            return FAILED, "\n".join(f"error: {line}" for line in str(error).splitlines())
        # One that names no file is none of the disk's.
        case OSError(filename=str() | bytes() as path) if error.strerror:
            code = FAILED if started or is_passing(error) else CONFIGURATION_ERROR
            return code, f"error: {os.fsdecode(path)}: {error.strerror}"
        case Exception() if not started and (problem := _device_problem()):
            # The device may be held by another process, and free later.
            return FAILED, f"error: {problem}"
    return None


def _device_problem() -> str | None:
    """Why JAX has no device to compute on; None where it has one."""
    try:
        jax.devices()
    except Exception as error:  # of no common base
        platforms = os.environ.get("JAX_PLATFORMS", "")
        asked = f" with JAX_PLATFORMS={platforms}" if platforms else ""
        said = first_line(error)
        return f"JAX cannot start a device{asked}{said and ': '}{said}"
    return None


def run_compiled(
    program: str,
    description: str,
    arguments: Sequence[str] | None,
    load: Callable[[], tuple[Callable[[str], Any], Callable[[], Sequence[CompiledFunction]]]],
) -> int:
    """`run_command` for a run whose training is compiled, without Dopamine: `load` imports what gin
    files bind and returns what makes a runner for a folder, and what lists what that run compiles,
    from what gin then configures. Where `arguments` are None, those of this process count."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)

    def prepare(given: flags.FlagValues, base_dir: str) -> Callable[[], None]:
        try:
            make_runner, list_parts = load()
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{error}; what {program} needs is installed by: pip install 'dormant[vectorized]'"
            ) from error
        with quiet_stderr():
            parse_gin(given.gin_files, given.gin_bindings)
        target = hardware.target()
        if target is not None:
            return functools.partial(print_compiled, list_parts(), target)
        runner = make_runner(base_dir)
        warn_of_unread(program, given.gin_bindings)
        if jax.process_index() == 0:
            print(f"{program}: {runner.describe()}; {base_dir}", file=sys.stderr)
        return functools.partial(runner.run_experiment, command_line(program, arguments))

    return run_command(program, description, arguments, prepare)


def warn_of_unread(program: str, gin_bindings: Sequence[str]) -> None:
    """Says which options were given that nothing in the run reads."""
    if unread := unread_bindings(gin_bindings):
        said = f"{program}: warning: nothing in this run reads {', '.join(unread)}"
        print(said, file=sys.stderr)


def _parse(program: str, description: str, arguments: list[str]) -> flags.FlagValues | None:
    """The flags given; None where help was asked for and printed."""
    values = flags.FlagValues()
    flags.DEFINE_string("base_dir", None, _BASE_DIR, flag_values=values)
    flags.DEFINE_multi_string("gin_files", [], _GIN_FILES, flag_values=values)
    flags.DEFINE_multi_string("gin_bindings", [], _GIN_BINDINGS, flag_values=values)
    flags.DEFINE_string("compile_for", None, _COMPILE_FOR, flag_values=values)
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    try:
        rest = values([program, *arguments])[1:]
    except flags.Error as error:
        raise ConfigurationError(str(error)) from error
    if values.help:
        print(description, values.main_module_help() or values, sep="\n")
        return None
    if rest:
        raise ConfigurationError(f"every argument must be a flag; got {rest[0]!r}")
    return values


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what imports write to stderr, from Python or C++; shows it if they fail."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except (ConfigurationError, KeyboardInterrupt):
            raise
        except BaseException:
            held_back.seek(0)
            os.write(saved, held_back.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def command_line(program: str, arguments: Sequence[str]) -> list[str]:
    """The command that starts a process like this one again."""
    return [Path(sys.executable).name, "-m", program, *arguments]
