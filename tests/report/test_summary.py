"""The printed summary of a run: its figures are those of the records."""

import pytest

from dormant.records.reading import read_run
from dormant.report.summary import recycled_per_layer, summary_table


def row(table, label):
    (line,) = [line for line in table.splitlines() if line.startswith(label + " ")]
    return line.removeprefix(label).split()


def test_the_first_the_last_and_the_best_iteration_are_shown(written_run):
    table = summary_table(read_run(written_run(returns=[[1.0, 3.0], [9.0], [], [4.0, 5.0, 6.0]])))
    assert row(table, "first iteration") == ["0", "2,000", "2", "2.00", "3.00"]
    assert row(table, "best iteration") == ["1", "4,000", "1", "9.00", "9.00"]
    assert row(table, "last iteration") == ["3", "8,000", "3", "5.00", "6.00"]
    assert "8,000 agent steps and 2,000 gradient steps at 250 agent steps/s" in table


def test_an_iteration_in_which_no_episode_ended_has_no_mean(written_run):
    table = summary_table(read_run(written_run(returns=[[], []])))
    assert row(table, "first iteration") == ["0", "2,000", "0", "-", "-"]
    assert "best iteration" not in table


def test_dormancy_is_shown_per_layer_and_pooled_before_and_after(written_run):
    table = summary_table(read_run(written_run(percents=[12.5, 40.0, 25.0], recycled=[0, 6, 0])))
    # the fixture writes the percentage at tau 0.1, half of it at 0.025, none at 0
    changes = ["12.5", "->", "25.0", "6.2", "->", "12.5", "0.0", "->", "0.0"]
    assert row(table, "Conv_0") == [*changes, "2"]
    assert row(table, "Dense_0") == [*changes, "4"]
    assert row(table, "all hidden layers") == [*changes, "6"]
    assert "at gradient step 500 -> 1,500, the first and the last of 3 measurements" in table


def test_recycled_neurons_are_summed_per_layer_where_the_records_tell(written_run):
    assert recycled_per_layer(read_run(written_run(recycled=[0, 6, 3]))) == {
        "Conv_0": 3,
        "Dense_0": 6,
    }


def test_recycling_between_two_records_leaves_the_layers_unknown(written_run):
    run = read_run(written_run(recycled=[0, 6, 3]))
    skipped = run._replace(tracking=run.tracking[:1] + run.tracking[2:])
    assert recycled_per_layer(skipped) is None
    assert row(summary_table(skipped), "Conv_0")[-1] == "-"
    assert row(summary_table(skipped), "all hidden layers")[-1] == "9"


def test_a_run_without_iterations_or_without_tracking_says_so(written_run):
    run = read_run(written_run())
    assert "No iteration has ended." in summary_table(run._replace(iterations=()))
    assert "Dormancy was not measured." in summary_table(run._replace(tracking=()))


def test_a_tau_that_was_not_measured_is_an_error(written_run):
    with pytest.raises(ValueError, match="got 0.5"):
        summary_table(read_run(written_run()), taus=[0.5])


def test_columns_line_up(written_run):
    lines = summary_table(read_run(written_run())).splitlines()
    dormancy = lines[lines.index("") + 1 :][:-1]
    assert len({len(line) for line in dormancy}) == 1
