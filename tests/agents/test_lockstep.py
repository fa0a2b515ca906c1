# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Members in lockstep: whose turn it is, which calls are answered together, and how all end."""

import os
import signal
import threading
import time

import pytest

from dormant.agents.lockstep import Lockstep, MemberFailed


@pytest.fixture
def threads_before():
    """Other packages may have threads of their own in this process, as progress bars do."""
    return set(threading.enumerate())


def recording(kind, answered):
    """Answers a request with twice its number, and writes down who asked together."""

    def answer(requests):
        answered.append((kind, tuple(requests)))
        return {member: 2 * request for member, request in requests.items()}

    return answer


def lockstep(number, answered, kinds=("act", "burst")):
    names = [f"seed {member}" for member in range(number)]
    return Lockstep(names, {kind: recording(kind, answered) for kind in kinds})


def test_members_that_make_the_same_calls_are_answered_together():
    answered, got = [], {}
    runs = lockstep(3, answered)

    def member(number):
        got[number] = [runs.call(number, "act", 10 * number + call) for call in range(4)]

    runs.run([lambda number=number: member(number) for number in range(3)])
    assert got == {number: [2 * (10 * number + call) for call in range(4)] for number in range(3)}
    assert answered == [("act", (0, 1, 2))] * 4


def test_a_less_urgent_call_waits_until_all_others_have_come_to_it():
    answered = []
    runs = lockstep(2, answered)

    def member(number):
        for _ in range(1 + 2 * number):  # the second acts twice more before its first burst
            runs.call(number, "act", 0)
        runs.call(number, "burst", 0)
        runs.call(number, "act", 0)

    runs.run([lambda: member(0), lambda: member(1)])
    together, alone = (0, 1), (1,)
    assert answered == [
        ("act", together), ("act", alone), ("act", alone), ("burst", together), ("act", together)
    ]  # fmt: skip


def test_members_that_are_done_are_not_waited_for():
    answered = []
    runs = lockstep(3, answered)

    def member(number):
        for _ in range(number):
            runs.call(number, "act", 0)

    runs.run([lambda number=number: member(number) for number in range(3)])
    assert answered == [("act", (1, 2)), ("act", (2,))]


def test_turns_do_not_depend_on_how_long_they_take():
    orders = []
    for slow in range(3):
        order = []
        runs = lockstep(3, [])

        def member(number, slow=slow, order=order, runs=runs):
            for call in range(3):
                time.sleep(0.01 * (number == slow))
                order.append((call, number))
                runs.call(number, "act", 0)

        runs.run([lambda number=number: member(number) for number in range(3)])
        orders.append(order)
    assert orders[0] == orders[1] == orders[2] == sorted(orders[0])


def test_the_others_go_on_where_one_fails_and_it_is_named():
    closed, answered = [], []
    runs = lockstep(3, answered)

    def member(number):
        try:
            for call in range(5):
                if (number, call) == (1, 2):
                    raise FloatingPointError("the loss is nan")
                runs.call(number, "act", 0)
        finally:
            closed.append(number)

    with pytest.raises(MemberFailed, match="^seed 1: FloatingPointError: the loss is nan$") as info:
        runs.run([lambda number=number: member(number) for number in range(3)])
    assert list(info.value.errors) == [1]
    assert info.value.__cause__ is info.value.errors[1]
    assert closed == [1, 0, 2]
    assert answered == [("act", (0, 1, 2))] * 2 + [("act", (0, 2))] * 3


def test_each_member_that_failed_has_a_line():
    runs = lockstep(3, [])

    def member(number):
        runs.call(number, "act", 0)
        if number:
            raise ValueError(f"{number} is\nbroken")

    with pytest.raises(MemberFailed) as info:
        runs.run([lambda number=number: member(number) for number in range(3)])
    lines = ["seed 1: ValueError: 1 is broken", "seed 2: ValueError: 2 is broken"]
    assert str(info.value).splitlines() == lines


