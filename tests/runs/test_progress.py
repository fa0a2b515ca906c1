# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What a run shows while it advances: plain lines in a log, a bar on a terminal."""

import io

from dormant.runs.progress import Progress, dormant_text


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_the_dormant_percentage_is_the_mean_of_those_that_are_known():
    def text(*percents):
        return dormant_text(
            [{"taus": [0.0, 0.025], "dormant_percent_pooled": [0.0, each]} for each in percents]
        )

    assert text(12.5) == "12.5 % (tau 0.025)"
    assert text(10.0, None, 20.0) == "15.0 % (tau 0.025)"
    assert text(None) == text(None, None) == "unknown (tau 0.025)"


def test_a_log_gets_plain_lines():
    log = io.StringIO()
    with Progress(initial=100, stream=log) as progress:
        progress.expect(1_000)
        for _ in range(10):
            progress.step()
        progress.show(**{"return": "3", "dormant": "12.5 % (tau 0.1)"})
        progress.show(**{"return": "4"})
        progress.line("iteration 0 done")
        progress.expect(500)
        progress.line()
    first, second = log.getvalue().splitlines()
    assert first.startswith("iteration 0 done  agent step 110 of 1,100  ")
    assert first.endswith(" steps/s  return 4  dormant 12.5 % (tau 0.1)")
    assert second == "agent step 110 of 610  return 4  dormant 12.5 % (tau 0.1)"


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    log = io.StringIO()
    now = iter(range(0, 1_000, 20))
    monkeypatch.setattr("dormant.runs.progress.time.monotonic", lambda: next(now))
    with Progress(stream=log) as progress:
        progress.expect(4)
        for _ in range(4):
            progress.step()
    assert [line.partition("  ")[0] for line in log.getvalue().splitlines()] == [
        "agent step 2 of 4", "agent step 4 of 4"
    ]  # fmt: skip


def test_a_terminal_gets_a_bar():
    terminal = Terminal()
    with Progress(initial=50, stream=terminal) as progress:
        progress.expect(50)
        progress.show(**{"return": "3", "dormant": "12.5 % (tau 0.1)"})
        for _ in range(50):
            progress.step()
        progress.line("iteration 0 done")
    shown = terminal.getvalue()
    assert "100/100" in shown and "return=3" in shown and "dormant=12.5 % (tau 0.1)" in shown
    assert "iteration 0 done  agent step 100 of 100" in shown


def test_a_terminal_gets_no_line_without_an_event():
    terminal = Terminal()
    with Progress(stream=terminal) as progress:
        progress.step()
        progress.line()
    assert "agent step" not in terminal.getvalue()


def test_evaluation_is_shown_without_a_step(monkeypatch):
    log, terminal = io.StringIO(), Terminal()
    now = iter(range(0, 1_000, 20))
    monkeypatch.setattr("dormant.runs.progress.time.monotonic", lambda: next(now))
    with Progress(stream=log) as progress:
        for episode in range(3):
            progress.show(eval_return=str(episode))
            progress.refresh()
    assert log.getvalue() == "agent step 0 of 0  eval return 1\n"
    monkeypatch.undo()
    with Progress(stream=terminal) as progress:
        progress.show(eval_return="7")
        before = len(terminal.getvalue())
        progress.refresh()
        assert "eval_return=7" in terminal.getvalue()[before:]
