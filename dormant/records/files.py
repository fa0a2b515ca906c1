"""The files of a run and of an experiment: their names, and how they are written and read."""

import json
import os
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
CONFIG_FILE = "config.gin"
RUN_FILE = "run.json"
EXPERIMENT_FILE = "experiment.json"


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's content: whoever reads it sees the old text or the new, never a part."""
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it holds something else; the message names the file.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must be a JSON object; got {type(entries).__name__}")
    return entries
