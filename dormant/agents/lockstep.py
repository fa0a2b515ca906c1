# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Several functions that take turns in one process and meet at the calls worth making together.
Nothing here knows what they compute."""

import dataclasses
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# {member: request} -> {member: answer}; an answer that is an exception is raised in that member.
Execute = Callable[[dict[int, Any]], dict[int, Any]]


class MemberFailed(RuntimeError):
    """A member raised an exception, which is the cause of this one; all others were stopped.

    Attributes:
      member: its number.
    """

    def __init__(self, member: int, name: str, error: BaseException):
        super().__init__(f"{name}: {type(error).__name__}: {error}")
        self.member = member


class Stopped(BaseException):
    """Raised in a member at its call when all are stopped; files are closed on its way out."""


@dataclasses.dataclass
class _Member:
    """What the two sides of a member's turn tell each other."""

    number: int
    name: str
    thread: threading.Thread | None = None
    # Filled when its turn begins.
    turn: queue.SimpleQueue[None] = dataclasses.field(default_factory=queue.SimpleQueue)
    kind: str | None = None  # of the call it waits at
    request: Any = None
    answer: Any = None
    error: BaseException | None = None


class Lockstep:
    """Runs members, each a function in a thread of its own, as coroutines.

    One thread runs at a time. Members take turns in their order, each from the answer of one call
    to the next call. When every member waits at a call or is done, the most urgent kind of call
    that any of them waits at is answered, for all who wait at it, and they take their turns. So
    what happens never depends on how fast a thread is.
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
            waiting = self._members[member]
            waiting.kind, waiting.request = kind, request
            self._back.put(None)
            waiting.turn.get()
            if self._is_stopping:
                raise Stopped
            answer, waiting.answer = waiting.answer, None
        else:
            answer = self._execute[kind]({member: request})[member]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, functions: Sequence[Callable[[], Any]]) -> None:
        """Runs one function per member to its end.

        Raises:
          MemberFailed: when one raised an exception.
          KeyboardInterrupt: on Ctrl-C, after every member came to its next call and was stopped.
        """
        self._members = [_Member(number, name) for number, name in enumerate(self._names)]
        self._back: queue.SimpleQueue[None] = queue.SimpleQueue()  # filled when a turn ends
        self._turn: _Member | None = None  # who has it
        self._is_running, self._is_stopping = True, False
        for member, function in zip(self._members, functions, strict=True):
            arguments = (member, function)
            member.thread = threading.Thread(target=self._take_turns, args=arguments, daemon=True)
            member.thread.start()
        try:
            for member in self._members:
                self._give_turn(member)
            while any(member.kind for member in self._members):
                self._answer_one_kind()
        except BaseException:
            self._stop()
            raise
        finally:
            self._is_running = False

    def _answer_one_kind(self) -> None:
        pending = {member.kind for member in self._members}
        kind = next(kind for kind in self._execute if kind in pending)
        waiting = [member for member in self._members if member.kind == kind]
        answers = self._execute[kind]({member.number: member.request for member in waiting})
        for member in waiting:
            member.answer = answers[member.number]
            self._give_turn(member)

    def _give_turn(self, member: _Member) -> None:
        """Returns when the member waits at its next call or is done."""
        member.kind = member.request = None
        self._turn = member
        member.turn.put(None)
        self._back.get()
        self._turn = None
        if member.error is not None:
            raise MemberFailed(member.number, member.name, member.error) from member.error

    def _stop(self) -> None:
        self._is_stopping = True
        # Where Ctrl-C came during a turn, that member first: it runs on to its next call.
        first = [] if self._turn is None else [self._turn]
        for member in [*first, *self._members]:
            member.turn.put(None)
            if member.thread is not None:
                member.thread.join()
        self._is_stopping = False  # nobody is left

    def _take_turns(self, member: _Member, function: Callable[[], Any]) -> None:
        member.turn.get()
        try:
            if not self._is_stopping:
                function()
        except Stopped:
            pass
        except BaseException as error:  # raised again in the thread of `run`
            member.error = error
        self._back.put(None)
