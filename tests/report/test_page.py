# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""The page in headless Chromium, opened from disk without a network."""

import contextlib

import pytest

from dormant.report.command_line import main
from tests.report.hostile_runs import CONFIG, FAILED, GAMES, HOSTILE, METHODS

LINES = """() => [...document.querySelectorAll('#charts .chart')].map(
    (place) => [place.dataset.title, place.querySelector('.plot').data
        .filter((trace) => trace.name).map((trace) => ({name: trace.name, y: [...trace.y]}))])"""

RESET = """() => {
    document.querySelectorAll('#curves input[type=checkbox]').forEach((box) => box.checked = true);
    document.getElementById('lines').disabled = false;
    for (const [id, value] of Object.entries(
        {quantity: 'return', across: 'agent', lines: 'mean', smoothing: '1'})) {
        document.getElementById(id).value = value;
    }
    document.getElementById('quantity').dispatchEvent(new Event('change'));
}"""


@pytest.fixture(scope="module")
def address(experiment_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("page") / "report"
    assert main([str(experiment_folder), f"--output={output}", "--repetitions=20"]) == 0
    return (output / "report.html").as_uri()


@contextlib.contextmanager
def without_problems(browser, address):
    """The page, opened; until it closes it may report no error and ask for nothing else."""
    problems, asked = [], []
    page = browser.new_page(viewport={"width": 1200, "height": 900}, offline=True)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text)
            if message.type in ("error", "warning") else None)  # fmt: skip
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    yield page
    title = page.title()
    page.close()
    assert problems == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [address]
    assert title == f"Replay ratio {HOSTILE}"  # no text of a run was executed


