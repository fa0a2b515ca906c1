"""Sums up one run as a plain-text table: returns, dormancy before and after, recycling, speed.
Needs the standard library only; figures are in plots.py."""

import statistics
from collections.abc import Sequence

from dormant.records.reading import (
    IterationRecord,
    Run,
    TrackingRecord,
    recycled_since,
    tau_index,
)

UNDEFINED = "-"


def summary_table(run: Run, taus: Sequence[float] = (0.1, 0.025, 0.0)) -> str:
    """Returns the summary of a run, ready to print.

    Args:
      run: what `read_run` returned.
      taus: the thresholds to show dormancy at, among those that the run measured.

    Returns:
      Lines of text: training returns of the first, last and best iteration; then, per layer and
      pooled over the hidden layers, the dormant percentage at the first and the last measurement
      and the neurons recycled.

    Raises:
      ValueError: dormancy was not measured at one of the taus.
    """
    parts = [_returns(run.iterations) if run.iterations else "No iteration has ended."]
    parts.append(_dormancy(run, taus) if run.tracking else "Dormancy was not measured.")
    return "\n\n".join(parts)


def mean_return(record: IterationRecord) -> float | None:
    """Returns the mean training return of an iteration, None when no episode ended in it."""
    return statistics.fmean(record.train_returns) if record.train_returns else None


def recycled_per_layer(run: Run) -> dict[str, int] | None:
    """Returns the neurons recycled in each layer over the run.

    A record names the layers of the last recycling alone, so this is None when there were several
    between two records (period shorter than tracking_period): only `recycled_total` is exact then.
    """
    layers = run.tracking[-1].recycled if run.tracking else {}
    totals = dict.fromkeys(layers, 0)
    for record, count in zip(run.tracking, recycled_since(run), strict=True):
        if count == 0:
            continue
        if sum(record.recycled.values()) != count:
            return None
        for layer, neurons in record.recycled.items():
            totals[layer] = totals.get(layer, 0) + neurons
    return totals


def _returns(iterations: Sequence[IterationRecord]) -> str:
    rows = [("Training returns", "iteration", "agent steps", "episodes", "mean", "highest")]
    rows.append(_return_row("first iteration", iterations[0]))
    rows.append(_return_row("last iteration", iterations[-1]))
    with_episodes = [record for record in iterations if record.train_returns]
    if with_episodes:
        rows.append(_return_row("best iteration", max(with_episodes, key=mean_return)))
    last = iterations[-1]
    speed = statistics.median(record.steps_per_second for record in iterations)
    totals = (
        f"{last.agent_step:,} agent steps and {last.gradient_step:,} gradient steps at "
        f"{speed:,.0f} agent steps/s (median of the iterations)"
    )
    return f"{aligned(rows)}\n{totals}"


def _return_row(label: str, record: IterationRecord) -> tuple[str, ...]:
    returns = record.train_returns
    return (
        label,
        str(record.iteration),
        f"{record.agent_step:,}",
        str(len(returns)),
        f"{mean_return(record):.2f}" if returns else UNDEFINED,
        f"{max(returns):.2f}" if returns else UNDEFINED,
    )


def _dormancy(run: Run, taus: Sequence[float]) -> str:
    first, last = run.tracking[0], run.tracking[-1]
    per_layer = recycled_per_layer(run)
    rows = [("Dormant neurons", *(f"tau {tau:g}" for tau in taus), "recycled")]
    for layer in last.dormant_percent:
        recycled = UNDEFINED if per_layer is None else f"{per_layer.get(layer, 0):,}"
        rows.append((layer, *(_change(first, last, tau, layer) for tau in taus), recycled))
    pooled = (_change(first, last, tau) for tau in taus)
    rows.append(("all hidden layers", *pooled, f"{last.recycled_total:,}"))
    meaning = (
        f"% of the layer's neurons at gradient step {first.gradient_step:,} -> "
        f"{last.gradient_step:,}, the first and the last of {len(run.tracking)} measurements"
    )
    return f"{aligned(rows)}\n{meaning}"


def _change(
    first: TrackingRecord, last: TrackingRecord, tau: float, layer: str | None = None
) -> str:
    before, after = (_percent(record, tau, layer) for record in (first, last))
    return f"{before:.1f} -> {after:.1f}"


def _percent(record: TrackingRecord, tau: float, layer: str | None) -> float:
    values = record.dormant_percent_pooled if layer is None else record.dormant_percent[layer]
    return values[tau_index(record, tau)]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        lines.append("  ".join(cells))
        if number == 0:
            lines.append("-" * len(lines[0]))
    return "\n".join(lines)
