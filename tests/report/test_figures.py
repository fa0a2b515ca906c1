"""Figures hold what the runs hold, as PNG and SVG, the same bytes each time."""

import matplotlib.image
import pytest

from dormant.evaluation import style
from dormant.evaluation.plots_curves import (
    dormancy_figure,
    layers_figure,
    overlap_figure,
    return_figure,
    sample_efficiency_figure,
    thinned,
)
from dormant.evaluation.plots_profile import profile_figure
from dormant.evaluation.plots_sweep import sweep_figure
from dormant.evaluation.sources import read_folder

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


def test_thinning_keeps_the_first_and_the_last():
    assert thinned(range(5), 10) == [0, 1, 2, 3, 4]
    kept = thinned(range(1000), 7)
    assert len(kept) == 7 and kept[0] == 0 and kept[-1] == 999
