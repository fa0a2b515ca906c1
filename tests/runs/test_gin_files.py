# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""Which file a name means: of the command line, and of an `include`, whatever else was parsed."""

import gin
import pytest

from dormant.checks import ConfigurationError
from dormant.data_files import data_folder
from dormant.runs.gin_files import find_gin_files, parse_gin, unread_bindings


@pytest.fixture
def folders(tmp_path):
    """Folders of one parent that each include their own `base.gin`, which sets another period."""
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "base.gin").write_text(f"ReDo.period = {number}\n")
        (tmp_path / name / "top.gin").write_text("include 'base.gin'\nReDo.tau = 0.5\n")
    (tmp_path / "second" / "other.gin").write_text("include 'first/base.gin'\n")
    return tmp_path


@pytest.fixture(autouse=True)
def interventions():
    """Imports what the files name; leaves gin empty."""
    import dormant.runs.interventions  # noqa: F401

    yield
    gin.clear_config()


def period(*gin_files, bindings=()):
    parse_gin([str(path) for path in gin_files], bindings)
    return gin.query_parameter("ReDo.period")


def test_a_folder_parsed_before_gives_nothing_to_the_next(folders):
    first, second = (folders / name / "top.gin" for name in ("first", "second"))
    assert [period(first), period(second), period(first)] == [0, 1, 0]
    # In one call as well: the later file's base is its own.
    assert [period(first, second), period(second, first)] == [1, 0]


def test_the_working_directory_gives_nothing_that_the_files_folder_has(folders, monkeypatch):
    monkeypatch.chdir(folders / "first")
    assert period("../second/top.gin") == 1
    assert period("top.gin") == 0


def test_a_file_includes_from_the_folder_beside_its_own(folders):
    assert period(folders / "second" / "other.gin") == 0


def test_a_binding_includes_from_the_files_folder(folders):
    top = folders / "second" / "top.gin"
    assert period(top, bindings=["include 'first/base.gin'"]) == 0
    assert period(top, bindings=["ReDo.period = 7", "include 'base.gin'"]) == 1


def test_folders_added_to_gin_are_searched_last(folders, monkeypatch):
    places = [*gin.config._LOCATION_PREFIXES]
    monkeypatch.setattr(gin.config, "_LOCATION_PREFIXES", places)
    gin.add_config_file_search_path(str(folders / "first"))
    added = list(places)
    assert period(folders / "second" / "top.gin") == 1
    (folders / "second" / "base.gin").unlink()
    assert period(folders / "second" / "top.gin") == 0
    assert places == added


def test_a_search_path_is_left_as_it_was_after_a_mistake(folders):
    before = list(gin.config._LOCATION_PREFIXES)
    (folders / "first" / "base.gin").unlink()
    with pytest.raises(ConfigurationError, match=r"Unable to open file: base\.gin"):
        period(folders / "first" / "top.gin")
    assert gin.config._LOCATION_PREFIXES == before


def test_a_packed_file_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = data_folder("gin_configs")
    assert find_gin_files(["dqn.gin", "vectorized/dqn.gin"]) == [
        str(packed / "dqn.gin"),
        str(packed / "vectorized" / "dqn.gin"),
    ]
    # One that the user has there comes first; one that is asked for by path is never a packed one.
    (tmp_path / "dqn.gin").write_text("")
    assert find_gin_files(["dqn.gin"]) == [str(tmp_path / "dqn.gin")]
    with pytest.raises(ConfigurationError, match=r"--gin_files \./c51\.gin: no such file$"):
        find_gin_files(["./c51.gin"])


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("dqn_rdeo.gin", "dqn_redo.gin"),
        ("vectorised/dqn_redo.gin", "vectorized/dqn_redo.gin"),
        ("gin_configs/c51.gin", "c51.gin"),
    ],
)
def test_a_mistyped_name_is_answered_with_packed_ones(typed, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=f"no such file; did you mean {meant}( or|\\?)"):
        find_gin_files([typed])


def test_a_file_of_the_users_includes_packed_ones_after_all_others(tmp_path):
    mine = tmp_path / "mine.gin"
    mine.write_text("include 'packed.gin'\n")
    with pytest.raises(ConfigurationError, match="Unable to open file: packed.gin"):
        period(mine)
    import dormant.vectorized.agent  # noqa: F401 : what the packed file binds

    mine.write_text("include 'vectorized/dqn_redo.gin'\n")
    assert period(mine) == 1_000
    (tmp_path / "vectorized").mkdir()
    (tmp_path / "vectorized" / "dqn_redo.gin").write_text("ReDo.period = 3\n")
    assert period(mine) == 3


def test_what_nothing_reads_is_named():
    """A run that was asked for an intervention's options must not be one without it unnoticed."""

    @gin.configurable(module="dormant.tests")
    def schedule(step, end=1):
        return step / end

    @gin.configurable(module="dormant.tests")
    def learner(intervention=None, rate=None):
        return intervention, rate

    bindings = [
        "learner.intervention = @own/ReDo()",
        "learner.rate = @schedule",
        "schedule.end = 9",
        "own/ReDo.tau = 0.5",
        "ReDo.period = 7",
        "Rdo/ReDo.tau = 0.7",
        "Prune.tau = 0.5",
        "STEPS = 3",
    ]
    parse_gin([], bindings)
    learner()
    assert unread_bindings(bindings) == ["Rdo/ReDo.tau", "Prune.tau"]
