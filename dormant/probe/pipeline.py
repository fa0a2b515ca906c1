# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""From what was asked for to what was measured."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dormant.checks import ConfigurationError, first_line
from dormant.measures.measure import DEFAULT_TAUS
from dormant.probe import levels, run_folders
from dormant.probe.checkpoints import (
    EQUINOX,
    Checkpoint,
    find_checkpoints,
    parameters_of,
    read_checkpoint,
)
from dormant.probe.expressions import Condition
from dormant.probe.levels import LEVELS, Measured, WhatIf
from dormant.probe.networks import Network, fitted, load_inputs, load_network
from dormant.probe.weights import weight_table


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for; see the command's options of these names."""

    path: Path
    part: str | None = None
    network: str | None = None
    inputs: str | None = None
    loss: str | None = None
    level: str | None = None
    compare: Path | None = None
    what_if: tuple[str, Mapping[str, Any]] | None = None
    condition: Condition | None = None
    rows: int = 512
    steps: int = 200
    seeds: int = 10


class Point(NamedTuple):
    """One checkpoint of a curve over training."""

    step: int | None
    values: dict[str, float]


class Probe(NamedTuple):
    """All that was found. None where it was not asked for or not measured."""

    checkpoint: Checkpoint
    where: str  # what it is, for people
    level: str
    measured: Measured
    notes: tuple[str, ...]
    curve: tuple[Point, ...] = ()
    compared: dict[str, Any] | None = None
    what_if: WhatIf | None = None
    value: float | None = None  # of --fail_if
    failed: bool = False


class _Subject(NamedTuple):
    """What is probed: checkpoints, the oldest first, and how they are read."""

    numbers: Sequence[Any]
    read: Callable[[Any], Checkpoint]
    where: Callable[[Checkpoint], str]
    network: Network | None
    notes: tuple[str, ...] = ()


def probe(request: Request, say: Callable[[str], None] = lambda text: None) -> Probe:
    """Probes the newest checkpoint, and all there are for the curve; writes nothing.

    Raises:
      ConfigurationError: something of the request cannot be done.
    """
    subject = _subject(request)
    level = _level(request, subject.network)
    newest = subject.read(subject.numbers[-1])
    network, params = subject.network, None
    measured = _weighed(newest)
    if not measured.weights:
        raise ConfigurationError(f"{newest.path} must hold floating arrays; got none")
    if network is not None:
        params = fitted(network.init, newest.arrays, str(newest.path))
    if network is not None and level != "weights":
        measured = _up_to(level, network, params, measured, request, say)
    found = Probe(newest, subject.where(newest), level, measured, (*newest.notes, *subject.notes))
    if len(subject.numbers) > 1:
        found = found._replace(curve=_curve(subject, level, newest, measured))
    if request.compare is not None:
        found = found._replace(compared=_compared(request, subject, newest, params, measured))
    if request.what_if is not None:
        if network is None:
            raise ConfigurationError("--what_if needs a network: --network and --inputs")
        try:
            found = found._replace(what_if=levels.what_if(network, params, *request.what_if))
        except ValueError as error:
            raise ConfigurationError(f"--what_if: {first_line(error)}") from error
    if (condition := request.condition) is not None:
        value = value_of(found, condition)
        found = found._replace(value=value, failed=condition.holds(value))
    return found


def _weighed(checkpoint: Checkpoint) -> Measured:
    return Measured(weight_table(checkpoint.arrays, checkpoint.kind == EQUINOX))


def value_of(found: Probe, condition: Condition) -> float:
    """The number that a condition is about."""
    name, tau, measured = condition.name, condition.tau, found.measured
    rows = measured.weights.values()
    if name == "non_finite":
        return float(sum(row["non_finite"] for row in rows))
    if name in ("near_zero_incoming", "near_zero_outgoing"):
        kernels = [row for row in rows if name in row]
        units = sum(row["units"] for row in kernels)
        return sum(row[name] * row["units"] for row in kernels) / max(1, units)
    layers = list((measured.layers or {}).values())
    if name == "dormant":
        return levels.pooled(measured.scores or {}, tau or 0.0)
    if name == "inactive":
        return levels.pooled(measured.inactivity or {}, tau or 0.0)
    if name == "fau":
        return min(row["fau"] for row in layers)
    if name == "srank":
        return min(row["srank"] / row["rank_cap"] for row in layers if "srank" in row)
    if name == "gradient_norm":
        return (measured.gradients or {})["(all)"]["gradient_norm"]
    if name == "overlap":
        overlaps = (found.compared or {})["overlap"]
        if f"{tau:g}" not in overlaps:
            raise ConfigurationError(f"--fail_if must be of overlap@{', @'.join(overlaps)}")
        known = [each for each in overlaps[f"{tau:g}"].values() if each == each]
        return float(np.mean(known)) if known else 0.0
    assert measured.plasticity is not None
    return float(getattr(measured.plasticity, name.removeprefix("plasticity_")).mean)


def _subject(request: Request) -> _Subject:
    run = run_folders.find_run(request.path)
    if run is not None:
        return _of_run(request, run)
    paths = find_checkpoints(request.path)
    network = None
    if request.network is not None:
        if request.inputs is None:
            raise ConfigurationError("--network needs --inputs, which the network is measured on")
        network = load_network(request.network, *load_inputs(request.inputs), request.loss)
    elif request.inputs is not None or request.loss is not None:
        raise ConfigurationError("--inputs and --loss need --network, whose they are")
    return _Subject(
        paths,
        lambda path: parameters_of(read_checkpoint(path), request.part),
        lambda checkpoint: f"{checkpoint.path}, {checkpoint.kind}",
        network,
    )


