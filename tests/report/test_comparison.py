"""The table, the sentences and the figure of settings that stand beside each other."""

import shutil

import matplotlib.image
import pytest

from dormant.report.comparison import Setting, comparison_table, verdict
from dormant.report.plots_comparison import comparison_figure
from dormant.report.seeds import read_seeds


@pytest.fixture
def setting(written_run, tmp_path_factory):
    """`setting(ratio, method, returns, percents)`: one value of each per seed."""

    def make(ratio, method, returns, percents):
        folder = tmp_path_factory.mktemp("setting")
        for number, (value, percent) in enumerate(zip(returns, percents, strict=True)):
            run = written_run(returns=[[value], [value]], percents=[percent] * 3)
            shutil.copytree(run, folder / f"seed_{number}")
        return Setting(ratio, method, read_seeds(folder))

    return make


@pytest.fixture
def as_in_the_paper(setting):
    return [
        setting(0.25, "DQN", [9.0, 10.0, 11.0], [10.0, 11.0, 12.0]),
        setting(0.25, "DQN + ReDo", [9.0, 10.0, 11.0], [1.0, 1.0, 1.0]),
        setting(2, "DQN", [3.0, 4.0, 5.0], [40.0, 41.0, 42.0]),
        setting(2, "DQN + ReDo", [11.0, 12.0, 13.0], [2.0, 2.0, 2.0]),
    ]


def test_the_table_has_a_row_for_each_setting(as_in_the_paper):
    lines = comparison_table(as_in_the_paper).splitlines()
    assert len(lines) == 6
    cells = [[cell for cell in line.split("  ") if cell] for line in lines[2:]]
    assert [[cell.strip() for cell in row] for row in cells][2] == [
        # The standard error of three values 1 apart is 1 / sqrt(3), Student's factor 4.303.
        "2", "DQN", "3", "4.00 [1.52, 6.48]", "41.0 [38.5, 43.5]",
    ]  # fmt: skip


def test_one_seed_has_no_interval(setting):
    assert "4.00  " in comparison_table([setting(1, "DQN", [4.0], [5.0])])


def test_what_agrees_with_the_paper_is_said(as_in_the_paper):
    more, fewer, higher = verdict(as_in_the_paper).splitlines()
    assert more.endswith("2 against 0.25: more, 41.0 % against 11.0 % (as in the paper).")
    assert fewer.endswith("fewer, 2.0 % against 41.0 % (as in the paper).")
    assert higher.endswith("higher, 12.00 against 4.00 (as in the paper).")


def test_what_does_not_is_said_too(setting):
    settings = [
        setting(0.25, "DQN", [9.0, 10.0, 11.0], [50.0, 51.0, 52.0]),
        setting(0.25, "DQN + ReDo", [9.0, 10.0, 11.0], [1.0, 1.0, 1.0]),
        setting(2, "DQN", [3.0, 14.0, 5.0], [40.0, 41.0, 42.0]),
        setting(2, "DQN + ReDo", [1.0, 6.0, 9.0], [52.0, 52.0, 52.0]),
    ]
    first, second, third = verdict(settings).splitlines()
    assert "fewer, 41.0 % against 51.0 % (not as in the paper)" in first
    assert "more, 52.0 % against 41.0 % (not as in the paper)" in second
    assert third.endswith("5.33 against 7.33 (no clear difference, the intervals overlap).")


def test_equal_settings_and_single_seeds_show_nothing(setting):
    def settings(seeds):
        return [
            setting(ratio, method, [1.0] * seeds, [0.0] * seeds)
            for ratio in (0.25, 2)
            for method in ("DQN", "DQN + ReDo")
        ]

    for line in verdict(settings(seeds=3)).splitlines():
        assert line.endswith("(no clear difference, the intervals overlap).")
    for line in verdict(settings(seeds=1)).splitlines():
        assert line.endswith("(one seed, no interval: nothing can be said).")


def test_a_missing_setting_is_named(as_in_the_paper):
    with pytest.raises(ValueError, match="at two replay ratios, received"):
        verdict(as_in_the_paper[:3])


def test_the_figure_is_drawn(as_in_the_paper, tmp_path):
    path = comparison_figure(as_in_the_paper, tmp_path / "figure.png", title="title")
    image = matplotlib.image.imread(path)
    assert image.shape[0] > 400 and image.shape[1] > 1000
    # Both panels hold more than white.
    half = image.shape[1] // 2
    assert image[:, :half, :3].std() > 0.02 and image[:, half:, :3].std() > 0.02
    with pytest.raises(ValueError, match="tau must be one that the run measured"):
        comparison_figure(as_in_the_paper, tmp_path / "other.png", tau=0.3)
