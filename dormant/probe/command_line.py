# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The command `python -m dormant.probe RUN_OR_CHECKPOINT`."""

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from dormant.checks import ConfigurationError, require, require_count
from dormant.command_parser import CommandParser, path_of
from dormant.interruption import Interrupted, interruptible
from dormant.probe import findings
from dormant.probe.checkpoints import ALLOWED
from dormant.probe.expressions import VALUES, parse_condition, parse_intervention
from dormant.probe.levels import LEVELS
from dormant.probe.page import page_text
from dormant.probe.pipeline import Probe, Request, probe
from dormant.records.files import write_atomically
from dormant.report.tables import markdown

DESCRIPTION = f"""\
Measures the neurons of a network in a checkpoint: {ALLOWED}. Run folders tell their network,
inputs and loss themselves; of others, weights are measured where --network and --inputs are not
given."""
CROSSED, MISTAKE, FAILED = 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0; 1 where --fail_if holds; 2 after one line on stderr, with nothing
    written; 3 after a traceback, which is a fault of this program or of the network's own code; 130
    or 143 where SIGINT or SIGTERM interrupted it."""
    known = _parser().parse_args(arguments)
    try:
        with interruptible():
            return _main(known)
    except (ConfigurationError, OSError, MemoryError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"dormant.probe: {text}", file=sys.stderr)
        return MISTAKE
    except Interrupted as error:
        print(f"dormant.probe: {error}", file=sys.stderr)
        return error.exit_code
    except Exception:  # whose usual exit code would say that a threshold was crossed
        traceback.print_exc()
        return FAILED


def _main(known: argparse.Namespace) -> int:
    # Whatever can be told before the work begins.
    for option in ("json", "html"):
        _check_output(f"--{option}", getattr(known, option))
    require_count("--rows", known.rows, 1)
    require_count("--steps", known.steps, 1)
    require_count("--seeds", known.seeds, 2)
    request = Request(
        path=known.checkpoint,
        part=known.part,
        network=known.network,
        inputs=known.inputs,
        loss=known.loss,
        level=known.level,
        compare=known.compare,
        what_if=None if known.what_if is None else parse_intervention(known.what_if),
        condition=None if known.fail_if is None else parse_condition(known.fail_if),
        rows=known.rows,
        steps=known.steps,
        seeds=known.seeds,
    )
    found = probe(request, lambda text: print(f"dormant.probe: {text}", file=sys.stderr))
    _write(found, request, known)
    _print(found, known)
    return CROSSED if found.failed else 0


def _write(found: Probe, request: Request, known: argparse.Namespace) -> None:
    if known.json is not None:
        text = json.dumps(findings.as_json(found, request), indent=1, allow_nan=False)
        write_atomically(known.json, text + "\n")
    if known.html is not None:
        write_atomically(known.html, page_text(found, known.fail_if or ""))


def _print(found: Probe, known: argparse.Namespace) -> None:
    print(f"{found.where}\n")
    for table in findings.tables(found):
        print(f"{markdown(table).rstrip()}\n")
    reached = f"level of evidence: {found.level}"
    lines = [reached, *findings.as_lines(findings.cannot_show(found), "cannot show")]
    lines += findings.as_lines(findings.warnings(found), "warning")
    if found.value is not None:
        state = "holds" if found.failed else "does not hold"
        lines.append(f"fail if {known.fail_if.strip()}: {state}, at {found.value:.4g}")
    lines.append(f"verdict: {findings.verdict(found)}")
    for option in ("json", "html"):
        if (path := getattr(known, option)) is not None:
            lines.append(f"{option}: {path}")
    print("\n".join(lines))


def _check_output(option: str, path: Path | None) -> None:
    """Raises ConfigurationError unless a file can be written there."""
    if path is not None:
        folder = path.absolute().parent
        require(folder.is_dir(), option, "in a folder that is there", str(path))
        require(not path.is_dir(), option, "a file, not a folder", str(path))


def _parser() -> CommandParser:
    parser = CommandParser("dormant.probe", DESCRIPTION)
    add = parser.add_argument
    add("checkpoint", metavar="RUN_OR_CHECKPOINT", type=path_of, help="what to read")
    add("--network", metavar="pkg.mod:make", help="called without arguments, returns (apply, init)"
        " or a Flax module; apply(params, *inputs), init(key)")  # fmt: skip
    add("--inputs", metavar="FILE[:NAME,…]", help="npz, npy or safetensors: what the network is"
        " measured on, all arrays or those named")  # fmt: skip
    add("--loss", metavar="pkg.mod:loss", help="loss(params, **arrays) of all arrays of --inputs")
    add("--part", metavar="PATH", help="which part of the checkpoint holds the parameters, such as"
        " actor/params")  # fmt: skip
    add("--level", choices=LEVELS, help="of evidence; the highest that is possible by default")
    add("--compare", metavar="OTHER", type=path_of, help="another checkpoint or run of the network")
    add("--what_if", metavar="CALL", help="what an intervention would do: redo(tau=0.1)")
    add("--fail_if", metavar="CONDITION", help="exit with 1 where it holds: 'dormant@0.1 > 0.5',"
        f" of {', '.join(VALUES)}")  # fmt: skip
    add("--json", metavar="FILE", type=path_of, help="where to write all numbers")
    add("--html", metavar="FILE", type=path_of, help="where to write a page")
    add("--rows", type=int, default=512, help="states out of the replay of a run (default: 512)")
    add("--steps", type=int, default=200, help="of each fit to new targets (default: 200)")
    add("--seeds", type=int, default=10, help="of these fits (default: 10)")
    return parser
