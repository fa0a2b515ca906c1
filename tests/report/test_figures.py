# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Figures hold what the runs hold, as PNG and SVG, the same bytes each time."""

import sys

import matplotlib.image
import numpy as np
import pytest

from dormant.report.bootstrap import Bootstrap
from dormant.report.charts import all_charts, layers_of_games, score_thresholds
from dormant.report.figures import draw, new_figure
from dormant.report.looks import Line, Looks
from dormant.report.measurements import DORMANT_PERCENT
from dormant.report.sources import read_folder
from dormant.report.statistics import Statistics, places
from tests.report.hostile_runs import GAMES, METHODS, SETTINGS

AGGREGATES = ("sweep", "sample-efficiency", "profiles")
MEASURED = ("returns", "dormancy", "overlap")


@pytest.fixture(scope="module")
def collection(experiment_folder):
    return read_folder(experiment_folder)


def charts_of(collection):
    """{name: chart} of those that are figures, also of layers."""
    charts = all_charts(Statistics(collection, Bootstrap(20)))
    layers = layers_of_games(charts, collection.experiment.tau)
    return {chart.name: chart for chart in (*charts, *layers) if chart.name}


@pytest.fixture(scope="module")
def charts(collection):
    return charts_of(collection)


def written(collection, chart, folder):
    """The text of the SVG."""
    png, svg = draw(chart, Looks(collection), folder)
    assert png.stat().st_size > 5_000
    return svg.read_text(encoding="utf-8")


def panels_of(collection, chart):
    return [axes for axes in new_figure(chart, Looks(collection)).axes if axes.get_visible()]


def test_a_sweep_has_its_values_and_methods(collection, charts, tmp_path):
    text = written(collection, charts["sweep"], tmp_path)
    for label in (">0.25<", ">1<", ">DQN<", ">replay ratio<", ">IQM of normalized scores<"):
        assert label in text
    assert "DQN &lt;/script&gt;&lt;img" in text  # a hostile name, as text
    assert not charts["sweep"].left_out  # every game has a whole run
    assert matplotlib.image.imread(tmp_path / "sweep.png").shape[1] == 1125


def test_settings_of_one_value_have_no_point_and_are_named(collection):
    runs = tuple(run._replace(value=1.0) for run in collection.runs)
    chart = charts_of(collection._replace(runs=runs)).get("sweep")
    assert chart is None or not chart.panels
    (sweep, *_) = all_charts(Statistics(collection._replace(runs=runs), Bootstrap(20)))
    assert any("another setting has the value 1 too" in reason for reason in sweep.left_out)


def test_iterations_before_learning_share_their_gradient_step(tmp_path):
    path = tmp_path / "early.csv"
    header = "method,game,seed,agent_step,return,gradient_step,dormant_percent"
    steps = [0, 0, 0, "", 1, 2]  # one is not known
    lines = [f"DQN,Pong,{seed},{at},1,{step},{at}" for seed in (0, 1) for at, step in
             enumerate(steps)]  # fmt: skip
    path.write_text("\n".join([header, *lines]) + "\n")
    (curve,) = charts_of(read_folder(path))["dormancy"].panels["Pong"].values()
    assert list(curve.steps) == [0, 1, 2] and list(curve.values) == [2, 4, 5]


def test_the_same_figure_is_the_same_file(collection, charts, tmp_path):
    files = [written(collection, charts["returns"], tmp_path) for _ in range(2)]
    assert files[0] == files[1]
    assert "<dc:date>" not in files[0]


