# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The page of a probe: one HTML file with its style and drawings, without a script."""

import math
from collections.abc import Mapping
from html import escape
from string import Template
from typing import Any

import numpy as np

from dormant.probe import findings
from dormant.probe.pipeline import Probe
from dormant.report.html import asset, list_html, table_html
from dormant.report.looks import COLOURS
from dormant.version import __version__

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560, 260, 64, 40
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Probe of $name</title><style>$style
svg { max-width: 100%; } svg text { fill: var(--text); font: 12px system-ui, sans-serif; }
</style></head><body>
<h1>Probe of $name</h1>
<p id="verdict"><strong>$verdict</strong></p>
<dl><dt>read</dt><dd>$where</dd><dt>level of evidence</dt><dd>$level</dd>$fail</dl>
<section id="warnings"><h2>Warnings</h2>$warnings</section>
<section id="charts"><h2>Charts</h2><div class="charts">$charts</div></section>
<section id="tables"><h2>Tables</h2>$tables</section>
<section id="limits"><h2>What this cannot show</h2>$limits</section>
<footer>dormant $version</footer></body></html>
""")

# {label: (x, y)}, each of P numbers
Lines = Mapping[str, tuple[Any, Any]]


def page_text(found: Probe, fail_if: str) -> str:
    """The HTML; all that comes from the checkpoint is escaped."""
    crossed = "crossed" if found.failed else "not crossed"
    fail = f"<dt>fail if</dt><dd>{escape(fail_if)}: {crossed}</dd>" if fail_if else ""
    return _PAGE.substitute(
        policy=_POLICY,
        style=asset("report.css"),
        name=escape(found.where),
        verdict=escape(findings.verdict(found)),
        where=escape(found.where),
        level=escape(found.level),
        fail=fail,
        warnings=list_html(findings.warnings(found)) or "<p>None.</p>",
        charts="\n".join(_charts(found)) or "<p>None at this level.</p>",
        tables="\n".join(map(table_html, findings.tables(found))),
        limits=list_html(findings.cannot_show(found)),
        version=escape(__version__),
    )


def _charts(found: Probe) -> list[str]:
    drawn = []
    if found.measured.scores is not None:
        # Sorted scores show how far from any threshold a layer is.
        lines = {name: (np.linspace(0, 100, score.size), np.sort(np.ravel(score)))
                 for name, score in found.measured.scores.items() if score.size > 1}  # fmt: skip
        drawn.append(line_chart("Dormancy scores", lines, "units, % of the layer", "score"))
    if found.measured.plasticity is not None:
        for kind, fits in found.measured.plasticity._asdict().items():
            times = np.arange(fits.current.shape[1])
            lines = {"this network": (times, fits.current.mean(axis=0)),
                     "fresh networks": (times, fits.fresh.mean(axis=0))}  # fmt: skip
            title = f"Loss on new targets: {kind}"
            drawn.append(line_chart(title, lines, "gradient steps", "loss, mean of the seeds"))
    if found.curve:
        steps = [number if point.step is None else point.step
                 for number, point in enumerate(found.curve)]  # fmt: skip
        for name in found.curve[-1].values:
            values = [point.values.get(name, math.nan) for point in found.curve]
            drawn.append(line_chart(name, {name: (steps, values)}, "checkpoint", name))
    return drawn


def line_chart(title: str, lines: Lines, across: str, up: str) -> str:
    """Lines in axes from the least to the largest value; what is not finite is left out."""
    points = {label: [(float(x), float(y)) for x, y in zip(*pair, strict=True)
                      if math.isfinite(x) and math.isfinite(y)]
              for label, pair in lines.items()}  # fmt: skip
    every = [point for line in points.values() for point in line]
    if not every:
        return ""
    (left, low), (right, high) = (tuple(map(best, zip(*every, strict=True))) for best in (min, max))
    low = min(0.0, low)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    inner, height = _WIDTH - _LEFT - 12, _HEIGHT - _BOTTOM - 12

    def place(point: tuple[float, float]) -> str:
        x, y = point
        return f"{_LEFT + inner * (x - left) / wide:.1f},{12 + height * (1 - (y - low) / tall):.1f}"

    parts = [f'<line x1="{_LEFT}" y1="{12 + height}" x2="{_LEFT + inner}" y2="{12 + height}"'
             ' stroke="currentColor"/>',
             f'<line x1="{_LEFT}" y1="12" x2="{_LEFT}" y2="{12 + height}" stroke="currentColor"/>',
             _text(_LEFT, _HEIGHT - 24, f"{left:.4g}"),
             _text(_LEFT + inner, _HEIGHT - 24, f"{right:.4g}", "end"),
             _text(_LEFT + inner / 2, _HEIGHT - 8, across, "middle"),
             _text(_LEFT - 6, 20, f"{high:.3g}", "end"),
             _text(_LEFT - 6, 12 + height, f"{low:.3g}", "end")]  # fmt: skip
    for number, (label, line) in enumerate(points.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(map(place, line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2">'
                     f"<title>{escape(label)}</title></polyline>")  # fmt: skip
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
                  for x, y in (place(point).split(",") for point in line[:1])]  # fmt: skip
        if len(points) > 1 and number < 8:
            parts.append(_text(_LEFT + 12, 24 + 15 * number, label, colour=colour))
    caption = f"{escape(title)}: {escape(up)}" if up != title else escape(title)
    return (
        f'<figure class="chart"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "") -> str:
    style = f' style="fill: {colour}"' if colour else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
