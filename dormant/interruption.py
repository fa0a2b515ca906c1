# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""SIGINT and SIGTERM in every command: an exception in the main thread, and an end within seconds.

What was ignored when the process started, as a shell does with SIGINT for jobs in the background,
counts as well. The exception cannot be raised while the main thread is in a compiled program, so
another thread waits for it, and ends the process where it takes too long.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds that a process has to come to its end by itself.
GRACE = 6.0
# What is done before a process is ended that has not come to its end, the last first.
_last_words: list[Callable[["Interrupted"], object]] = []


class Interrupted(KeyboardInterrupt):
    """The process was asked to end, by SIGINT (Ctrl-C) or SIGTERM (preemption).

    Attributes:
      exit_code: 130 or 143, as shells have it.
    """

    def __init__(self, number: int):
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def end_at_once() -> None:
    """Has SIGINT and SIGTERM end this process until it is `interruptible`: while a command imports
    packages, some of which swallow exceptions, there is nothing to clean up."""
    for each in _SIGNALS:
        signal.signal(each, lambda number, frame: os._exit(128 + number))


@contextlib.contextmanager
def interruptible(grace: float | None = GRACE) -> Iterator[None]:
    """Has the first SIGINT or SIGTERM raise `Interrupted` in the main thread; others are ignored.

    In another thread than the main one it changes nothing.

    Args:
      grace: seconds after which the process is ended, with what `last_words` left to be done; None
        for never.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised, ended = False, threading.Event()

    def interrupt(number: int, frame: object) -> None:
        nonlocal raised
        # Once: what cleans up is not disturbed.
        if not raised:
            raised = True
            raise Interrupted(number)

    # The number of each signal is written there at once, whatever the main thread is doing.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    arguments = (reader, ended, grace)
    watch = threading.Thread(target=_end_late, args=arguments, name="interruption", daemon=True)
    watch.start()
    descriptor_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {each: signal.signal(each, interrupt) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(descriptor_before)
        ended.set()
        os.close(writer)  # which wakes the thread
        watch.join()
        os.close(reader)


@contextlib.contextmanager
def last_words(say: Callable[[Interrupted], object]) -> Iterator[None]:
    """Inside, `say(interrupted)` is called by another thread where the process is ended because the
    main thread did not come to its end."""
    _last_words.append(say)
    try:
        yield
    finally:
        _last_words.remove(say)


def end(code: int) -> NoReturn:
    """Ends this process as `sys.exit` does, at once where it was interrupted: the libraries are not
    to clean up while a compiled program still uses them, which would abort the process."""
    if code - 128 in _SIGNALS:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _end_late(reader: int, ended: threading.Event, grace: float | None) -> None:
    """Ends the process `grace` seconds after one of the signals, unless it has `ended`."""
    number = b""
    while not number or number[0] not in _SIGNALS:  # others have handlers too
        number = os.read(reader, 1)
        if not number:  # closed
            return
    if grace is None or ended.wait(grace):
        return
    interrupted = Interrupted(number[0])
    for say in reversed(_last_words):
        with contextlib.suppress(Exception):
            say(interrupted)
    os._exit(interrupted.exit_code)
