# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The engines that `--engine` names: which options each takes, and how it is made of them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dormant.reproduce.engines import jobset, local, ray_cluster, slurm
from dormant.reproduce.engines.engine import Engine


class Entry(NamedTuple):
    """An engine that can be chosen.

    Attributes:
      options: {name: how argparse takes it}. None have defaults here, so that what was given shows.
      prepare: checks the options, and that there is what the engine needs; writes nothing. It
        returns what makes the engine of the experiment's folder and of the file descriptor that
        holds it.

    Raises (of `prepare`):
      ValueError: an option is wrong, or something is missing.
    """

    options: dict[str, dict[str, Any]]
    prepare: Callable[[argparse.Namespace], Callable[[Path, int], Engine]]


ENGINES = {
    "local": Entry(local.OPTIONS, local.prepare),
    "ray": Entry(ray_cluster.OPTIONS, ray_cluster.prepare),
    "slurm": Entry(slurm.OPTIONS, slurm.prepare),
    "jobset": Entry(jobset.OPTIONS, jobset.prepare),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--engine` and the options of all engines; those that several take are added once."""
    parser.add_argument("--engine", choices=ENGINES, default="local", help="what runs them (local)")
    options = {name: how for entry in ENGINES.values() for name, how in entry.options.items()}
    for name, how in options.items():
        takers = ", ".join(engine for engine, entry in ENGINES.items() if name in entry.options)
        parser.add_argument(f"--{name}", **{**how, "help": f"{how['help']}; {takers}"})


def chosen(known: argparse.Namespace) -> Entry:
    """The engine that was asked for.

    Raises:
      ValueError: an option was given that only others take.
    """
    own = ENGINES[known.engine]
    for engine, entry in ENGINES.items():
        for name in entry.options.keys() - own.options.keys():
            value = getattr(known, name)
            if value is not None:
                raise ValueError(
                    f"`--{name}` must be left out with --engine={known.engine}, as --engine="
                    f"{engine} takes it; got {value!r}"
                )
    return own
