# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""TensorBoard's events as results, as CleanRL and Stable-Baselines3 write them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dormant.records.reading import LARGEST
from dormant.records.results import RunResult, Source
from dormant.report.columns import EACH_AN_EPISODE, Columns, is_of_episodes, labels_of_run, option

EVENTS = "tfevents"  # in the names of its files
# Whose steps are environment steps; Dopamine's count iterations.
_RETURNS = ("charts/episodic_return", "rollout/ep_rew_mean")
_LABELS = ("method", "setting", "game", "seed")


def read_tensorboard(root: Path, columns: Columns) -> Source:
    """Reads each folder with events as a run, a point for each step at which a return was written.

    Several returns at one step are averaged. Method, game and seed are those of `columns`, else of
    a name such as CleanRL's "<env_id>__<exp_name>__<seed>__<time>", else of the folders
    `<method>/<game>/<run>`; the return is the tag of `columns`, else one of the usual tags. A
    folder without that tag is passed over.

    Args:
      root: a folder, or one file of events.
      columns: where is what.

    Raises:
      ValueError: tensorboard is not installed, the tag or a label is missing, or a value is too
        large.
    """
    files = [root] if root.is_file() else root.rglob(f"*{EVENTS}*")
    places = [root] if root.is_file() else sorted({path.parent for path in files})
    wanted = columns.named.get("return")
    runs: list[RunResult] = []
    notes: list[str] = []
    without: dict[str, Sequence[str]] = {}
    for place in places:
        scalars, of_files = _scalars(place)
        tag = next((name for name in ([wanted] if wanted else _RETURNS) if name in scalars), None)
        if tag is None:
            without[str(place)] = sorted(scalars)
            continue
        notes += of_files
        if is_of_episodes(tag):
            notes.append(f"{tag}: {EACH_AN_EPISODE}")
        labels = _labels(place, root, columns)
        if missing := [name for name in ("method", "game") if not labels.get(name)]:
            raise ValueError(
                f"{place} must tell method and game, as <method>/<game>/<run> does; got no"
                f" {' and no '.join(missing)}: name them by {option(missing, ())}"
            )
        if "seed" not in labels:
            labels["seed"] = str(len(runs))
            notes.append(f"{place} has no seed: it is taken as number {len(runs)}")
        if not re.fullmatch(r"\d+", labels["seed"]):
            raise ValueError(f"{place}: seed must be a whole number; got {labels['seed']!r}")
        returns = _means(scalars[tag], f"{place}, {tag}")
        steps = np.array([columns.agent_steps(step) for step in returns], float)
        other = columns.named.get("dormant_percent")
        if other and other not in scalars:
            notes.append(f"{place} has no tag {other!r}")
        percents = _means(scalars.get(other or "", ()), f"{place}, {other}", 0, 100)
        dormant = np.array([percents.get(step, np.nan) for step in returns], float)
        setting = labels.get("setting", "")
        found = (labels["method"], setting, None, labels["game"], int(labels["seed"]))
        values = np.array(list(returns.values()), float)
        runs.append(RunResult(*found, steps, values, dormant, folder=place))
    if without and not runs:
        tags = list(dict.fromkeys(tag for of_place in without.values() for tag in of_place))
        raise ValueError(
            f"{root} must have the tag {wanted or ' or '.join(_RETURNS)}; got"
            f" {', '.join(tags) or 'no scalars'}: name it by {option(['return'], tags)}"
        )
    notes += [
        f"--columns {name} is not used: TensorBoard has its steps itself, and no values of settings"
        for name in columns.named
        if name in ("agent_step", "value")
    ]
    notes += [f"{place} has no such returns and was passed over" for place in without]
    if columns.step_unit == "frames":
        notes.append(f"{root}: its steps are taken as frames, four to an agent step")
    return Source(runs, (), tuple(notes))


def _scalars(place: Path) -> tuple[dict[str, list[tuple[int, float]]], list[str]]:
    """{tag: (step, value) of each event} of a file or of all files in a folder, and notes."""
    found: dict[str, list[tuple[int, float]]] = {}
    notes = []
    for path in [place] if place.is_file() else sorted(place.glob(f"*{EVENTS}*")):
        of_file, is_whole = _events(path)
        if not is_whole:
            notes.append(f"{path} is cut off: what comes before is read")
        for tag, events in of_file.items():
            before, first = found.get(tag, []), min(step for step, _ in events)
            kept = [(step, value) for step, value in before if step < first]
            if len(kept) < len(before):
                # A run that was resumed does these steps again.
                notes.append(f"{path} replaces {tag} from step {first:,} of the files before")
            found[tag] = kept + events
    return found, notes


def _events(path: Path) -> tuple[dict[str, list[tuple[int, float]]], bool]:
    """The scalars of one file, of events old and new, and whether it is whole."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.tensorflow_stub import errors
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise ValueError(
            f"TensorBoard's events in {path} must be read by tensorboard, which is not installed:"
            " pip install 'dormant[tensorboard]'"
        ) from error
    found: dict[str, list[tuple[int, float]]] = {}
    reader = PyRecordReader_New(str(path))
    while True:
        try:
            reader.GetNext()
        except errors.OutOfRangeError:
            return found, True
        except errors.DataLossError:
            return found, False
        try:
            event = Event.FromString(reader.record())
        except Exception as error:  # protobuf has its own kind
            raise ValueError(f"{path} must hold TensorBoard's events; got {error}") from error
        for value in event.summary.value:
            number = np.asarray(
                make_ndarray(value.tensor) if value.HasField("tensor") else value.simple_value
            )
            has_number = value.HasField("tensor") or value.HasField("simple_value")
            if has_number and number.ndim == 0 and number.dtype.kind in "fiu":
                found.setdefault(value.tag, []).append((event.step, float(number)))


def _means(
    events: Sequence[tuple[int, float]], where: str, least: float = -LARGEST, most: float = LARGEST
) -> dict[int, float]:
    """{step: the mean of its finite values}, steps rising."""
    found: dict[int, list[float]] = defaultdict(list)
    for step, value in events:
        if not least <= value <= most and np.isfinite(value):
            raise ValueError(f"{where}: values must be from {least:g} to {most:g}; got {value!r}")
        found[step] += [value] if np.isfinite(value) else []
    return {step: float(np.mean(of)) if of else np.nan for step, of in sorted(found.items())}


def _labels(place: Path, root: Path, columns: Columns) -> dict[str, str]:
    """Method, game and seed, as far as options and names tell them."""
    folder, top = (place.parent, place.parent) if root.is_file() else (place, root)
    parts = folder.resolve().relative_to(top.resolve()).parts
    name = folder.resolve().name
    *_, method, game, _ = ["", "", "", *parts]
    numbered = re.search(r"(\d+)$", name)
    told = {"method": method, "game": game}
    if numbered:
        told["seed"] = numbered[1]
    told |= labels_of_run(name)
    return told | {name: text for name, text in columns.named.items() if name in _LABELS}
