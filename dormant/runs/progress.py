# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How a run shows that it advances: a bar on a terminal, a plain line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np
import tqdm

from dormant.records.metrics import Record

# Seconds between two lines where there is no terminal to redraw.
_LINE_PERIOD = 30.0
# For a terminal that does not know its size, as in some containers.
_SIZE = {"ncols": 100, "nrows": 24}


class Progress:
    """Counts agent steps and shows steps/s, the last return and the dormant percentage.

    Use as a context manager. An iteration ends with the episode that reaches its length, so the
    total is a little short until `expect` corrects it.
    """

    def __init__(self, initial: int = 0, stream: TextIO | None = None, counted: str = "agent step"):
        """Starts nothing yet.

        Args:
          initial: agent steps already done, in a resumed run.
          stream: where to show it; None for stderr.
          counted: what is counted, in a word or two.
        """
        self._counted = counted
        self._total = initial
        self._step = initial
        self._stream = sys.stderr if stream is None else stream
        self._shown: dict[str, str] = {}
        self._bar: tqdm.tqdm | None = None
        self._mark = (time.monotonic(), initial)

    def __enter__(self) -> "Progress":
        if self._stream.isatty():
            size = {"dynamic_ncols": True} if _has_size(self._stream) else _SIZE
            self._bar = tqdm.tqdm(
                total=self._total, initial=self._step, unit=" steps", file=self._stream, **size
            )
        self._mark = (time.monotonic(), self._step)
        return self

    def __exit__(self, *unused: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, steps: int = 1) -> None:
        """Counts agent steps of training."""
        self._step += steps
        if self._bar is not None:
            self._bar.update(steps)
        else:
            self.refresh()

    def expect(self, steps: int) -> None:
        """Corrects the total: so many agent steps are still to come."""
        self._total = self._step + steps
        if self._bar is not None:
            self._bar.total = self._total

    def show(self, **values: str) -> None:
        """Sets what stands beside the count, by name; the names stay until they are set again."""
        self._shown.update(values)
        if self._bar is not None:
            self._bar.set_postfix(self._shown, refresh=False)

    def refresh(self) -> None:
        """Shows what was set, now and then, where no agent step is counted: in evaluation."""
        if self._bar is not None:
            self._bar.refresh()
        elif time.monotonic() - self._mark[0] > _LINE_PERIOD:
            self.line()

    def line(self, prefix: str = "") -> None:
        """Writes one plain line with everything shown; on a terminal only where it has a prefix."""
        now = time.monotonic()
        seconds, steps = now - self._mark[0], self._step - self._mark[1]
        if self._bar is None or prefix:
            rate = f"{steps / seconds:.1f} steps/s" if steps and seconds > 0 else ""
            shown = [f"{name.replace('_', ' ')} {value}" for name, value in self._shown.items()]
            counted = f"{self._counted} {self._step:,} of {self._total:,}"
            text = "  ".join(part for part in (prefix, counted, rate, *shown) if part)
            if self._bar is None:
                print(text, file=self._stream, flush=True)
            else:
                self._bar.write(text, file=self._stream)
        self._mark = (now, self._step)


def dormant_text(records: Sequence[Record]) -> str:
    """Dormant neurons at the last tau, as a run shows them.

    Args:
      records: at least one "tracking" record, of runs side by side; the mean is over those whose
        scores are numbers.
    """
    percents = [record["dormant_percent_pooled"][-1] for record in records]
    known = [percent for percent in percents if percent is not None]
    text = f"{np.mean(known):.1f} %" if known else "unknown"
    return f"{text} (tau {records[0]['taus'][-1]:g})"


def iterations_left(start: int, end: int) -> str:
    """What is left of a run that stands at iteration `start` of `end`, in words."""
    return f"iterations {start} to {end - 1}" if start < end else f"all {end} iterations done"


def _has_size(stream: TextIO) -> bool:
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except OSError:
        return False
