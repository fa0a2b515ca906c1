# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What mistakes are made on: a command's parts, in this process, watched for hangs and memory; and
what runs that are killed or damaged share."""

import contextlib
import os
import resource
import signal
import warnings

import pytest

from dormant import memory
from dormant.runs.command_line import CONFIGURATION_ERROR, quiet_stderr, run_command
from tests.faults.commands import KINDS, Command

_MEMORY = 2**30  # bytes that no mistake may take
_SECONDS = 60  # after which a mistake is taken to hang


@pytest.fixture(scope="module")
def make():
    """`make(command, given, base_dir)`: what a command makes before it trains."""
    with warnings.catch_warnings():
        # tensorflow-probability warns about distutils while it is imported, whatever we do.
        warnings.simplefilter("ignore")
        from dormant.agents import preflight, runner
    from dormant.runs.gin_files import parse_gin
    from dormant.runs.options import LearnerOptions
    from dormant.studies import distillation, offline, supervised  # noqa: F401
    from dormant.studies.options import StudyRun
    from dormant.studies.runner import StudyRunner
    from dormant.vectorized.agent import VectorizedDQN
    from dormant.vectorized.options import VectorizedRun
    from dormant.vectorized.runner import VectorizedRunner

    preflight.load_gin(["dqn_cartpole.gin"], [])  # imports what mistakes are made in

    def run(command, given, base_dir):
        if command == "train":
            preflight.load_gin(given.gin_files, given.gin_bindings)
            preflight.check_runner()
            preflight.check_environment()
            return runner.create_dormant_runner(base_dir)
        parse_gin(given.gin_files, given.gin_bindings)
        if command == "study":
            return StudyRunner(base_dir, StudyRun(), LearnerOptions())
        return VectorizedRunner(base_dir, VectorizedRun(), VectorizedDQN(), LearnerOptions())

    return run


class _Hangs(BaseException):
    """No Exception, so that nothing catches it."""


@contextlib.contextmanager
def _bounded():
    """An error instead of a hang or of gigabytes."""

    def hang(*unused):
        raise _Hangs

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(_SECONDS)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    taken = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most)
    assert taken < _MEMORY


@pytest.fixture
def refusal(make, tmp_path, monkeypatch, capfd):
    """`refusal(mistake)`: the line that it is refused with; None where it is none."""
    monkeypatch.chdir(tmp_path)
    # What is too much must be so on every machine.
    monkeypatch.setattr(memory, "machine_memory", lambda: 16 * 10**9)

    def of_a_run(number, mistake):
        folder = tmp_path / str(number)
        folder.mkdir()
        flags = mistake.flags(folder)
        before = sorted(os.walk(folder))

        def prepare(given, base_dir):
            with quiet_stderr():
                make(mistake.command, given, base_dir)
            return lambda: None

        capfd.readouterr()
        code = run_command(mistake.command, "", flags, prepare)
        out, err = capfd.readouterr()
        if code == 0:
            return None
        assert code == CONFIGURATION_ERROR and out == ""
        assert sorted(os.walk(folder)) == before
        return err

    def of_a_call(mistake):
        try:
            mistake.call()
        except ValueError as error:
            return f"{error}\n"
        return None

    def of(number, mistake):
        with _bounded():
            return of_a_call(mistake) if mistake.call else of_a_run(number, mistake)

    return of


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The folder of compiled programs that all runs share."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def command(kind, tmp_path):
    """`command(iterations, folder)`: a command of this kind."""
    return lambda iterations, folder=tmp_path / "run": Command(kind, folder, iterations)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """`uninterrupted(kind)`: the records of a run of 6 iterations that nothing happened to."""
    found = {}

    def records(kind):
        if kind not in found:
            whole = Command(kind, tmp_path_factory.mktemp("whole") / "run", 6)
            assert whole.run()[0] == 0
            found[kind] = whole.records()
        return found[kind]

    return records
