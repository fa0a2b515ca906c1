"""Estimates over seeds, against SciPy's own interval and by hand."""

import shutil

import numpy as np
import pytest
from scipy import stats

from dormant.records.reading import read_run
from dormant.report.seeds import (
    dormancy_curve_of_seeds,
    estimate,
    final_dormant_percent,
    final_return,
    read_seeds,
    return_curve,
)


@pytest.fixture
def seeds(written_run, tmp_path_factory):
    """`seeds(*keywords)`: a folder of seeds, each written with the keywords of `written_run`."""

    def write(*each):
        folder = tmp_path_factory.mktemp("seeds")
        for number, keywords in enumerate(each):
            shutil.copytree(written_run(**keywords), folder / f"seed_{number}")
        return folder

    return write


def test_the_interval_is_students():
    values = [3.0, 4.5, 2.5, 7.0, 5.0]
    found = estimate(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert found == pytest.approx((np.mean(values), low, high))


def test_one_seed_has_no_interval_and_none_no_estimate():
    assert estimate([2.0]) == (2.0, None, None)
    with pytest.raises(ValueError, match=r"received \[\]"):
        estimate([])


def test_seeds_are_read_in_the_order_of_their_numbers(seeds):
    folder = seeds(*({"returns": [[float(number)]]} for number in range(11)))
    assert [final_return(run) for run in read_seeds(folder)] == [float(n) for n in range(11)]
    with pytest.raises(FileNotFoundError, match="no seed_"):
        read_seeds(folder / "seed_0")


def test_the_final_return_is_that_of_the_last_iteration_with_an_episode(written_run):
    run = read_run(written_run(returns=[[1.0], [2.0, 4.0], []]))
    assert final_return(run) == 3.0
    with pytest.raises(ValueError, match="an episode|a training episode"):
        final_return(run._replace(iterations=()))


def test_the_final_dormancy_is_the_mean_of_the_last_iterations_records(written_run):
    # Records at agent steps 2000, 4000 and 6000; iterations end at 2000 and 4000.
    run = read_run(written_run(returns=[[1.0], [2.0]], percents=[10.0, 20.0, 5.0]))
    assert final_dormant_percent(run) == 20.0
    assert final_dormant_percent(run, tau=0.025) == 10.0
    with pytest.raises(ValueError, match="measurements"):
        final_dormant_percent(run._replace(tracking=()))


def test_a_curve_has_the_points_that_every_seed_has(seeds):
    runs = read_seeds(
        seeds(
            {"returns": [[1.0], [], [3.0]], "percents": [10.0, 20.0, 30.0]},
            {"returns": [[2.0], [4.0], [5.0]], "percents": [30.0, 20.0, 10.0]},
        )
    )
    curve = return_curve(runs)
    assert curve.steps == (2000, 6000)
    assert [point.mean for point in curve.estimates] == [1.5, 4.0]
    dormant = dormancy_curve_of_seeds(runs)
    assert dormant.steps == (2000, 4000, 6000)
    assert [point.mean for point in dormant.estimates] == [20.0, 20.0, 20.0]
    assert dormant.estimates[1].low == dormant.estimates[1].high == 20.0