def test_no_global_figure_is_used(collection, charts, tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    written(collection, charts["returns"], tmp_path)
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_curves_have_a_panel_for_each_game(collection, charts, tmp_path):
    labels = ("return", "dormant neurons (%), tau = 0.1", "overlap coefficient, tau = 0.1")
    for name, label in zip(MEASURED, labels, strict=True):
        text = written(collection, charts[name], tmp_path)
        assert ">Asterix<" in text and ">Pong<" in text and f">{label}<" in text


def test_a_mean_over_fewer_seeds_than_planned_is_named(charts):
    (sentence,) = charts["returns"].left_out
    assert "Pong" in sentence and "2 of 3 runs" in sentence


def test_layers_have_a_panel_each(collection, charts, tmp_path):
    text = written(collection, charts["dormancy-layers-01-Pong"], tmp_path)
    assert all(f">{layer}<" in text for layer in ("Conv_0", "Dense_0", "all hidden layers"))


def test_a_setting_of_which_a_game_is_missing_is_left_out_and_named(collection, tmp_path):
    last = collection.experiment.runs[-1]
    kept = [run for run in collection.runs if run[:4] != last[1:5]]
    collection = collection._replace(runs=tuple(kept))
    charts = charts_of(collection)
    for name in AGGREGATES:
        (sentence,) = charts[name].left_out
        assert "got none of Pong" in sentence and "replay ratio 1" in sentence
        assert written(collection, charts[name], tmp_path)


def test_what_was_not_measured_has_no_chart(collection):
    assert not any(chart.panels for chart in charts_of(collection._replace(runs=())).values())
    experiment = collection.experiment._replace(tau=0.5)
    assert {"dormancy", "overlap"} & set(
        charts_of(collection._replace(experiment=experiment))
    ) == set()


def test_a_method_keeps_its_colour_and_a_setting_its_dash(collection):
    looks = Looks(collection)
    found = {line: looks.of(line) for line in looks.lines}
    assert len(found) == 4 == len(set(found.values()))
    for attribute, kinds in (("method", ("colour", "symbol")), ("setting", ("dash",))):
        for of in kinds:
            pairs = {(getattr(line, attribute), getattr(look, of)) for line, look in found.items()}
            assert len(pairs) == 2


def test_many_methods_and_settings_differ_without_their_colour(collection):
    names = [(f"m{method}", f"s{setting}") for method in range(7) for setting in range(8)]
    runs = tuple(collection.runs[0]._replace(method=m, setting=s) for m, s in names)
    looks = Looks(collection._replace(runs=runs))
    assert len({looks.of(Line(*name))[1:] for name in names}) == len(names)


def with_methods(collection, copies):
    """The collection with copies of its first method under other names."""

    def more(runs):
        first = [run for run in runs if run.method == "DQN"]
        named = [run._replace(method=f"DQN {n}") for n in range(copies) for run in first]
        return (*runs, *named)

    experiment = collection.experiment._replace(runs=more(collection.experiment.runs))
    return collection._replace(experiment=experiment, runs=more(collection.runs))


def test_with_one_setting_the_dash_and_the_marker_follow_the_method(collection):
    runs = [run for run in collection.runs if run.value == 1]
    planned = [run for run in collection.experiment.runs if run.value == 1]
    experiment = collection.experiment._replace(runs=tuple(planned))
    one = Looks(collection._replace(experiment=experiment, runs=tuple(runs), partial=()))
    looks = [one.of(line) for line in one.lines]
    assert [look.dash for look in looks] == ["solid", "dash"]
    assert looks == [Looks(collection).of(line, apart=True) for line in one.lines]


def test_a_method_looks_alike_in_sweep_and_profiles(collection, charts):
    looks = []
    for name in ("sweep", "profiles"):
        looks.append({
            (line.get_label(), line.get_color(), line.get_linestyle(), line.get_marker())
            for axes in panels_of(collection, charts[name]) for line in axes.lines
        })  # fmt: skip
    assert looks[0] == looks[1] and len({look[2] for look in looks[0]}) == len(METHODS)


def lines_of(axes):
    """Those of the legend; the others are seeds."""
    return axes.get_legend_handles_labels()[1]


def test_more_lines_than_can_be_read_get_a_row_for_each_setting(collection, charts):
    few = panels_of(collection, charts["returns"])
    assert [len(lines_of(axes)) for axes in few] == [4, 4]
    many = with_methods(collection, 3)
    crowded = charts_of(many)
    panels = panels_of(many, crowded["returns"])
    assert [len(lines_of(axes)) for axes in panels] == [5, 5, 5, 5]
    assert [axes.get_title(loc="left") for axes in panels] == [*GAMES, "", ""]
    assert [axes.get_ylabel() for axes in panels[::2]] == [f"{name}\nreturn" for name in SETTINGS]
    assert panels[0].get_ylim() == panels[2].get_ylim() != panels[1].get_ylim()
    curves = panels_of(many, crowded["sample-efficiency"])
    assert [axes.get_title(loc="left") for axes in curves] == list(SETTINGS)
    assert curves[0].get_ylim() == curves[1].get_ylim()


def test_a_panel_of_which_no_run_is_there_has_no_numbers_on_its_axes(collection):
    many = with_methods(collection, 3)
    missing = (list(SETTINGS)[-1], list(GAMES)[-1])
    kept = [run for run in many.runs if (run.setting, run.game) != missing]
    many = many._replace(runs=tuple(kept))
    *whole, empty = panels_of(many, charts_of(many)["returns"])
    assert [text.get_text() for text in empty.texts] == ["no whole run"]

    def has_numbers(axes):
        axes.figure.draw_without_rendering()
        ticks = (*axes.xaxis.get_major_ticks(), *axes.yaxis.get_major_ticks())
        return any(tick.label1.get_visible() and tick.label1.get_text() for tick in ticks)

    assert [has_numbers(axes) for axes in (*whole, empty)] == [True, True, True, False]


def test_the_legend_fits_the_figure(collection):
    names = {METHODS[0]: "DQN + weight decay", METHODS[1]: "DQN + layer resets"}

    def renamed(runs):
        return tuple(run._replace(method=names[run.method]) for run in runs)

    experiment = collection.experiment._replace(runs=renamed(collection.experiment.runs))
    runs = renamed(collection.runs)
    named = collection._replace(experiment=experiment, runs=runs, partial=())
    charts = charts_of(named)
    for name in ("sweep", "returns", "dormancy-layers-01-Pong"):
        figure = new_figure(charts[name], Looks(named))
        figure.draw_without_rendering()
        extent = figure.legends[0].get_window_extent()
        assert 0 <= extent.x0 and extent.x1 <= figure.bbox.x1


def test_a_legend_of_many_methods_lies_under_the_panels(collection):
    many = with_methods(collection, 30)
    figure = new_figure(charts_of(many)["returns"], Looks(many))
    figure.draw_without_rendering()
    top = figure.legends[0].get_window_extent().y1
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert all(axes.get_tightbbox().y0 >= top for axes in panels)
    assert min(axes.get_window_extent().height for axes in panels) > 100


def test_many_games_have_a_row_each(collection):
    def more(runs):
        return tuple(run._replace(game=f"{run.game}{n}") for n in range(3) for run in runs)

    many = with_methods(collection, 3)
    experiment = many.experiment._replace(runs=more(many.experiment.runs))
    many = many._replace(experiment=experiment, runs=more(many.runs))
    panels = panels_of(many, charts_of(many)["returns"])
    assert len(panels) == 12
    assert [axes.get_title(loc="left") for axes in panels[:3]] == [*SETTINGS, ""]


def test_bands_stay_where_the_quantity_can_be(collection):
    percents = {0: 0.0, 1: 90.0, 2: 100.0}  # Student's interval would be far wider than 0 to 100

    def spread(run):
        percent = (0.0, 0.0, percents[run.seed])
        tracking = [r._replace(dormant_percent_pooled=percent) for r in run.records.tracking]
        return run._replace(records=run.records._replace(tracking=tuple(tracking)))

    changed = collection._replace(runs=tuple(map(spread, collection.runs)))
    statistics = Statistics(changed, Bootstrap(2000))
    (chart,) = [chart for chart in all_charts(statistics) if chart.measure == DORMANT_PERCENT]
    panels = panels_of(changed, chart)
    ends = np.concatenate([band.get_paths()[0].vertices[:, 1] for band in panels[0].collections])
    assert (ends.min(), ends.max()) == (0.0, 100.0)


def test_fewer_than_three_seeds_are_lines_and_no_band(collection):
    for seeds, thin in ((1, 0), (2, 2)):
        few = [run for run in collection.runs if run.seed < seeds and run.status == "finished"]
        axes = panels_of(collection, charts_of(collection._replace(runs=tuple(few)))["returns"])[0]
        assert not axes.collections and len(axes.lines) == 4 * (1 + thin)
        values = [line.get_ydata() for line in axes.lines[: 1 + thin]]
        assert values[0] == pytest.approx(np.mean(values[thin > 0 :], axis=0))


def test_lines_of_very_different_gradient_steps_are_over_agent_steps(collection, charts):
    assert charts["dormancy"].across == "gradient steps"
    slow = "replay ratio 0.25"

    def fewer(run):
        tracking = [r._replace(gradient_step=r.gradient_step // 4) for r in run.records.tracking]
        return run._replace(records=run.records._replace(tracking=tuple(tracking)))

    runs = [fewer(run) if run.setting == slow else run for run in collection.runs]
    changed = collection._replace(runs=tuple(runs))
    chart = charts_of(changed)["dormancy"]
    assert chart.across == "agent steps"
    for axes in panels_of(changed, chart):
        assert {line.get_xdata()[-1] for line in axes.lines} == {5000}


def test_axes_end_where_the_data_do(collection, charts):
    for name in ("sample-efficiency", "returns", "profiles"):
        for axes in panels_of(collection, charts[name]):
            steps = axes.lines[0].get_xdata()
            assert axes.get_xlim() == (steps[0], steps[-1])


def test_an_iteration_without_an_episode_of_one_run_stays_and_is_named(collection):
    first, *others = collection.runs
    returns = first.returns.copy()
    returns[2] = np.nan
    changed = charts_of(collection._replace(runs=(first._replace(returns=returns), *others)))
    assert "1 of 5 iterations" in changed["sample-efficiency"].left_out[0]
    (sentence,) = [r for r in changed["returns"].left_out if "without a value" in r]
    assert "Asterix, DQN, replay ratio 0.25" in sentence and "1 of 5 steps" in sentence
    curve = changed["returns"].panels["Asterix"][Line("DQN", "replay ratio 0.25")]
    assert len(curve.steps) == 5
    assert curve.values[2] == pytest.approx(np.mean([run.returns[2] for run in others[:2]]))


@pytest.mark.parametrize(
    ("scores", "end", "cut"),
    [
        ([0.1] * 50 + [0.3], 0.306, False),
        ([1.0] * 50 + [1.9], 1.938, False),
        ([2.0] * 50 + [40.0], 2.0, True),
        ([0.1] * 50 + [40.0], 1.0, True),
    ],
)
def test_an_outlier_does_not_stretch_the_profiles(scores, end, cut):
    thresholds, beyond = score_thresholds(np.array(scores))
    assert len(thresholds) >= 200 and thresholds[0] == 0
    assert thresholds[-1] == pytest.approx(end)
    assert ("1 of 51 runs beyond, to 40" in beyond) == cut


def test_thinning_keeps_the_first_and_the_last():
    assert list(places(5, 10)) == [0, 1, 2, 3, 4]
    kept = places(1000, 7)
    assert len(kept) == 7 and kept[0] == 0 and kept[-1] == 999
