"""Figures hold what the runs hold, as PNG and SVG, the same bytes each time."""

import matplotlib.image
import numpy as np
import pytest

from dormant.report import style
from dormant.report.plots_curves import (
    dormancy_figure,
    layers_figure,
    overlap_figure,
    return_figure,
    sample_efficiency_figure,
    thinned,
)
from dormant.report.plots_profile import _thresholds, profile_figure
from dormant.report.plots_sweep import sweep_figure
from dormant.report.sources import read_folder
from tests.report.hostile_runs import GAMES, METHODS, SETTINGS

BOOTSTRAP = {"repetitions": 20, "seed": 0}


@pytest.fixture(scope="module")
def collection(experiment_folder):
    return read_folder(experiment_folder)


def test_a_sweep_has_its_values_and_methods(collection, tmp_path):
    drawing = sweep_figure(collection, tmp_path / "sweep", **BOOTSTRAP)
    text = drawing.svg.read_text(encoding="utf-8")
    for label in (">0.25<", ">1<", ">DQN<", ">replay ratio<", ">IQM of normalized scores<"):
        assert label in text
    assert "DQN &lt;/script&gt;&lt;img" in text  # a hostile name, as text
    assert not drawing.left_out  # every game has a whole run
    assert matplotlib.image.imread(drawing.png).shape[1] == 1125


def test_the_same_figure_is_the_same_file(collection, tmp_path):
    files = [
        return_figure(collection, tmp_path / name).svg.read_bytes() for name in ("one", "other")
    ]
    assert files[0] == files[1]
    assert b"<dc:date>" not in files[0]


def test_curves_have_a_panel_for_each_game(collection, tmp_path):
    for name, draw, label in (
        ("returns", return_figure, "return"),
        ("dormancy", dormancy_figure, "dormant neurons (%), tau = 0.1"),
        ("overlap", overlap_figure, "overlap coefficient, tau = 0.1"),
    ):
        text = draw(collection, tmp_path / name).svg.read_text(encoding="utf-8")
        assert ">Asterix<" in text and ">Pong<" in text and f">{label}<" in text


def test_a_mean_over_fewer_seeds_than_planned_is_named(collection, tmp_path):
    (sentence,) = return_figure(collection, tmp_path / "returns").left_out
    assert "Pong" in sentence and "2 of 3 runs" in sentence


def test_layers_have_a_panel_each(collection, tmp_path):
    drawing = layers_figure(collection, "Pong", tmp_path / "layers")
    text = drawing.svg.read_text(encoding="utf-8")
    assert all(f">{layer}<" in text for layer in ("Conv_0", "Dense_0", "all hidden layers"))


def test_a_setting_of_which_a_game_is_missing_is_left_out_and_named(collection, tmp_path):
    last = collection.experiment.runs[-1]
    kept = [run for run in collection.runs if run[:4] != last[1:5]]
    collection = collection._replace(runs=tuple(kept))
    for draw in (sweep_figure, sample_efficiency_figure, profile_figure):
        drawing = draw(collection, tmp_path / draw.__name__, **BOOTSTRAP)
        (sentence,) = drawing.left_out
        assert "got none of Pong" in sentence and "replay ratio 1" in sentence
        assert drawing.png.stat().st_size > 5_000


def test_nothing_to_draw_is_an_error_and_no_file(collection, tmp_path):
    empty = collection._replace(runs=(), partial=())
    figures = (
        sweep_figure, profile_figure, sample_efficiency_figure, return_figure, dormancy_figure,
        overlap_figure,
    )  # fmt: skip
    for draw in figures:
        with pytest.raises(style.NothingToDraw, match="got none"):
            draw(empty, tmp_path / "none")
    with pytest.raises(style.NothingToDraw, match="tau = 0.5"):
        dormancy_figure(collection, tmp_path / "none", tau=0.5)
    assert not list(tmp_path.iterdir())


def test_a_method_keeps_its_colour_and_a_setting_its_dash(collection):
    looks = style.lines_of(collection)
    assert len(looks) == 4 and len(set(looks.values())) == 4
    for attribute, of in (("method", "colour"), ("setting", "dash")):
        pairs = {(getattr(line, attribute), getattr(look, of)) for line, look in looks.items()}
        assert len(pairs) == 2


def with_methods(collection, copies):
    """The collection with copies of its first method under other names."""

    def more(runs):
        first = [run for run in runs if run.method == "DQN"]
        named = [run._replace(method=f"DQN {n}") for n in range(copies) for run in first]
        return (*runs, *named)

    experiment = collection.experiment._replace(runs=more(collection.experiment.runs))
    return collection._replace(experiment=experiment, runs=more(collection.runs))


def panels_of(monkeypatch, draw):
    """The visible panels of the figure that is saved."""
    saved = []
    monkeypatch.setattr(style, "save", lambda figure, *_: saved.append(figure))
    draw()
    return [axes for axes in saved[0].axes if axes.get_visible()]


def test_with_one_setting_the_dash_and_the_marker_follow_the_method(collection):
    runs = [run for run in collection.runs if run.value == 1]
    planned = [run for run in collection.experiment.runs if run.value == 1]
    experiment = collection.experiment._replace(runs=tuple(planned))
    one = collection._replace(experiment=experiment, runs=tuple(runs), partial=())
    looks = style.lines_of(one)
    assert [look.dash for look in looks.values()] == [0, 1]
    assert {line.method: look for line, look in looks.items()} == style.methods_looks(collection)


