# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Several functions that take turns in one process and meet at the calls worth making together.
Nothing here knows what they compute."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dormant.checks import RunFailed

# {member: request} -> {member: answer}; an answer that is an exception is raised in that member.
Execute = Callable[[dict[int, Any]], dict[int, Any]]


class MemberFailed(RunFailed, RuntimeError):
    """Members raised exceptions, the first of which is the cause of this one; a line for each.

    Attributes:
      errors: {number of the member: its exception}.
    """

    def __init__(self, errors: Mapping[int, Exception], names: Sequence[str]):
        each = [(names[member], error) for member, error in sorted(errors.items())]
        lines = (f"{name}: {type(error).__name__}: {error}" for name, error in each)
        super().__init__("\n".join(" ".join(line.split()) for line in lines))
        self.errors = dict(errors)


class Stopped(BaseException):
    """Raised in a member at its call when all are stopped; files are closed on its way out."""


class Lockstep:
    """Runs members, each a function in a thread of its own, as coroutines.

    One thread runs at a time. Members take turns in their order, each from the answer of one call
    to the next call. When every member waits at a call or is done, the most urgent kind of call
    that any of them waits at is answered, for all who wait at it, and they take their turns. So
    what happens never depends on how fast a thread is. Who raises an exception is done; the others
    go on.
    """

    def __init__(self, names: Sequence[str], execute: Mapping[str, Execute]):
        """Starts nothing yet.

        Args:
          names: of the members, for what is said of one that failed.
          execute: {kind of call: what answers it}, the most urgent kind first: members wait at a
            kind until nobody waits at one before it. It is called in the thread of `run`.
        """
        self._execute = dict(execute)
        self._names = list(names)
        self._is_running = self._is_stopping = False

    def call(self, member: int, kind: str, request: Any) -> Any:
        """Waits in a member's function for the answer to a request.

        Where nothing runs it is answered at once, for this member alone.
        """
        # First: after a second Ctrl-C `run` is over while members are still on their way out.
        if self._is_stopping:
            raise Stopped
        if self._is_running:
            self._ends.put((kind, request))
            answer = self._turns[member].get()
            if self._is_stopping:
                raise Stopped
        else:
            answer = self._execute[kind]({member: request})[member]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, functions: Sequence[Callable[[], Any]]) -> None:
        """Runs one function per member to its end.

        Raises:
          MemberFailed: at the end, when some raised an exception.
          KeyboardInterrupt: on Ctrl-C, after every member came to its next call and was stopped.
        """
        # Of each member, filled with its answer when its turn begins.
        self._turns: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in self._names]
        # Filled when a turn ends: with (kind, request) at a call, with an error, else with None.
        self._ends: queue.SimpleQueue = queue.SimpleQueue()
        self._waiting: dict[int, tuple[str, Any]] = {}  # (kind, request) of members at a call
        self._errors: dict[int, Exception] = {}  # of members that failed, in that order
        self._turn: int | None = None  # who has it
        self._is_running, self._is_stopping = True, False
        self._threads = [
            threading.Thread(target=self._take_turns, args=(turns, function), daemon=True)
            for turns, function in zip(self._turns, functions, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        try:
            for member in range(len(self._names)):
                self._give_turn(member)
            while self._waiting:
                self._answer_one_kind()
        except BaseException:
            self._stop()
            raise
        finally:
            self._is_running = False
        if self._errors:
            first = next(iter(self._errors.values()))
            raise MemberFailed(self._errors, self._names) from first

    def _answer_one_kind(self) -> None:
        pending = {kind for kind, _ in self._waiting.values()}
        kind = next(kind for kind in self._execute if kind in pending)
        members = sorted(member for member, (own, _) in self._waiting.items() if own == kind)
        answers = self._execute[kind]({member: self._waiting[member][1] for member in members})
        for member in members:
            self._give_turn(member, answers[member])

    def _give_turn(self, member: int, answer: Any = None) -> None:
        """Returns when the member waits at its next call or is done."""
        self._waiting.pop(member, None)
        self._turn = member
        self._turns[member].put(answer)
        end = self._ends.get()
        self._turn = None
        if isinstance(end, Exception):
            self._errors[member] = end
        elif isinstance(end, BaseException):  # such as SystemExit: of all
            raise end
        elif end is not None:
            self._waiting[member] = end

    def _stop(self) -> None:
        self._is_stopping = True
        # Where Ctrl-C came during a turn, that member first: it runs on to its next call.
        first = [] if self._turn is None else [self._turn]
        for member in [*first, *range(len(self._names))]:
            self._turns[member].put(None)
            self._threads[member].join()
        self._is_stopping = False  # nobody is left

    def _take_turns(self, turns: queue.SimpleQueue, function: Callable[[], Any]) -> None:
        turns.get()
        error: BaseException | None = None
        try:
            if not self._is_stopping:
                function()
        except Stopped:
            pass
        except BaseException as raised:  # raised again in the thread of `run`
            error = raised
        self._ends.put(error)
