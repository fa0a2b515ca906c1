# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Several runs in one process: each with its own runner, agent, replay and folder, in lockstep.
Each is the run that it would be alone; what they share is compiled programs and the device."""

import contextlib
import functools
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gin

from dormant.agents import dispatch
from dormant.agents.lockstep import Execute, Lockstep
from dormant.checks import ConfigurationError, RunFailed, first_line, require
from dormant.records.run_file import RunRecords
from dormant.replay import replay_shortage
from dormant.runs.members import Member
from dormant.runs.progress import Progress
from dormant.xla_cpu import is_cpu

# The compiled programs of an agent, where it has them; the same for agents of one learner.
_POLICIES = ("_act_in_training", "_act_in_evaluation", "_act_at_random")
_BURST = "_burst"


class SideBySide:
    """Runs of several members in lockstep; used in place of a runner.

    The members wait for each other before every phase, training or evaluation, and at every burst
    of updates, so that their calls come at the same time although episodes end when they will.
    Atari games are emulated side by side in threads, where `ThreadedAtari` can. `steps_per_second`
    of a member counts the time of all.
    """

    def __init__(
        self,
        base_dir: str,
        members: Sequence[Member],
        create: Callable[[str], Any],
        one_dispatch: bool | None = None,
    ):
        """Creates the runner of every member, and resumes each where there is a checkpoint.

        Args:
          base_dir: the folder that holds the members' folders.
          members: which runs.
          create: `create(folder) -> runner`, called with gin as the member has it.
          one_dispatch: whether the members' calls are one compiled program, else one after the
            other with their own programs, to the bit as alone; None: not on the CPU.

        Raises:
          ConfigurationError: when an option is not allowed.
        """
        _check_names(members)
        folders = [os.path.join(base_dir, member.folder) for member in members]
        self._members = list(members)
        self.runners: list[Any] = []  # the members' own
        for member, folder in zip(members, folders, strict=True):
            with _bound(member):
                self.runners.append(create(folder))
            if len(self.runners) == 1:
                # Before those are made that differ from the first by no more than their seeds.
                alike = sum(member.values == members[0].values for member in members)
                _check_memory([self.runners[0].agent] * alike)
        _check_memory([runner.agent for runner in self.runners])
        self._records = RunRecords([])
        if one_dispatch is None:
            one_dispatch = not is_cpu()
        together = self._share_programs()
        answer = functools.partial(dispatch.by_program, together if one_dispatch else {})
        self._lockstep = Lockstep(
            [member.name for member in members],
            {
                "environment": dict.copy,  # while others step theirs
                "act": answer,
                "burst": answer,
                "phase": dict.copy,
            },
        )
        self._progress = Progress(sum(runner.agent.training_steps for runner in self.runners))
        self._shown: list[_MemberProgress] = []
        left: dict[int, int] = {}
        for number, (member, runner) in enumerate(zip(members, self.runners, strict=True)):
            _ask_together(runner, functools.partial(self._lockstep.call, number))
            shown = _MemberProgress(self._progress, number, member.name, left)
            self._shown.append(shown)
            runner.show_progress(shown)

    def _share_programs(self) -> dict[Callable, Execute]:
        """Gives agents that differ in nothing but the seed the programs of the first of them.

        Returns:
          {program: what answers the calls of all the agents that have it}.
        """
        groups: dict[tuple, list[Any]] = {}
        for member, runner in zip(self._members, self.runners, strict=True):
            groups.setdefault(tuple(member.values.items()), []).append(runner.agent)
        found: dict[Callable, Execute] = {}
        for first, *others in groups.values():
            names = [name for name in (*_POLICIES, _BURST) if hasattr(first, name)]
            if not others or not names:
                continue
            one = dispatch.OneDispatch(first._learner, 1 + len(others))
            for name in names:
                program = getattr(first, name)
                found[program] = one.bursts if name == _BURST else one.acts
                for agent in others:
                    setattr(agent, name, program)
        return found

    def describe(self) -> str:
        """What runs, in a line: the agent, the seeds and the iterations that are left."""
        seeds = sorted({member.seed for member in self._members})
        agent = type(self.runners[0].agent).__name__
        left = {runner.describe_rest(): None for runner in self.runners}
        return (
            f"{agent}, {len(self.runners)} runs side by side, seeds {seeds[0]} to {seeds[-1]},"
            f" {' or '.join(left)}"
        )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other process works on any member's run.

        Raises:
          ConfigurationError: when another process does.
        """
        with contextlib.ExitStack() as stack:
            for runner in self.runners:
                stack.enter_context(runner.held())
            yield

    def record(self, command: list[str]) -> RunRecords:
        """Writes config.gin and run.json of every member; see `RunRecord`."""
        records = [
            runner.record(command, member.values)
            for member, runner in zip(self._members, self.runners, strict=True)
        ]
        self._records = RunRecords(records)
        return self._records

    def run_experiment(self) -> None:
        """Runs every member to its end, whoever of the others fails.

        Raises:
          MemberFailed: at the end, when some raised an exception; they go on from their last
            checkpoints when the run is started again.
        """

        def run(number: int, runner: Any) -> None:
            try:
                runner.run_experiment()
            except Exception as error:
                of_disk = isinstance(error, OSError) and error.filename is not None
                if not (of_disk or isinstance(error, RunFailed)):  # a mistake in the code, perhaps
                    traceback.print_exception(error)
                self._shown[number].expect(0)
                self._shown[number].line(f"failed: {error}")
                with contextlib.suppress(OSError):  # on a full disk, which is the error then
                    self._records.end(number, error)
                raise
            self._records.end(number)

        with self.held(), self._progress:
            self._lockstep.run([functools.partial(run, *each) for each in enumerate(self.runners)])


