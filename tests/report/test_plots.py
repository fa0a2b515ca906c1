"""The dormancy curve: a readable image is written, and what cannot be drawn is an error."""

import sys

import matplotlib.image
import pytest

from dormant.records.reading import read_run
from dormant.report.plots import COLOURS, DASHES, MARKERS, dormancy_curve


def test_an_image_of_useful_size_is_written(written_run, tmp_path):
    run = read_run(written_run())
    path = dormancy_curve(run, tmp_path / "curve.png", tau=0.1)
    assert path == tmp_path / "curve.png"
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == (1200, 675)


def test_curves_labels_and_recycling_are_drawn(written_run, tmp_path):
    path = dormancy_curve(read_run(written_run()), tmp_path / "curve.svg", title="Pong, DQN")
    text = path.read_text(encoding="utf-8")
    axes = ["Pong, DQN", "gradient steps", "dormant neurons (%)"]
    legend = ["Conv_0", "Dense_0", "all hidden layers", "neurons recycled (6)"]
    for label in axes + legend:
        assert f"<!-- {label} -->" in text


def test_the_figure_grows_with_the_number_of_layers(written_run, tmp_path):
    run = read_run(written_run())
    names = [f"Stack_{number}" for number in range(24)]
    many = run.tracking[0]._replace(dormant_percent=dict.fromkeys(names, (0.0, 1.0, 2.0)))
    path = dormancy_curve(run._replace(tracking=(many,)), tmp_path / "many.png")
    assert matplotlib.image.imread(path).shape[0] > 675


def test_forty_layers_differ_in_colour_dash_or_marker():
    looks = {(COLOURS[n % 6], DASHES[n % 4], MARKERS[n % 7]) for n in range(40)}
    assert (len(COLOURS), len(DASHES), len(MARKERS)) == (6, 4, 7)
    assert len(looks) == 40


def test_nothing_to_draw_is_an_error(written_run, tmp_path):
    run = read_run(written_run())
    with pytest.raises(ValueError, match="run must hold measurements"):
        dormancy_curve(run._replace(tracking=()), tmp_path / "curve.png")
    with pytest.raises(ValueError, match="got 0.5"):
        dormancy_curve(run, tmp_path / "curve.png", tau=0.5)
    assert not (tmp_path / "curve.png").exists()


def test_no_display_and_no_global_figure_is_used(written_run, tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    dormancy_curve(read_run(written_run()), tmp_path / "curve.png")
    assert ("matplotlib.pyplot" in sys.modules) == before
