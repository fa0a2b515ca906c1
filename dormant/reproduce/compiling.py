# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The programs of an experiment's runs compiled for hardware that is not there: a table of them."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dormant.hardware import Chip, Hardware
from dormant.reproduce.families import ATARI_GAME
from dormant.reproduce.jobs import Job

# What decides nothing of a run's programs but how many actions the last layer has, 3 to 18: runs on
# Atari differ by no more than these from one game and seed to the next.
_NAMES = (
    "LearnerOptions.seed",
    ATARI_GAME,
    "Atari.game",
    "Distillation.teacher_run",
    "Distillation.student_run",
)
_FOR_A_TPU = (
    "run", "program", "chips", "arguments", "temporaries", "peak", "fits", "exchanged",
    "MFLOPs a step", "steps/s a chip",
)  # fmt: skip
_LOWERED = ("run", "program", "module", "MFLOPs a step")


def distinct(planned: Sequence[Job]) -> list[Job]:
    """The first job of each set of programs: the others differ in names and seeds alone."""
    flags = tuple(f"--gin_bindings={name} " for name in _NAMES)
    first: dict[tuple[str, ...], Job] = {}
    for job in planned:
        key = [word for word in job.arguments if not word.startswith(("--base_dir=", *flags))]
        first.setdefault(tuple(key), job)
    return list(first.values())


def compile_jobs(planned: Sequence[Job], hardware: Hardware) -> int:
    """Compiles the distinct programs one after the other and prints a table, row by row.

    Returns:
      How many jobs could not be compiled; each has a row that says why.
    """
    chosen, chip = distinct(planned), hardware.chip
    room = f" ({_bytes(chip.memory)} and {chip.flops / 1e12:g} TFLOP/s a chip)" if chip else ""
    done = "compiled" if chip else "lowered"
    print(
        f"The programs of {len(chosen)} of {len(planned)} processes, from which the others differ"
        f" in names and seeds, {done} for {hardware.name}{room} by {hardware.compiler}:\n"
    )
    head = _FOR_A_TPU if chip else _LOWERED
    print(_row(head), _row(["---"] * len(head)), sep="\n", flush=True)
    failed = 0
    for job in chosen:
        run = job.runs[0]
        name = f"{run.method}{run.setting and f', {run.setting}'}, {run.game}"
        try:
            for found in _compiled(job, hardware):
                print(_row([name, *_cells(found, chip)]), flush=True)
        except ValueError as error:
            failed += 1
            print(_row([name, f"not {done}: {error}", *[""] * (len(head) - 2)]), flush=True)
    return failed


def _compiled(job: Job, hardware: Hardware) -> Iterator[Mapping[str, Any]]:
    """What a process like the job's own, told to compile, prints of each of its programs."""
    command = [sys.executable, *job.arguments, f"--compile_for={hardware.name}"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            try:
                assert process.stdout is not None
                yield from (json.loads(line) for line in process.stdout if line[:1] == "{")
            except BaseException:
                process.terminate()
                raise
        errors.seek(0)
        said = errors.read().split("\n")
    if process.returncode:
        last = next((line for line in reversed(said) if line.strip()), "")
        raise ValueError(last.partition("error: ")[2] or last or f"exit {process.returncode}")


def _cells(found: Mapping[str, Any], chip: Chip | None) -> list[str]:
    """A row's cells after its name; of a call of the program each chip takes its share."""
    steps = found["runs"] / found["chips"] * found["steps"]
    flops = found["flops"] / steps if steps else 0
    counted = f"{flops / 1e6:,.3f} / {found['counted']}" if flops else ""
    if chip is None:
        return [found["program"], f"{found['module_bytes'] / 1e3:,.0f} kB", counted]
    share = [found["program"], f"{found['chips']}"]
    if "refused" in found:
        return [*share, "", "", "", f"no: {found['refused']}", "", counted, ""]
    arguments, temporaries, peak = (
        found[f"{what}_bytes"] for what in ("argument", "temporary", "peak")
    )
    fits = "yes" if max(arguments + temporaries, peak) <= chip.memory else "no"
    most = f"{chip.flops / flops:,.0f}" if flops else ""
    sizes = map(_bytes, (arguments, temporaries, peak))
    return [*share, *sizes, fits, f"{found['exchanges']}", counted, most]


def _bytes(count: int) -> str:
    return f"{count / 1e9:g} GB" if count >= 1e9 else f"{count / 1e6:,.2f} MB"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