def _ask_together(runner: Any, call: Callable[[str, Any], Any]) -> None:
    """Has a member's calls answered together with those of the others."""
    for name in filter(functools.partial(hasattr, runner.agent), (*_POLICIES, _BURST)):
        setattr(runner.agent, name, _asking(getattr(runner.agent, name), call, name == _BURST))
    runner.step_in_thread(lambda: call("environment", None))
    runner.meet = lambda: call("phase", None)


def _asking(
    program: Callable[..., Any], call: Callable[[str, Any], Any], is_burst: bool
) -> Callable[..., Any]:
    """What takes the place of a program: its caller gets the answer that is found for all."""
    kind, request = ("burst", dispatch.Burst) if is_burst else ("act", dispatch.Act)
    return lambda *arguments: call(kind, request(program, *arguments))


class _MemberProgress(contextlib.AbstractContextManager):
    """A member's part of the one progress that is shown; takes the place of a `Progress`."""

    def __init__(self, shown: Progress, number: int, name: str, left: dict[int, int]):
        self._shown, self._number, self._name = shown, number, name
        self._left = left  # agent steps still to come, by member

    def __exit__(self, *unused: Any) -> None:
        pass

    def step(self) -> None:
        self._left[self._number] -= 1
        self._shown.step()

    def expect(self, steps: int) -> None:
        self._left[self._number] = steps
        self._shown.expect(sum(self._left.values()))

    def show(self, **values: str) -> None:
        self._shown.show(**{name: f"{value} ({self._name})" for name, value in values.items()})

    def refresh(self) -> None:
        self._shown.refresh()

    def line(self, prefix: str = "") -> None:
        self._shown.line(f"{self._name}: {prefix}")


def _check_names(members: Sequence[Member]) -> None:
    """Checks that the options that differ are not those that make the runs side by side."""
    for name in members[0].values:
        # As in "scope/module.configurable.parameter".
        selector, _, parameter = name.rpartition(".")
        configurable = selector.split("/")[-1].split(".")[-1]
        is_one_runs = configurable != "create_dormant_runner" and parameter != "seed"
        allowed = "options of one run without its seed: `seeds` says how many there are"
        require(is_one_runs, "create_dormant_runner.side_by_side", allowed, name)


def _check_memory(agents: Sequence[Any]) -> None:
    # An agent of somebody else's may have another replay.
    replays = [agent.replay.options for agent in agents if hasattr(agent, "replay")]
    problem = replay_shortage(*replays)
    if problem is not None:
        capacities = sorted({options.capacity for options in replays})
        raise ConfigurationError(
            "`ReplayBuffer.max_capacity` must leave memory for the replays of all"
            f" {len(agents)} runs side by side: {problem}; got {', '.join(map(str, capacities))}"
        )


@contextlib.contextmanager
def _bound(member: Member) -> Iterator[None]:
    """Gin as the member alone would have it; afterwards it is as it was before."""
    bindings: dict[str, Any] = {
        "create_dormant_runner.seeds": 1,
        "create_dormant_runner.side_by_side": None,
        "LearnerOptions.seed": member.seed,
        **member.values,
    }
    # Gin has no function that takes a binding back.
    configuration = gin.config._CONFIG
    before = {key: dict(bound) for key, bound in configuration.items()}
    try:
        with gin.unlock_config():
            for name, value in bindings.items():
                try:
                    gin.bind_parameter(name, value)
                except ValueError as error:
                    text = first_line(error).rstrip(".")
                    raise ConfigurationError(
                        f"create_dormant_runner.side_by_side: {text}; got {name!r}"
                    ) from error
        yield
    finally:
        configuration.clear()
        configuration.update(before)
