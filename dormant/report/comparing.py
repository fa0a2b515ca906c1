"""Runs from elsewhere with those of an experiment: one collection, so that tables hold both."""

from collections.abc import Sequence

from dormant.records.experiment_file import PlannedRun
from dormant.records.results import NOT_STARTED, Absence, Collection, RunResult
from dormant.report.scores import game_key


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
    longest = max(_length(run) for run in (*planned, *first.runs))
    for other in others:
        name = other.experiment.name
        known = {(run.method, run.setting) for run in planned}
        added = [
            _renamed(_cut(run, longest), games, known, name, bool(first.experiment.setting_name))
            for run in other.runs
            if game_key(run.game) in games
        ]
        added = [run for run in added if run.agent_steps.size]
        if not added:
            raise ValueError(
                f"--compare must name runs of {', '.join(games.values())} within {longest:,} agent"
                f" steps; got none in {name}"
            )
        runs += added
        planned += [_plan(run, run.game, run.seed, _length(run)) for run in added]
        for method, setting in dict.fromkeys((run.method, run.setting) for run in added):
            like = next(run for run in added if (run.method, run.setting) == (method, setting))
            there = {run.game for run in added if (run.method, run.setting) == (method, setting)}
            for game in games.values():
                if game not in there:
                    missing = _plan(like, game, 0, longest)
                    planned.append(missing)
                    absent.append(Absence(missing, NOT_STARTED, f"{name} has no such run"))
    experiment = first.experiment._replace(runs=tuple(planned))
    return first._replace(experiment=experiment, runs=tuple(runs), absent=tuple(absent))


def _length(run: PlannedRun | RunResult) -> int:
    if isinstance(run, PlannedRun):
        return run.agent_steps
    return int(run.agent_steps[-1]) if run.agent_steps.size else 0


def _cut(run: RunResult, longest: int) -> RunResult:
    inside = run.agent_steps <= longest
    return run._replace(
        agent_steps=run.agent_steps[inside],
        returns=run.returns[inside],
        dormant_percent=run.dormant_percent[inside],
    )


def _renamed(
    run: RunResult,
    games: dict[str, str],
    known: set[tuple[str, str]],
    name: str,
    compares_settings: bool,
) -> RunResult:
    setting = run.setting or (name if compares_settings else "")
    is_taken = (run.method, setting) in known
    method = f"{run.method} ({name})" if is_taken else run.method
    return run._replace(method=method, setting=setting, game=games[game_key(run.game)])


def _plan(run: RunResult, game: str, seed: int, agent_steps: int) -> PlannedRun:
    where = f"{run.method}, {game}, seed {seed}"
    return PlannedRun(
        where, run.method, run.setting, run.value, game, seed, agent_steps, run.command
    )
