"""Which file an `include` names: one beside the file that names it, whatever else was parsed."""

import gin
import pytest

from dormant.runs.gin_files import parse_gin
from dormant.runs.options import ConfigurationError


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
