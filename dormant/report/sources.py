"""From what a person has, a folder or a file, to a `Collection`."""

from collections.abc import Callable, Iterable
from pathlib import Path

from dormant.records.experiment_file import ExperimentFile, PlannedRun, read_experiment
from dormant.records.files import EXPERIMENT_FILE, METRICS_FILE
from dormant.records.results import Collection, RunResult
from dormant.records.run_folders import find_runs, read_planned
from dormant.report.csv_results import read_csv
from dormant.report.csv_results import write_csv as write_csv_of
from dormant.report.dopamine_results import read_baselines, read_logs

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
    planned = find_runs(path)
    if planned:
        return _of_plan(_experiment(planned, path.resolve().name), path)
    readers: tuple[tuple[str, Callable[[Path], list[RunResult]]], ...] = (
        ("*_*.json", read_baselines),
        (
            "*.csv",
            lambda given: [run for file in sorted(given.glob("*.csv")) for run in read_csv(file)],
        ),
        ("**/logs/log_*", _logs),
    )
    for pattern, reader in readers:
        if any(path.glob(pattern)):
            return _of_results(reader(path), path.resolve().name, path)
    raise FileNotFoundError(
        f"{path} must hold {EXPERIMENT_FILE}, run folders with {METRICS_FILE}, Dopamine's"
        " <game>_<network>.json or logs/log_<iteration>, or CSV files; got none of them"
    )


def write_csv(collection: Collection, path: str | Path) -> None:
    """Writes the curves of all runs that are whole; `read_folder` reads the file again."""
    write_csv_of(collection.runs, path)


def _of_plan(experiment: ExperimentFile, root: Path) -> Collection:
    _check_different((run, run.folder) for run in experiment.runs)
    runs, partial, absent = [], [], []
    for run in experiment.runs:
        result, absence = read_planned(root, run, experiment.tau)
        if absence is None:
            runs.append(result)
            continue
        absent.append(absence)
        if result is not None:
            partial.append(result)
    return Collection(experiment, tuple(runs), tuple(partial), tuple(absent), root)


def _of_results(results: list[RunResult], name: str, root: Path | None) -> Collection:
    """Of runs without a plan: all are whole."""
    _check_different((run, str(run.folder or name)) for run in results)
    planned = [
        PlannedRun(
            "", run.method, run.setting, run.value, run.game, run.seed, int(run.agent_steps[-1]), ""
        )
        for run in results
    ]
    return Collection(_experiment(planned, name), tuple(results), (), (), root)


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
    results, counts = [], {}
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