def _of_run(request: Request, run: run_folders.RunFolder) -> _Subject:
    numbers = run_folders.numbers(run)
    saved = run_folders.read(run, numbers[-1])
    network, notes = None, []
    if request.part is not None:
        raise ConfigurationError("--part is of checkpoints of other libraries, not of run folders")
    if request.network is not None:
        if request.inputs is not None:
            arrays, names = load_inputs(request.inputs)
        else:
            arrays, names = run_folders.replay_arrays(saved, request.rows), ["state"]
        network = load_network(request.network, arrays, names, request.loss)
    elif request.level != "weights":
        try:
            network = run_folders.network_of(saved, request.rows)
        except ConfigurationError as error:
            if request.level is not None:
                raise
            notes.append(str(error))

    def where(checkpoint: Checkpoint) -> str:
        member = f", {run.member}" if run.member else ""
        if saved.on_device and not run.member:
            member = ", its first run" if saved.runs > 1 else ""
        return f"{run.base}{member}, checkpoint {checkpoint.step}"

    return _Subject(
        numbers,
        lambda number: run_folders.read(run, number).checkpoint,
        where,
        network,
        tuple(notes),
    )


def _level(request: Request, network: Network | None) -> str:
    """The level of evidence: that asked for, or the highest that what was given allows."""
    level = request.level or ("weights" if network is None else "plasticity")
    if level != "weights" and network is None:
        raise ConfigurationError(f"--level={level} needs a network: --network and --inputs")
    if level == "gradients" and network is not None and network.gradient is None:
        raise ConfigurationError("--level=gradients needs --loss")
    condition = request.condition
    if condition is None:
        return level
    available = LEVELS[: LEVELS.index(level) + 1]
    has_loss = network is not None and network.gradient is not None
    if condition.level not in available or (condition.level == "gradients" and not has_loss):
        raise ConfigurationError(
            f"--fail_if must be of what is measured: {condition.name} is of the level"
            f" {condition.level}, and got --level={level}{'' if has_loss else ' without a loss'}"
        )
    if condition.name == "overlap" and request.compare is None:
        raise ConfigurationError("--fail_if=overlap… needs --compare")
    return level


def _up_to(
    level: str,
    network: Network,
    params: Any,
    measured: Measured,
    request: Request,
    say: Callable[[str], None],
) -> Measured:
    try:
        measured = levels.measure_activations(network, params, measured)
        if level != "activations" and network.gradient is not None:
            measured = levels.measure_gradients(network, params, measured)
        if level == "plasticity":
            options = {"steps": request.steps, "seeds": request.seeds}
            work = levels.plasticity_work(network, params, **options)
            say(f"plasticity: 4 fits of {request.steps} steps for each of {request.seeds} seeds,"
                f" about {work:.1g} operations; --steps and --seeds make it shorter,"
                " --level=activations leaves it out")  # fmt: skip
            measured = levels.measure_plasticity(network, params, measured, **options)
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(first_line(error)) from error
    return measured


def _curve(
    subject: _Subject, level: str, newest: Checkpoint, measured: Measured
) -> tuple[Point, ...]:
    """All checkpoints at the level of weights or activations, which is quick."""

    def point(number: Any) -> Point:
        checkpoint, of_it = newest, measured
        if number != subject.numbers[-1]:
            checkpoint = subject.read(number)
            of_it = _weighed(checkpoint)
            if subject.network is not None and level != "weights":
                params = fitted(subject.network.init, checkpoint.arrays, str(checkpoint.path))
                of_it = levels.measure_activations(subject.network, params, of_it)
        return Point(checkpoint.step, _in_short(of_it))

    return tuple(point(number) for number in subject.numbers)


def _in_short(measured: Measured) -> dict[str, float]:
    rows = measured.weights.values()
    kernels = [row for row in rows if row.get("effective_rank") is not None]
    found = {
        "weight norm": float(np.sqrt(sum(row["norm"] ** 2 for row in rows))),
        "non-finite": float(sum(row["non_finite"] for row in rows)),
    }
    if kernels:
        ranks = [row["effective_rank"] / max(1, min(row["units"], _rows(row))) for row in kernels]
        found["kernels' effective rank, share of the highest"] = float(np.mean(ranks))
    if measured.scores is not None:
        found |= {f"dormant %, tau {tau:g}": 100 * levels.pooled(measured.scores, tau)
                  for tau in DEFAULT_TAUS}  # fmt: skip
        sranks = [row["srank"] for row in (measured.layers or {}).values() if "srank" in row]
        found |= {"srank": float(np.mean(sranks))} if sranks else {}
    return found


def _rows(row: Mapping[str, Any]) -> int:
    return int(np.prod(row["shape"])) // row["units"]


def _compared(
    request: Request, subject: _Subject, newest: Checkpoint, params: Any, measured: Measured
) -> dict[str, Any]:
    assert request.compare is not None
    run = run_folders.find_run(request.compare)
    if run is not None:
        other = run_folders.read(run, run_folders.numbers(run)[-1]).checkpoint
        where = f"{run.base / run.member}, checkpoint {other.step}"
    else:
        path = find_checkpoints(request.compare)[-1]
        other = parameters_of(read_checkpoint(path), request.part)
        where = str(path)
    other_params = None
    if subject.network is not None:
        other_params = fitted(subject.network.init, other.arrays, str(other.path))
    both = (newest.arrays, other.arrays)
    found = levels.compared(subject.network, (params, other_params), both, measured)
    if not found["arrays"]:
        raise ConfigurationError(f"--compare must be of the same network; {other.path} is not")
    return {"path": where, **found}