def test_a_method_looks_alike_in_sweep_and_profiles(collection, tmp_path, monkeypatch):
    looks = []
    for draw in (sweep_figure, profile_figure):
        panels = panels_of(monkeypatch, lambda draw=draw: draw(collection, tmp_path, **BOOTSTRAP))
        looks.append({
            (line.get_label(), line.get_color(), line.get_linestyle(), line.get_marker())
            for axes in panels for line in axes.lines
        })  # fmt: skip
    assert looks[0] == looks[1] and len({look[2] for look in looks[0]}) == len(METHODS)


def test_more_lines_than_can_be_read_get_a_row_for_each_setting(collection, tmp_path, monkeypatch):
    few = panels_of(monkeypatch, lambda: return_figure(collection, tmp_path))
    assert [len(axes.lines) for axes in few] == [4, 4]
    many = with_methods(collection, 3)
    panels = panels_of(monkeypatch, lambda: return_figure(many, tmp_path))
    assert [len(axes.lines) for axes in panels] == [5, 5, 5, 5]
    assert [axes.get_title(loc="left") for axes in panels] == [*GAMES, "", ""]
    assert [axes.get_ylabel() for axes in panels[::2]] == [f"{name}\nreturn" for name in SETTINGS]
    assert panels[0].get_ylim() == panels[2].get_ylim() != panels[1].get_ylim()
    curves = panels_of(monkeypatch, lambda: sample_efficiency_figure(many, tmp_path, **BOOTSTRAP))
    assert [axes.get_title(loc="left") for axes in curves] == list(SETTINGS)


def test_the_legend_fits_the_figure(collection, monkeypatch, tmp_path):
    names = {METHODS[0]: "DQN + weight decay", METHODS[1]: "DQN + layer resets"}

    def renamed(runs):
        return tuple(run._replace(method=names[run.method]) for run in runs)

    experiment = collection.experiment._replace(runs=renamed(collection.experiment.runs))
    runs = renamed(collection.runs)
    named = collection._replace(experiment=experiment, runs=runs, partial=())
    figures = (sweep_figure, return_figure, lambda of, path: layers_figure(of, "Pong", path))
    for draw in figures:
        figure = panels_of(monkeypatch, lambda draw=draw: draw(named, tmp_path))[0].figure
        figure.draw_without_rendering()
        extent = figure.legends[0].get_window_extent()
        assert 0 <= extent.x0 and extent.x1 <= figure.bbox.x1


def test_many_games_have_a_row_each(collection, tmp_path, monkeypatch):
    def more(runs):
        return tuple(run._replace(game=f"{run.game}{n}") for n in range(3) for run in runs)

    many = with_methods(collection, 3)
    experiment = many.experiment._replace(runs=more(many.experiment.runs))
    many = many._replace(experiment=experiment, runs=more(many.runs))
    panels = panels_of(monkeypatch, lambda: return_figure(many, tmp_path))
    assert len(panels) == 12
    assert [axes.get_title(loc="left") for axes in panels[:3]] == [*SETTINGS, ""]


def test_bands_stay_where_the_quantity_can_be(collection, tmp_path, monkeypatch):
    percents = {0: 0.0, 1: 90.0, 2: 100.0}  # Student's interval is far wider than 0 to 100

    def spread(run):
        percent = (0.0, 0.0, percents[run.seed])
        tracking = [r._replace(dormant_percent_pooled=percent) for r in run.records.tracking]
        return run._replace(records=run.records._replace(tracking=tuple(tracking)))

    runs = tuple(map(spread, collection.runs))
    panels = panels_of(
        monkeypatch, lambda: dormancy_figure(collection._replace(runs=runs), tmp_path)
    )
    ends = np.concatenate([band.get_paths()[0].vertices[:, 1] for band in panels[0].collections])
    assert (ends.min(), ends.max()) == (0.0, 100.0)


def test_an_iteration_without_an_episode_of_one_run_stays_and_is_named(
    collection, tmp_path, monkeypatch
):
    first, *others = collection.runs
    returns = first.returns.copy()
    returns[2] = np.nan
    runs = (first._replace(returns=returns), *others)
    changed = collection._replace(runs=runs)
    drawn = sample_efficiency_figure(changed, tmp_path / "efficiency", **BOOTSTRAP)
    assert "1 of 5 iterations" in drawn.left_out[0]
    drawn = return_figure(changed, tmp_path / "returns")
    (sentence,) = [reason for reason in drawn.left_out if "without a value" in reason]
    assert "Asterix, DQN, replay ratio 0.25" in sentence and "1 of 5 steps" in sentence
    panels = panels_of(monkeypatch, lambda: return_figure(changed, tmp_path))
    line = panels[0].lines[0]
    assert len(line.get_xdata()) == 5
    assert line.get_ydata()[2] == pytest.approx(np.mean([run.returns[2] for run in others[:2]]))


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
    thresholds, beyond = _thresholds(np.array(scores))
    assert len(thresholds) >= 200 and thresholds[0] == 0
    assert thresholds[-1] == pytest.approx(end)
    assert ("1 of 51 runs beyond, to 40" in beyond) == cut


def test_thinning_keeps_the_first_and_the_last():
    assert thinned(range(5), 10) == [0, 1, 2, 3, 4]
    kept = thinned(range(1000), 7)
    assert len(kept) == 7 and kept[0] == 0 and kept[-1] == 999
