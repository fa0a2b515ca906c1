# Copyright 2026 The dormant Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""From what a person has, folders or files, to one `Collection`."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dormant.records.experiment_file import ExperimentFile, PlannedRun, read_experiment
from dormant.records.files import EXPERIMENT_FILE, METRICS_FILE
from dormant.records.results import NOT_STARTED, Absence, Collection, RunResult
from dormant.records.run_folders import find_runs, read_planned
from dormant.report.csv_results import read_csv
from dormant.report.dopamine_results import read_baselines, read_logs
from dormant.report.scores import game_key

_SHOWS = ("iqm", "return", "dormant_percent", "overlap")


def read_folder(folder: str | Path) -> Collection:
    """Reads all runs of a folder.

    What is in it decides: an experiment.json and its runs; run folders with a metrics.jsonl each,
    at any depth; files of Dopamine's baselines; Dopamine's logs, `<method>/<game>/<run>/logs`; CSV
    files, or one CSV file itself.

    Raises:
      FileNotFoundError: there is nothing of the kind.
      ValueError: two runs have the same method, setting, game and seed, or a file that is no run's
        own cannot be read. A run's own file that cannot be read becomes an `Absence`.
    """
    path = Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if path.is_file():
        return _of_results(read_csv(path), path.stem, None)
    if (path / EXPERIMENT_FILE).is_file():
        return _of_plan(read_experiment(path), path)
    if planned := find_runs(path):
        return _of_plan(_experiment(planned, path.resolve().name), path)
    readers: dict[str, Callable[[Path], list[RunResult]]] = {
        "*_*.json": read_baselines,
        "*.csv": lambda root: [
            run for file in sorted(root.glob("*.csv")) for run in read_csv(file)
        ],
        "**/logs/log_*": _logs,
    }
    for pattern, reader in readers.items():
        if any(path.glob(pattern)):
            return _of_results(reader(path), path.resolve().name, path)
    raise FileNotFoundError(
        f"{path} must hold {EXPERIMENT_FILE}, run folders with {METRICS_FILE}, Dopamine's"
        " <game>_<network>.json or logs/log_<iteration>, or CSV files; got none of them"
    )


def with_others(first: Collection, others: Sequence[Collection]) -> Collection:
    """The first collection, whose plan, title and tau stay, with the whole runs of the others.

    Both are compared at one length: measurements after the longest run of the first are left out.
    A game has the name that the first gives it; games that the first lacks are left out, and one of
    the first's that another lacks is missing there, so that no average is of fewer games. Where the
    first compares settings, a run without one gets its collection's name for a setting. A method
    that both have in one setting is told apart by that name too.

    Raises:
      ValueError: a collection has no whole run of the first's games within its length.
    """
    runs, planned, absent = list(first.runs), list(first.experiment.runs), list(first.absent)
    games = {game_key(run.game): run.game for run in planned}
    longest = max(run.agent_steps for run in (*planned, *map(_as_planned, first.runs)))
    for other in others:
        name = other.experiment.name
        known = {(run.method, run.setting) for run in planned}
        added = []
        for run in other.runs:
            setting = run.setting or (name if first.experiment.setting_name else "")
            method = f"{run.method} ({name})" if (run.method, setting) in known else run.method
            game = games.get(game_key(run.game))
            inside = run.agent_steps <= longest
            if game is not None and inside.any():
                cut = run._replace(
                    agent_steps=run.agent_steps[inside],
                    returns=run.returns[inside],
                    dormant_percent=run.dormant_percent[inside],
                )
                added.append(cut._replace(method=method, setting=setting, game=game))
        if not added:
            raise ValueError(
                f"--compare must name runs of {', '.join(games.values())} within {longest:,} agent"
                f" steps; got none in {name}"
            )
        runs += added
        planned += map(_as_planned, added)
        there = {(run.method, run.setting, run.game) for run in added}
        first_of_each = {(run.method, run.setting): run for run in reversed(added)}.values()
        for run, game in itertools.product(first_of_each, games.values()):
            if (run.method, run.setting, game) not in there:
                missing = _as_planned(run._replace(game=game, seed=0))._replace(agent_steps=longest)
                planned.append(missing)
                absent.append(Absence(missing, NOT_STARTED, f"{name} has no such run"))
    experiment = first.experiment._replace(runs=tuple(planned))
    return first._replace(experiment=experiment, runs=tuple(runs), absent=tuple(absent))


def _of_plan(experiment: ExperimentFile, root: Path) -> Collection:
    _check_different((run, run.folder) for run in experiment.runs)
    found = [read_planned(root, run, experiment.tau) for run in experiment.runs]
    runs = tuple(result for result, absence in found if result and not absence)
    partial = tuple(result for result, absence in found if result and absence)
    absent = tuple(absence for _, absence in found if absence)
    return Collection(experiment, runs, partial, absent, root)


def _of_results(results: list[RunResult], name: str, root: Path | None) -> Collection:
    """Of runs without a plan: all are whole."""
    _check_different((run, str(run.folder or name)) for run in results)
    planned = list(map(_as_planned, results))
    return Collection(_experiment(planned, name), tuple(results), (), (), root)


def _as_planned(run: RunResult) -> PlannedRun:
    """A run that nobody planned, as long as it is."""
    length = int(run.agent_steps[-1]) if run.agent_steps.size else 0
    where = f"{run.method}, {run.game}, seed {run.seed}"
    return PlannedRun(where, *run[:5], length, run.command)


def _experiment(planned: list[PlannedRun], name: str) -> ExperimentFile:
    names = {
        run.setting.removesuffix(f" {run.value:g}") for run in planned if run.value is not None
    }
    return ExperimentFile(
        name=name,
        scale="",
        title=f"All runs of {name}",
        expected="",
        setting_name=names.pop() if len(names) == 1 else "",  # "replay ratio" of "replay ratio 1"
        shows=_SHOWS,
        baseline=planned[0].method,
        command="",
        runs=tuple(planned),
        paper=(),
    )


def _logs(root: Path) -> list[RunResult]:
    folders = sorted({path.parent for path in root.glob("**/logs/log_*")})
    results: list[RunResult] = []
    counts: dict[tuple[str, str], int] = {}
    for folder in folders:
        *method, game, _ = ["", "", *folder.parent.relative_to(root).parts]
        key = ("/".join(filter(None, method)) or root.resolve().name, game or "unknown game")
        number = counts[key] = counts.get(key, -1) + 1
        results.append(read_logs(folder)._replace(method=key[0], game=key[1], seed=number))
    return results


def _check_different(runs: Iterable[tuple[PlannedRun | RunResult, str]]) -> None:
    seen: dict[tuple, str] = {}
    for run, where in runs:
        key = (run.method, run.setting, run.game, run.seed)
        if key in seen:
            raise ValueError(
                "runs of one method, setting and game must have different seeds; got seed"
                f" {run.seed} of {run.method}, {run.game}, in {seen[key]} and in {where}"
            )
        seen[key] = where
