"""Settings beside each other: replay ratio x method, each with several seeds, as one table."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dormant.records.reading import Run
from dormant.report.seeds import Estimate, estimate, final_dormant_percent, final_return
from dormant.report.summary import aligned


class Setting(NamedTuple):
    """The seeds of one cell of the table."""

    replay_ratio: float
    method: str
    runs: tuple[Run, ...]


def comparison_table(settings: Sequence[Setting], tau: float = 0.1) -> str:
    """Returns the table of settings, ready to print.

    Args:
      settings: one for each row.
      tau: the threshold of the dormant percentage.

    Returns:
      Lines of text: for each setting the training return of the last iteration and the dormant
      percentage in it, as means over the seeds with Student's 95 % intervals.

    Raises:
      ValueError: a run has no episode that ended, or no measurement at this tau.
    """
    dormancy = f"dormant % at tau {tau:g} [95 %]"
    rows = [("Replay ratio", "method", "seeds", "return [95 %]", dormancy)]
    for setting in settings:
        returns = estimate([final_return(run) for run in setting.runs])
        dormant = estimate([final_dormant_percent(run, tau) for run in setting.runs])
        rows.append(
            (
                f"{setting.replay_ratio:g}",
                setting.method,
                str(len(setting.runs)),
                interval_text(returns, 2),
                interval_text(dormant, 1),
            )
        )
    return aligned(rows)


def interval_text(value: Estimate, digits: int) -> str:
    """`3.14 [2.98, 3.30]`, or the mean alone where there is one seed."""
    if value.low is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def verdict(settings: Sequence[Setting], tau: float = 0.1) -> str:
    """Returns what the runs say of the paper's two claims, in a sentence each.

    The claims: a higher replay ratio has more dormant neurons without ReDo; ReDo keeps them few and
    raises the return at the high replay ratio. A difference counts where the intervals of the two
    settings do not overlap.

    Args:
      settings: methods "DQN" and "DQN + ReDo" at the same replay ratios, at least two.
      tau: the threshold of the dormant percentage.

    Raises:
      ValueError: a setting is missing.
    """
    found = {(setting.method, setting.replay_ratio): setting.runs for setting in settings}
    ratios = sorted({setting.replay_ratio for setting in settings})
    needed = {(method, ratio) for method in ("DQN", "DQN + ReDo") for ratio in ratios}
    if len(ratios) < 2 or needed - found.keys():
        raise ValueError(
            "settings must hold 'DQN' and 'DQN + ReDo' at two replay ratios, received"
            f" {sorted(found)}"
        )
    low, high = ratios[0], ratios[-1]

    def dormant(method: str, ratio: float) -> Estimate:
        return estimate([final_dormant_percent(run, tau) for run in found[method, ratio]])

    def returns(method: str, ratio: float) -> Estimate:
        return estimate([final_return(run) for run in found[method, ratio]])

    def share(value: Estimate) -> str:
        return f"{value.mean:.1f} %"

    comparisons = [
        (
            f"Dormant neurons of DQN, replay ratio {high:g} against {low:g}",
            dormant("DQN", high), dormant("DQN", low), share, "more",
        ),
        (
            f"Dormant neurons at replay ratio {high:g}, with ReDo against without",
            dormant("DQN + ReDo", high), dormant("DQN", high), share, "fewer",
        ),
        (
            f"Return at replay ratio {high:g}, with ReDo against without",
            returns("DQN + ReDo", high), returns("DQN", high), lambda v: f"{v.mean:.2f}", "higher",
        ),
    ]  # fmt: skip
    return "\n".join(_sentence(*comparison) for comparison in comparisons)


def _sentence(
    subject: str, one: Estimate, other: Estimate, text: Callable[[Estimate], str], expected: str
) -> str:
    values = f"{text(one)} against {text(other)}"
    if one.low is None or other.low is None:
        return f"{subject}: {values} (one seed, no interval: nothing can be said)."
    if one.low <= other.high and other.low <= one.high:
        return f"{subject}: {values} (no clear difference, the intervals overlap)."
    rising, falling = ("higher", "lower") if expected == "higher" else ("more", "fewer")
    seen = rising if one.mean > other.mean else falling
    agrees = "as in the paper" if seen == expected else "not as in the paper"
    return f"{subject}: {seen}, {values} ({agrees})."
