"""The paper's story in minutes: DQN against DQN + ReDo at two replay ratios, on MinAtar.
`make run` calls it. Arguments it does not know go on to `python -m dormant.train_vectorized`."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from dormant.report.comparison import Setting, comparison_table, verdict
from dormant.report.plots_comparison import comparison_figure
from dormant.report.seeds import read_seeds

ROOT = Path(__file__).resolve().parents[1]
GIN_FILE = ROOT / "gin_configs" / "vectorized" / "quickstart.gin"
FIGURE_FILE = "quickstart.png"
REPLAY_RATIOS = (0.25, 2)
# {method: what it binds to LearnerOptions.intervention}
METHODS = {"DQN": "None", "DQN + ReDo": "@ReDo()"}


def main(arguments: list[str] | None = None) -> int:
    """Trains all settings, prints the table and writes the figure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--base_dir",
        type=Path,
        default=ROOT / "runs" / time.strftime("quickstart-%Y%m%d-%H%M%S"),
        help="folder of all runs (default: runs/quickstart-<date>-<time>)",
    )
    known, passed_on = parser.parse_known_args(arguments)

    started = time.monotonic()
    settings = [(ratio, method) for ratio in REPLAY_RATIOS for method in METHODS]
    for ratio, method in settings:
        print(f"{method}, replay ratio {ratio:g}", file=sys.stderr)
        exit_code = train(known.base_dir, ratio, method, passed_on)
        if exit_code:
            return exit_code
    try:
        found = [
            Setting(ratio, method, read_seeds(folder(known.base_dir, ratio, method)))
            for ratio, method in settings
        ]
        print(f"\n{report(found, known.base_dir)}")
    except (OSError, ValueError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    print(f"wall time: {(time.monotonic() - started) / 60:.1f} minutes")
    return 0


def folder(base_dir: Path, replay_ratio: float, method: str) -> Path:
    """Where the seeds of one setting are."""
    return base_dir / f"{method.replace(' + ', '_').lower()}_replay_ratio_{replay_ratio:g}"


def train(base_dir: Path, replay_ratio: float, method: str, passed_on: list[str]) -> int:
    """Trains all seeds of one setting in a process; returns its exit code."""
    bindings = {
        "LearnerOptions.replay_ratio": replay_ratio,
        "LearnerOptions.intervention": METHODS[method],
    }
    command = [
        sys.executable,
        "-m",
        "dormant.train_vectorized",
        f"--gin_files={GIN_FILE}",
        f"--base_dir={folder(base_dir, replay_ratio, method)}",
        *(f"--gin_bindings={name} = {value}" for name, value in bindings.items()),
        *passed_on,
    ]
    return subprocess.run(command, check=False).returncode


def report(settings: list[Setting], base_dir: Path) -> str:
    """Writes the figure and returns the table, what it says, and where everything is.

    Args:
      settings: each with its runs.
      base_dir: the folder of all runs.

    Raises:
      ValueError: a run has nothing to show.
    """
    figure = comparison_figure(
        settings, base_dir / FIGURE_FILE, title="DQN on MinAtar's Space Invaders (gymnax)"
    )
    lines = [
        comparison_table(settings),
        "Return: mean of the training episodes of the last iteration; dormant %: of all hidden"
        " layers in it; means over the seeds.",
        "",
        verdict(settings),
        "",
        f"records:   {base_dir}/*/seed_*/metrics.jsonl",
        f"figure:    {figure}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