@pytest.fixture(scope="module")
def opened(browser, address):
    with without_problems(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def partial(browser, partial_folder, tmp_path_factory):
    """The page of an experiment of which most runs are missing."""
    output = tmp_path_factory.mktemp("partial") / "report"
    assert main([str(partial_folder), f"--output={output}", "--repetitions=20"]) == 0
    assert len(list((output / "tables").glob("*Runs-that-are-not-whole-10-of-12.md"))) == 1
    with without_problems(browser, (output / "report.html").as_uri()) as page:
        yield page


@pytest.fixture
def page(opened):
    """The opened page with all of its controls as they were."""
    opened.evaluate(RESET)
    return opened


def drawn(page):
    return dict(page.evaluate(LINES))


def test_curves_are_drawn_with_names_as_they_are(page):
    lines = drawn(page)
    assert set(lines) == set(GAMES)
    assert page.locator("#charts .scatterlayer .js-line").count() >= 8
    assert any("onerror" in line["name"] for line in lines["Pong"])
    assert lines["Pong"][-1]["name"].endswith("only 1 of 3 seeds")
    page.locator("#quantity").select_option("sample-efficiency")
    assert len(drawn(page)["all games"]) == 4  # every game has a whole run
    assert page.locator("img[src='x']").count() == 0


def test_methods_and_games_toggle(page):
    before = drawn(page)
    page.locator("#games input").nth(0).uncheck()
    assert set(drawn(page)) == {GAMES[1]}
    page.locator("#methods input").nth(0).uncheck()
    after = drawn(page)[GAMES[1]]
    assert len(after) == len(before[GAMES[1]]) - 2
    assert not any(line["name"].startswith("DQN, replay ratio") for line in after)
    page.locator("#settings input").nth(1).uncheck()
    (line,) = drawn(page)[GAMES[1]]
    assert "replay ratio 0.25" in line["name"]
    page.locator("#games input").nth(1).uncheck()
    assert drawn(page) == {}


def test_smoothing_changes_the_lines(page):
    before = drawn(page)["Pong"][0]["y"]
    page.locator("#smoothing").fill("3")
    after = drawn(page)["Pong"][0]["y"]
    assert len(after) == len(before)
    assert after[2] == pytest.approx(sum(before[1:4]) / 3)
    assert page.locator("#window").inner_text() == "3 points"


def test_each_quantity_draws_and_layers_can_be_chosen(page):
    names = page.locator("#quantity option").evaluate_all("all => all.map((one) => one.value)")
    assert names[:3] == ["sweep", "sample-efficiency", "profiles"] and len(names) == 12
    for name in names:
        page.locator("#quantity").select_option(name)
        assert all(lines for lines in drawn(page).values()) and drawn(page)
    page.locator("#quantity").select_option("dormant_percent")
    page.locator("#layer").select_option("Conv_0")
    page.locator("#across").select_option("gradient")
    assert drawn(page)["Pong"][0]["y"][0] == pytest.approx(3.0)  # 2 + seed, mean of 0, 1, 2


def test_each_run_shows_partial_runs_too(page):
    means = len(drawn(page)["Pong"])
    page.locator("#lines").select_option("each")
    lines = drawn(page)["Pong"]
    assert means == 4 and len(lines) == 11  # of twelve one was never started
    assert sum(line["name"].endswith("(failed)") for line in lines) == 1


def test_a_run_shows_its_curves_configuration_and_error(page):
    page.locator("#chosen").select_option(index=0)
    assert page.locator("#config").text_content() == CONFIG
    assert page.locator("#run-charts .chart").count() == 9
    last = page.locator("#chosen optgroup[label='not whole, with records'] option").last
    assert "failed" in last.text_content()
    page.locator("#chosen").select_option(value=last.get_attribute("value"))
    facts = page.locator("#facts").text_content()
    for text in (FAILED, METHODS[1], "0123456789abcdef", "jax 0.10.2", HOSTILE):
        assert text in facts


def test_missing_runs_and_the_command_are_shown(page):
    absent = page.locator("#absent").text_content()
    assert "not started" in absent and "failed" in absent
    assert page.locator("#absent tbody tr").count() == 2
    for section in ("reproduce", "absent"):
        command = page.locator(f"#{section} pre").text_content()
        assert command == f"python -m dormant.reproduce fig10 --scale=smoke {HOSTILE}"


def test_swatches_differ_without_their_colour(page):
    for parent, element, attribute in (
        ("methods", "path", "d"),
        ("settings", "line", "stroke-dasharray"),
    ):
        looks = page.locator(f"#{parent} .swatch {element}").evaluate_all(
            f"all => all.map((one) => one.getAttribute('{attribute}'))"
        )
        assert len(looks) == 2 == len(set(looks))
    shapes = page.evaluate("data.symbols.map((name) => SHAPES[name])")
    dashes = page.evaluate("data.dashes.map((name) => DASHES[name])")
    assert None not in (*shapes, *dashes)
    assert (len(set(shapes)), len(set(dashes))) == (7, 4)


def test_an_iqm_has_no_games_to_choose_and_without_methods_a_message(page):
    page.locator("#quantity").select_option("sweep")
    games = page.locator("#games input")
    assert [games.nth(at).is_disabled() for at in range(2)] == [True, True]
    assert page.locator("#games label").first.get_attribute("title") == "it is of all games"
    assert page.locator("#settings input").first.is_disabled()
    for box in page.locator("#methods input").all():
        box.uncheck()
    assert page.locator("#charts").text_content() == "No method is chosen."
    page.locator("#quantity").select_option("return")
    assert page.locator("#charts").text_content() == "No method is chosen."
    assert games.first.is_enabled() and page.locator("#settings input").first.is_enabled()


def test_bands_lie_under_the_lines_and_do_not_hide_many(page):
    modes = """(many) => legible([...Array(many)].flatMap(
        () => [{mode: 'none'}, {mode: 'lines', name: 'x'}]))
        .map((trace) => trace.mode)"""
    assert page.evaluate(modes, 8) == ["none"] * 8 + ["lines"] * 8
    assert page.evaluate(modes, 9) == ["lines"] * 9


def test_bands_are_named_and_are_the_tables_intervals(page, address):
    assert "Bands: 95 % stratified bootstrap intervals" in page.locator("#meaning").text_content()
    page.locator("#quantity").select_option("sample-efficiency")
    assert "Bands: 95 % stratified bootstrap" in page.locator("#meaning").text_content()
    page.locator("#quantity").select_option("sweep")
    assert "Bars: 95 % stratified bootstrap" in page.locator("#meaning").text_content()
    trace = page.evaluate("""() => { const trace = document.querySelector('#charts .plot').data[0];
        return [trace.y[0], trace.error_y.arrayminus[0], trace.error_y.array[0]]; }""")
    shown = f"{trace[0]:.3f} [{trace[0] - trace[1]:.3f}, {trace[0] + trace[2]:.3f}]"
    assert shown in page.locator("#summary table td").nth(1).text_content()


def test_no_more_than_eight_lines_are_chosen_at_first(page):
    boxes = page.evaluate("""(sizes) => {
        const before = [data, element('quantity').innerHTML];
        const named = (name, size) => [...Array(size).keys()].map((at) => (
            {name: name + at, look: ['red', 'solid', 'circle'], empty: false}));
        const [methods, settings] = sizes;
        data = {...data, methods: named('m', methods), settings: named('s', settings), games: []};
        const chosenOf = (name) => [...chosen(name)];
        for (const name of ['methods', 'settings', 'games']) element(name).replaceChildren();
        fillControls();
        const found = ['methods', 'settings'].map(chosenOf);
        data = before[0];
        for (const name of ['methods', 'settings', 'games']) element(name).replaceChildren();
        fillControls();
        element('quantity').innerHTML = before[1];
        return found;
    }""", [4, 4])  # fmt: skip
    assert boxes == [[0, 1, 2, 3], [0, 3]]


def test_axes_end_where_the_data_do_and_the_toolbar_is_off_the_titles(page):
    ranges = page.locator("#charts .plot").evaluate_all(
        "all => all.map((one) => one._fullLayout.xaxis.range)"
    )
    assert ranges == [[1000, 5000]] * 2
    assert page.locator("#charts figcaption").first.text_content() == "Asterix"
    over = page.evaluate("""() => { const place = document.querySelector('#charts .chart');
        return place.querySelector('.modebar').getBoundingClientRect().top
            - place.querySelector('figcaption').getBoundingClientRect().bottom; }""")
    assert over >= 0


def test_missing_runs_are_grouped_and_come_after_the_curves(partial):
    tops = partial.evaluate("""['curves', 'tables', 'run', 'absent'].map(
        (id) => document.getElementById(id).getBoundingClientRect().top)""")
    assert tops == sorted(tops)
    assert "Runs that are not whole" not in partial.locator("body").text_content()
    rows = partial.locator("#absent details tbody tr").all()
    seeds = [row.locator("td").nth(3).text_content() for row in rows]
    assert seeds == ["2", "0-2", "0-2", "0-2"]
    assert FAILED in rows[0].text_content() and "not started" in rows[1].text_content()


def test_what_has_no_data_cannot_be_chosen(partial):
    for parent in ("methods", "games"):
        boxes = partial.locator(f"#{parent} input")
        states = [(boxes.nth(at).is_enabled(), boxes.nth(at).is_checked()) for at in range(2)]
        assert states == [(True, True), (False, False)]


def test_runs_without_records_show_what_is_known_of_them(partial):
    group = partial.locator("#chosen optgroup[label='without records'] option")
    assert group.count() == 10
    partial.locator("#chosen").select_option(value=group.first.get_attribute("value"))
    facts = partial.locator("#facts").text_content()
    for text in ("failed", FAILED, "logs/0_1__Asterix.log", "jax 0.10.2", HOSTILE):
        assert text in facts
    assert partial.locator("#config").text_content() == CONFIG
    assert partial.locator("#run-charts .chart").count() == 0
    partial.locator("#chosen").select_option(value=group.last.get_attribute("value"))
    facts = partial.locator("#facts").text_content()
    assert "not started" in facts and "--gin_bindings" in facts and "logs/" not in facts
    assert partial.locator("#config").text_content() == "unknown"


def test_every_chart_fits_its_place(page):
    page.locator("#chosen").select_option(index=1)
    outside = page.evaluate("""() => [...document.querySelectorAll('.chart')].filter((place) =>
        place.querySelector('.main-svg').getBoundingClientRect().width > place.clientWidth + 1
    ).map((place) => place.dataset.title)""")
    assert outside == []


def test_it_fits_a_phone_and_follows_the_dark_scheme(page):
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.wait_for_function("""() => {
        const text = document.querySelector('#charts .plot .xtick text');
        return text && getComputedStyle(text).fill === 'rgb(232, 232, 228)';
    }""")  # light on dark
