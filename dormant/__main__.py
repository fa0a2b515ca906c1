# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command `dormant`, and `python -m dormant`: the package's commands under one name."""

import runpy
import sys
from collections.abc import Sequence

# {subcommand: what it does}; each is the module of its name.
COMMANDS = {
    "train": "one run of an agent on Atari, MuJoCo, MinAtar or CartPole, with Dopamine",
    "train_vectorized": "the seeds of a run side by side, all on the device",
    "study": "one of the paper's side experiments: a classifier, fixed data, distillation",
    "reproduce": "all runs of a figure or table; --list shows them",
    "probe": "what a checkpoint of any JAX network tells of its neurons",
    "report": "tables, figures and a page of finished runs",
}

# {subcommand: the extra with what it needs}, of those that do not tell it themselves.
EXTRAS = {"reproduce": "vectorized", "report": "report"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand, as `python -m dormant.<subcommand>` does.

    Args:
      arguments: the subcommand and what goes on to it; None for those of the command line.

    Returns:
      The exit code where no subcommand ran: 0 after the help, 2 for a name that is none or a
      package that is not installed.

    Raises:
      SystemExit: the subcommand has ended, with its exit code.
    """
    name, *others = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print("usage: dormant COMMAND [flags]; dormant COMMAND --help shows the flags\n")
        for command, what in COMMANDS.items():
            print(f"  {command:{max(map(len, COMMANDS))}}  {what}")
        return 0
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"dormant: the command must be one of {known}; got {name!r}", file=sys.stderr)
        return 2
    sys.argv[1:] = others
    try:
        runpy.run_module(f"dormant.{name}", run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        if name not in EXTRAS or (error.name or "dormant").startswith("dormant"):
            raise
        needed = f"what {name} needs is installed by: pip install 'dormant[{EXTRAS[name]}]'"
        print(f"dormant: {error}; {needed}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