def test_an_answer_that_is_an_exception_is_raised_where_it_was_asked_for():
    def answer(requests):
        return {member: KeyError("no") if member else member for member in requests}

    runs = Lockstep(["a", "b"], {"act": answer})
    caught = []

    def member(number):
        try:
            runs.call(number, "act", None)
        except KeyError:
            caught.append(number)

    runs.run([lambda: member(0), lambda: member(1)])
    assert caught == [1]


def test_an_exception_of_what_answers_is_nobodys(threads_before):
    def answer(requests):
        raise MemoryError("the device is full")

    runs = Lockstep(["a", "b"], {"act": answer})
    with pytest.raises(MemoryError, match="the device is full"):
        runs.run([lambda: runs.call(0, "act", None), lambda: runs.call(1, "act", None)])
    assert set(threading.enumerate()) <= threads_before


def test_calls_while_stopping_are_refused():
    runs = lockstep(2, [])
    refused = []

    def member(number):
        try:
            runs.call(number, "act", 0)
            if number == 1:
                raise SystemExit  # of all members
            runs.call(number, "act", 0)
        finally:
            if number == 0:
                try:
                    runs.call(number, "act", 0)
                except BaseException as error:
                    refused.append(type(error).__name__)

    with pytest.raises(SystemExit):
        runs.run([lambda: member(0), lambda: member(1)])
    assert refused == ["Stopped"]


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal: a shell starts what runs in its background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("where", ["in a turn", "in an answer"])
@pytest.mark.parametrize("whose", ["process", "thread"])
def test_an_interrupt_stops_all_and_comes_out(where, whose, threads_before):
    closed = []

    def interrupt():
        if whose == "process":  # as Ctrl-C does; one sent to a thread is seen when its turn ends
            os.kill(os.getpid(), signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.02)

    def answer(requests):
        if where == "in an answer":
            interrupt()
        return dict.fromkeys(requests)

    runs = Lockstep(["a", "b"], {"act": answer})

    def member(number):
        try:
            runs.call(number, "act", None)
            # Delivered to the main thread, wherever it comes from.
            if where == "in a turn":
                interrupt()
            runs.call(number, "act", None)
        finally:
            closed.append(number)

    with pytest.raises(KeyboardInterrupt):
        runs.run([lambda: member(0), lambda: member(1)])
    assert sorted(closed) == [0, 1]
    assert set(threading.enumerate()) <= threads_before


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_leaves_nobody_calling_on():
    answered, found = [], []
    runs = lockstep(2, answered)
    is_out, is_done = threading.Event(), threading.Event()

    def member(number):
        try:
            runs.call(number, "act", 0)
            if number == 1:
                raise SystemExit  # of all members
            runs.call(number, "act", 0)
        finally:
            if number == 0:
                os.kill(os.getpid(), signal.SIGINT)
                is_out.wait(10)
                try:
                    runs.call(number, "act", 0)
                except BaseException as error:
                    found.append(type(error).__name__)
                is_done.set()

    with pytest.raises(KeyboardInterrupt):
        runs.run([lambda: member(0), lambda: member(1)])
    is_out.set()
    assert is_done.wait(10)
    assert found == ["Stopped"]
    assert answered == [("act", (0, 1))]


def test_a_call_after_all_were_stopped_is_answered_alone():
    answered = []
    runs = lockstep(2, answered)
    with pytest.raises(MemberFailed):
        runs.run([lambda: runs.call(0, "act", 0), lambda: 1 / 0])
    assert runs.call(1, "act", 4) == 8


def test_a_call_where_nothing_runs_is_answered_alone():
    answered = []
    runs = lockstep(2, answered)
    assert runs.call(1, "act", 4) == 8
    runs.run([lambda: runs.call(0, "act", 1), lambda: None])
    assert runs.call(1, "burst", 5) == 10
    assert answered == [("act", (1,)), ("act", (0,)), ("burst", (1,))]


def test_members_run_again():
    answered = []
    runs = lockstep(2, answered)
    for _ in range(2):
        runs.run([lambda: runs.call(0, "act", 1), lambda: runs.call(1, "act", 1)])
    assert answered == [("act", (0, 1))] * 2
