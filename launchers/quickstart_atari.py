"""A short run on Atari: trains DQN + ReDo on an Atari game, then sums the run up.
`make run-atari` calls it. Arguments it does not know go on to `python -m dormant.train`."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from dormant.records.files import METRICS_FILE
from dormant.records.reading import Run, read_run
from dormant.report.plots import dormancy_curve
from dormant.report.summary import summary_table

ROOT = Path(__file__).resolve().parents[1]
GIN_FILE = ROOT / "gin_configs" / "quickstart_atari.gin"
FIGURE_FILE = "dormancy.png"


def main(arguments: list[str] | None = None) -> int:
    """Trains, prints the summary and writes the figure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--base_dir",
        type=Path,
        default=ROOT / "runs" / time.strftime("quickstart-atari-%Y%m%d-%H%M%S"),
        help="run folder (default: runs/quickstart-atari-<date>-<time>)",
    )
    known, passed_on = parser.parse_known_args(arguments)

    started = time.monotonic()
    code = train(known.base_dir, passed_on)
    if code != 0:
        return code
    minutes = (time.monotonic() - started) / 60

    try:
        run = read_run(known.base_dir)
    except (OSError, ValueError) as error:
        print(f"quickstart_atari: {error}", file=sys.stderr)
        return 1
    print(f"\n{report(run, known.base_dir)}\nwall time: {minutes:.1f} minutes")
    return 0


def train(base_dir: Path, passed_on: list[str]) -> int:
    """Runs the training in a process of its own, its progress shown; returns its exit code."""
    command = [
        sys.executable,
        "-m",
        "dormant.train",
        f"--gin_files={GIN_FILE}",
        f"--base_dir={base_dir}",
        *passed_on,
    ]
    return subprocess.run(command, check=False).returncode


def report(run: Run, base_dir: Path) -> str:
    """Writes the figure into the run folder and returns the summary with the paths of both files.

    Args:
      run: what `read_run` returned.
      base_dir: the run folder.
    """
    lines = [summary_table(run), "", f"records:   {base_dir / METRICS_FILE}"]
    if run.tracking:
        figure = dormancy_curve(run, base_dir / FIGURE_FILE)
        lines.append(f"figure:    {figure}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
