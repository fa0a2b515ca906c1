# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Every measure by its name: what can be named to `dormant.track`, and what records declare."""

from collections.abc import Sequence
from typing import Any

from dormant.checks import check
from dormant.measures import activity, gradients, isometry, norms, outputs, ranks
from dormant.measures.measure import APPLY, LOSS, Measure


def _missing(*arguments: Any) -> Any:
    """In the place of the `apply` or `loss` of a measure that is only declared."""
    raise ValueError("a measure of the catalog needs the network's own `apply` or `loss`")


CATALOG: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        ranks.srank(),
        ranks.effective_rank(),
        ranks.stable_rank(),
        ranks.pca_rank(),
        ranks.feature_rank(),
        activity.fau(),
        activity.linearized_units(),
        activity.low_variability_units(),
        norms.feature_norm(),
        norms.weight_norm(),
        norms.gradient_norm(),
        norms.update_norm(),
        norms.distance_from_initialization(),
        norms.effective_learning_rate(),
        norms.stagnant_units(),
        isometry.deviation_from_isometry(),
        outputs.churn(_missing),
        outputs.greedy_action_changes(_missing),
        outputs.ntk_rank(_missing),
        gradients.gradient_covariance(_missing),
        gradients.optimization_readiness(_missing),
        gradients.hessian_eigenvalue(_missing),
    )
}

# What can be named, as it needs neither `apply` nor `loss`; and those of them that cost little.
BY_NAME = tuple(name for name, measure in CATALOG.items() if not measure.needs & {APPLY, LOSS})
CHEAP = tuple(name for name in BY_NAME if not CATALOG[name].expensive)


def resolved(measures: Sequence[str | Measure]) -> tuple[Measure, ...]:
    """Names and measures as measures; ValueError unless each is known and no two share a name."""
    is_list = isinstance(measures, list | tuple) and not isinstance(measures, Measure)
    check(is_list, "measures", "a sequence of names and Measures", measures)
    found = tuple(_resolved(each) for each in measures)
    names = [measure.name for measure in found]
    check(len(set(names)) == len(names), "measures", "of different names", names)
    return found


def _resolved(measure: str | Measure) -> Measure:
    if isinstance(measure, Measure):
        return measure
    is_known = isinstance(measure, str) and measure in CATALOG
    if is_known and measure not in BY_NAME:
        (function,) = CATALOG[measure].needs & {APPLY, LOSS}
        made = f"dormant.measures.{measure}({function})"
        allowed = f"such that {measure!r} is made with its {function}, {made}"
        check(False, "measures", allowed, measure)
    check(is_known, "measures", f"names among {', '.join(BY_NAME)}, or Measures", measure)
    return CATALOG[measure]
