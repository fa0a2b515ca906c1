# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""What `--list` shows: every experiment with its size, its hours and what the paper finds."""

from collections.abc import Sequence
from pathlib import Path

from dormant.reproduce.catalog import EXPERIMENTS
from dormant.reproduce.estimates import Device, devices, hours
from dormant.reproduce.experiments import Experiment
from dormant.reproduce.jobs import Job, jobs


def listing(scale: str, results: Path) -> str:
    """The text.

    Args:
      scale: one of `SCALES`.
      results: the folder of the benchmarks' measurements.
    """
    measured = devices(results)
    parts = [_entry(each, scale, measured) for each in EXPERIMENTS]
    end = (
        f"At scale {scale}; --scale shows another. Hours are those of training, one"
        " process after the other, on the device named, by benchmarks/results; evaluation episodes,"
        " starting and compiling come on top."
    )
    return "\n\n".join([*parts, end])


def _entry(experiment: Experiment, scale: str, measured: list[Device]) -> str:
    names = ", ".join((experiment.name, *experiment.aliases))
    planned = jobs(experiment, scale, Path("runs"))
    runs = sum(len(job.runs) for job in planned)
    steps = sum(job.agent_steps for job in planned)
    length = f"{steps / 1e6:,.0f}M" if steps >= 1e7 else f"{steps:,}"
    times = [duration(device, planned) for device in measured]
    if not any(device.kind == "gpu" for device in measured):
        times.append("GPU-hours not measured")
    first = f"{names}: {runs:,} runs, {length} agent steps; {', '.join(times)}"
    lines = [experiment.title, *_kinds(planned), f"expected: {experiment.expected}"]
    if experiment.notes:
        lines.append(f"note: {experiment.notes}")
    return "\n".join([first, *(f"    {line}" for line in lines)])


def _kinds(planned: Sequence[Job]) -> list[str]:
    """A line for each kind of run: games x seeds x length, and its gin files."""
    files: dict[str, list[str]] = {}
    for gin_file in dict.fromkeys(job.gin_file for job in planned):
        runs = [run for job in planned if job.gin_file == gin_file for run in job.runs]
        games = dict.fromkeys(run.game for run in runs)
        named = f"{len(games)} games" if len(games) > 4 else ", ".join(games)
        seeds = len({run.seed for run in runs})
        counted = "1 seed" if seeds == 1 else f"{seeds} seeds"
        kind = f"{named} x {counted} x {runs[0].agent_steps:,} agent steps"
        files.setdefault(kind, []).append(gin_file)
    return [f"{kind}: {', '.join(names)}" for kind, names in files.items()]


def duration(device: Device, planned: Sequence[Job]) -> str:
    """How long runs take on a device, one process after the other, in words."""
    total, unknown = hours(device, planned)
    if unknown == len(planned):
        return f"hours on {device.name} not measured"
    rest = f" without {unknown:,} runs of agents not measured" if unknown else ""
    return f"{in_words(total)}{rest} on {device.name}"


def in_words(hours: float) -> str:
    """ "3 hours", "12 minutes" or "under a minute"."""
    if 60 * hours < 1:
        return "under a minute"
    return f"{hours:,.0f} hours" if hours >= 1.5 else f"{60 * hours:.0f} minutes"
