"""Runs from elsewhere with those of an experiment: one collection, so that tables hold both."""

from collections.abc import Sequence

from dormant.records.results import NOT_STARTED, Absence, Collection, RunResult
from dormant.report.scores import game_key
from dormant.report.sources import as_planned


def with_others(first: Collection, others: Sequence[Collection]) -> Collection:
    """The first collection with the whole runs of the others added.

    Both are compared at one length: measurements after the longest run of the first are left out.
    A game has the name that the first gives it; games that the first lacks are left out, and one of
    the first's that another lacks is missing there, so that no average is of fewer games. Where the
    first compares settings, a run without one gets its collection's name for a setting. A method
    that both have in one setting is told apart by that name too.

    Args:
      first: whose plan, title and tau stay.
      others: what to compare it with.

    Raises:
      ValueError: a collection has no whole run of the first's games within its length.
    """
    runs, planned, absent = list(first.runs), list(first.experiment.runs), list(first.absent)
    games = {game_key(run.game): run.game for run in planned}
    longest = max(run.agent_steps for run in (*planned, *map(as_planned, first.runs)))
    for other in others:
        name = other.experiment.name
        known = {(run.method, run.setting) for run in planned}
        added = []
        for run in other.runs:
            setting = run.setting or (name if first.experiment.setting_name else "")
            method = f"{run.method} ({name})" if (run.method, setting) in known else run.method
            inside = run.agent_steps <= longest
            if game_key(run.game) in games and inside.any():
                added.append(
                    run._replace(
                        method=method,
                        setting=setting,
                        game=games[game_key(run.game)],
                        agent_steps=run.agent_steps[inside],
                        returns=run.returns[inside],
                        dormant_percent=run.dormant_percent[inside],
                    )
                )
        if not added:
            raise ValueError(
                f"--compare must name runs of {', '.join(games.values())} within {longest:,} agent"
                f" steps; got none in {name}"
            )
        runs += added
        planned += [as_planned(run)._replace(folder=_where(run)) for run in added]
        there = {(run.method, run.setting, run.game) for run in added}
        for run in {(run.method, run.setting): run for run in reversed(added)}.values():
            for game in games.values():
                if (run.method, run.setting, game) not in there:
                    like = run._replace(game=game, seed=0)
                    missing = as_planned(like)._replace(folder=_where(like), agent_steps=longest)
                    planned.append(missing)
                    absent.append(Absence(missing, NOT_STARTED, f"{name} has no such run"))
    experiment = first.experiment._replace(runs=tuple(planned))
    return first._replace(experiment=experiment, runs=tuple(runs), absent=tuple(absent))


def _where(run: RunResult) -> str:
    return f"{run.method}, {run.game}, seed {run.seed}"
