"""The report in a browser: what it draws, what it answers to a pick, what it saves, and how its work grows."""

from pathlib import Path

import comparisons
import numpy as np
import pytest

from platonic_jax import _html, charts, plots, report
from platonic_jax.analyses import Estimate, arrangement

FE2O3 = 'Fe2O3 "x", 1'  # To be quoted in CSV.

CHARTS = {
    "dots": charts.dots(
        "Dots.",
        ["first <row>", "second row"],
        [
            charts.entries("7net-0", [Estimate(0.7, 0.6, 0.75), Estimate(0.8, 0.75, 0.9)]),
            charts.entries("control", [Estimate(0.4, 0.3, 0.5), None], style="random"),
            charts.entries("null", [0.1, 0.2], style="null"),
        ],
        axis="similarity",
        marks={"chance": 0.5},
    ),
    "lines": charts.lines(
        "Lines.",
        [
            charts.curve(
                "7net-0",
                [10, 100, 1000],
                [0.4, None, 0.8],
                low=[0.3, None, 0.7],
                high=[0.5, None, 0.9],
                spread=[0.1, None, 0.2],
                strands=[[0.3, 0.5, 0.7]],
                markers=True,
            ),
            charts.curve("stable from here", [1000], [0.8], style="ring", markers=True),
        ],
        x="anchors",
        y="agreement",
        log_x=True,
        marks=[{"x": 100, "name": "paper"}, {"y": 0.5}],
    ),
    "points": charts.points(
        "Points.",
        [charts.scattered("7net-0", [Estimate(1.0, 0.5, 1.5), 2.0], [1.0, 3.0], text=["mp-1", "mp-2"])],
        x="known",
        y="predicted",
        log_y=True,
        diagonal=True,
    ),
    "matrix": charts.matrix("Matrix.", ["a", "b (long)"], [[0.1, None, 0.9], [0.2, 0.3, 0.4]], columns=["x", "y", "z"]),
}


@pytest.fixture(scope="module")
def comparison():
    formulas = ["NaCl", FE2O3, *["MgO"] * 18]
    return comparisons.make(formulas=formulas)


@pytest.fixture(scope="module")
def path(comparison, tmp_path_factory):
    """A page with a comparison and charts."""
    made = report.part(comparison)
    places = "".join(f'<div data-figure="chart" data-chart="{name}" style="height:300px"></div>' for name in CHARTS)
    drawn = report.Part(
        name="charts",
        title="Charts",
        intro="",
        verdict=["Four charts."],
        sections={"charts-all": ("Charts", places)},
        charts=CHARTS,
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report.page([made, drawn], title="Two results"), encoding="utf-8")
    return path


def visit(browser, path, *, hash="", width=1200, touch=False):
    """A page, with what it said on the console and what it asked for."""
    page = browser.new_page(viewport={"width": width, "height": 900}, has_touch=touch)
    page.set_default_timeout(60_000)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri() + hash)
    return page, said, asked


def draw_all(page):
    """A figure is drawn when it comes near the screen."""
    page.evaluate(
        """async () => {
          for (const node of document.querySelectorAll("[data-figure]")) {
            node.scrollIntoView();
            while (!node.classList.contains("drawn")) await new Promise((next) => setTimeout(next, 20));
          }
        }"""
    )


@pytest.fixture(scope="module")
def seen(browser, path):
    page, said, asked = visit(browser, path)
    draw_all(page)
    yield page, said, asked
    page.close()


@pytest.fixture
def page(seen):
    page = seen[0]
    page.evaluate("platonic.pick(null); scrollTo(0, 0)")
    return page


def picked(page):
    return page.evaluate("platonic.picked()")


def told(page):
    return page.locator("[role=status].unseen").text_content()


def marked(page):
    """How many atoms are bright in each map, once all are painted."""
    number = len((picked(page) or {"rows": []})["rows"])
    page.wait_for_function(
        "n => [...document.querySelectorAll('[data-figure=map]')].every((node) => node.dataset.picked === String(n))",
        arg=number,
    )
    return number


def place(page, index, point):
    """Where on the screen a point of a map lies, the map being there."""
    return page.evaluate(
        """async ([index, [x, y]]) => {
          const node = document.querySelectorAll("[data-figure=map]")[index];
          node.scrollIntoView({ block: "center" });
          for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
          const { xaxis, yaxis } = node._fullLayout;
          const box = node.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)];
        }""",
        [index, [float(x) for x in point]],
    )


def bright_in_map(page, comparison, index):
    """The atoms whose own colour is seen where they lie."""
    points = comparison.maps[index // 2][("raw", "shared")[index % 2]]
    inks = [plots.GROUPS[group].colour for group in plots.element_groups(comparison.species[comparison.rows])]
    found = page.evaluate(
        """([index, points]) => {
          const node = document.querySelectorAll("[data-figure=map]")[index];
          const context = node.querySelector("canvas").getContext("2d");
          const { xaxis, yaxis } = node._fullLayout;
          return points.map(([x, y]) => [...context.getImageData(xaxis.l2p(x), yaxis.l2p(y), 1, 1).data].slice(0, 3));
        }""",
        [index, points.tolist()],
    )
    return {row for row, (ink, seen) in enumerate(zip(inks, found, strict=True)) if rgb(ink) == seen}


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


# ---- drawing -----------------------------------------------------------------------------------------------------


def test_every_figure_is_drawn_without_an_error_or_a_request(seen):
    page, said, asked = seen
    assert page.locator("[data-figure].drawn").count() == 8 + 3 + 3 + 4
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_page_without_a_comparison_is_drawn_too(browser, tmp_path):
    part = report.Part(
        name="charts",
        title="One chart",
        intro="",
        verdict=["Said."],
        sections={"all": ("All", '<div data-figure="chart" data-chart="dots" style="height:300px"></div>')},
        charts={"dots": CHARTS["dots"]},
    )
    (tmp_path / "report.html").write_text(report.page([part]), encoding="utf-8")
    page, said, _ = visit(browser, tmp_path / "report.html")
    page.wait_for_selector(".drawn")
    assert said == []
    page.close()


def test_links_arrive_and_open_what_hides_their_target(page):
    page.click("nav a[href='#anchors']")
    assert abs(page.evaluate("document.getElementById('anchors').getBoundingClientRect().top")) < 5
    details = page.locator("#numbers-mutual_knn")
    assert details.get_attribute("open") is None
    page.click("a[href='#numbers-mutual_knn']")
    page.wait_for_function("() => document.getElementById('numbers-mutual_knn').open")


def hover_text(page):
    page.wait_for_selector(".hoverlayer .hovertext")
    return page.locator(".hoverlayer .hovertext").first.text_content()


def test_hover_on_a_matrix_tells_value_interval_and_nulls(page, comparison):
    order = arrangement.leaf_order(comparison.measures["procrustes"])
    i, j = order.index(0), order.index(2)  # 7net-0 and chgnet-r2scan
    x, y = page.evaluate(
        """([i, j]) => {
          const node = document.querySelector("[data-name=matrix]");
          node.scrollIntoView({ block: "center" });
          const { xaxis, yaxis } = node._fullLayout;
          const box = node.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.l2p(5 + 10 * j), box.top + yaxis._offset + yaxis.l2p(5 + 10 * i)];
        }""",
        [i, j],
    )
    page.mouse.move(x + 3, y + 3)
    page.mouse.move(x, y)
    text = hover_text(page)
    for said in (
        "value 0.900",
        "0.880 to 0.930",
        "structures exchanged 0.050, effect 0.850, p = 0.005",
        "within element 0.400, effect 0.500, p = 0.010",
    ):
        assert said in text


def test_hover_on_a_chart_tells_value_and_interval(page):
    figure = page.locator("[data-chart=dots]")
    figure.scroll_into_view_if_needed()
    figure.locator(".point").first.hover(force=True)
    assert hover_text(page) == "first <row>7net-0: 0.700, 95 % interval 0.600 to 0.750"


def test_curves_break_where_a_value_is_missing_and_bands_with_them(page):
    band, strand, curve, ring = page.evaluate(
        "document.querySelector('[data-chart=lines]').data.map(({ x, y, mode }) => ({ x, y, mode }))"
    )
    assert curve["y"] == [0.4, None, 0.8]
    np.testing.assert_allclose([y for y in band["y"] if y is not None], [0.5, 0.3, 1.0, 0.6])
    assert (strand["y"], ring["mode"]) == ([0.3, 0.5, 0.7], "markers")


@pytest.mark.parametrize("kind", ["dots", "lines", "points"])
def test_the_page_and_the_figures_for_papers_show_the_same_numbers(page, kind):
    fields = "({ name, x, y, error_x, error_y }) => ({ name, x, y, error_x, error_y })"
    traces = page.evaluate(f"document.querySelector('[data-chart={kind}]').data.map({fields})")
    ax = plots.draw(CHARTS[kind])
    segments = [
        segment for lines in ax.collections if hasattr(lines, "get_segments") for segment in lines.get_segments()
    ]
    for series in CHARTS[kind]["series"]:
        (trace,) = (trace for trace in traces if trace.get("name") == series["name"])
        at = np.array([trace["x"], trace["y"]], float)
        assert any(np.array_equal(np.array(line.get_data(), float), at, equal_nan=True) for line in ax.lines)
        for axis in (0, 1):
            error = trace.get(f"error_{'xy'[axis]}") or {"array": [], "arrayminus": []}
            for i, (up, down) in enumerate(zip(error["array"], error["arrayminus"], strict=True)):
                if up or down:
                    ends = np.stack([at[:, i], at[:, i]])
                    ends[:, axis] += [-down, up]
                    assert any(np.allclose(ends, segment) for segment in segments if len(segment) == 2), (series, i)


def test_a_matrix_has_the_same_numbers_on_the_page_and_in_figures(page):
    map_, values = page.evaluate(
        "document.querySelector('[data-chart=matrix]').data.map(({ z, text }) => ({ z, text }))"
    )
    assert map_["z"] == CHARTS["matrix"]["value"]
    assert values["text"] == ["0.10", "–", "0.90", "0.20", "0.30", "0.40"]
    written = [text.get_text() for text in plots.draw(CHARTS["matrix"]).texts]
    assert written == [text for text in values["text"] if text != "–"]


# ---- picking -----------------------------------------------------------------------------------------------------


def test_an_element_is_bright_in_every_map(page, comparison):
    page.locator("#elements [data-pick='element:Fe']").click()
    rows = np.flatnonzero(comparison.species == 26).tolist()
    assert picked(page)["rows"] == rows
    assert marked(page) == len(rows) == 10
    assert told(page) == "Picked: Fe, 10 atoms in 10 structures"
    for index in range(8):
        seen = bright_in_map(page, comparison, index)
        # An atom may lie under another of the element, never under one of another.
        assert seen <= set(rows)
        assert len(seen) >= 9
    assert page.locator(".elements [data-pick='element:Fe']").get_attribute("aria-pressed") == "true"
    page.locator("#elements [data-pick='element:Fe']").click()
    assert picked(page) is None
    assert marked(page) == 0


def test_a_group_is_picked_by_its_key_and_hidden_by_its_eye(page, comparison):
    button = page.locator(".group", has_text="transition metal").first
    button.click()
    assert picked(page)["rows"] == np.flatnonzero(comparison.species == 26).tolist()
    page.locator(".clear").click()
    assert picked(page) is None
    eye = page.locator("[data-hide='2']")
    eye.click()
    assert eye.get_attribute("aria-pressed") == "true"
    page.wait_for_timeout(500)
    assert bright_in_map(page, comparison, 0) == set()  # Dots are opaque only where they are picked.
    before = page.evaluate("document.querySelector('[data-figure=map] canvas').toDataURL()")
    eye.click()
    page.wait_for_function(
        "before => document.querySelector('[data-figure=map] canvas').toDataURL() !== before", arg=before
    )


def test_a_structure_is_found_by_keyboard(page):
    heard = page.evaluate_handle("[]")
    page.evaluate("h => document.addEventListener('platonic:pick', ({ detail }) => h.push(detail))", heard)
    page.focus("#find")
    page.keyboard.type("mp-1")
    options = page.locator("#found [role=option]")
    assert options.first.text_content() == f"mp-1 {FE2O3}"
    assert page.locator("#find").get_attribute("aria-activedescendant") == "found-0"
    page.keyboard.press("ArrowDown")
    assert options.nth(1).get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert picked(page) == {"word": "structure:mp-1", "rows": [5, 6, 7, 8, 9]}
    assert heard.json_value() == [{"structure": 1, "row": None}]
    assert marked(page) == 5
    page.fill("#find", "fe2o3")
    page.keyboard.press("Enter")
    assert picked(page)["word"] == "structure:mp-1"
    page.fill("#find", "nothing")
    assert "nothing of this name" in page.locator("#found").text_content()
    page.fill("#find", "")


def test_an_atom_is_kept_with_its_neighbours(page, comparison):
    row, model = 42, 1
    x, y = place(page, 2 * model, comparison.maps[model]["raw"][row])
    page.mouse.move(x, y)
    page.wait_for_selector("#card:visible")
    assert "atom 2" in page.locator("#card").text_content()
    page.mouse.down()
    page.mouse.up()
    neighbours = comparison.neighbours[model][row].tolist()
    assert picked(page) == {"word": "atom:2:1:mp-8", "rows": [row, *neighbours]}
    assert marked(page) == 6
    for index in range(8):
        assert row in bright_in_map(page, comparison, index)
    chips = page.locator("#picked ol [data-pick]")
    first = neighbours[0]
    assert chips.count() == 5
    assert chips.first.text_content().endswith(f"mp-{first // 5} #{first % 5}")
    page.select_option("#picked select", "0")
    assert picked(page)["rows"] == [row, *comparison.neighbours[0][row].tolist()]
    page.locator("#picked [data-pick='structure:mp-8']").click()
    assert picked(page)["rows"] == [40, 41, 42, 43, 44]
    page.keyboard.press("Escape")
    assert picked(page) is None
    assert told(page) == "Nothing is picked"


def test_others_can_tell_a_pick(page):
    page.evaluate("document.dispatchEvent(new CustomEvent('platonic:pick', { detail: { structure: 3, row: 17 } }))")
    assert picked(page)["word"] == "atom:2:0:mp-3"


def test_a_pick_stands_in_the_address(browser, page, path):
    page.evaluate("platonic.pick('structure:mp-7')")
    hash = page.evaluate("location.hash")
    assert hash == "#pick=structure%3Amp-7" or hash.endswith("&pick=structure%3Amp-7")
    page.evaluate("location.hash = 'anchors'")
    page.wait_for_function("() => location.hash === '#anchors&pick=structure%3Amp-7'")
    other, said, _ = visit(browser, path, hash="#elements&pick=structure%3Amp-7")
    other.wait_for_function("() => platonic.picked?.()?.rows.length === 5")
    other.wait_for_function("() => Math.abs(document.getElementById('elements').getBoundingClientRect().top) < 5")
    assert said == []
    other.close()
    page.evaluate("platonic.pick('structure:unheard of')")
    assert picked(page) is None
    assert page.evaluate("location.hash") == "#anchors"


def test_maps_are_coloured_by_a_value(page, comparison):
    page.select_option("#colour-by", "neighbours in common")
    low, high = (_html.number(float(edge(comparison.agreement))) for edge in (np.min, np.max))
    assert page.locator("#scale").text_content().split() == [low, high]
    page.evaluate("document.querySelector('[data-figure=map]').scrollIntoView()")
    page.evaluate("platonic.pick('element:Fe')")
    marked(page)
    assert bright_in_map(page, comparison, 0) == set()
    page.select_option("#colour-by", "")
    assert page.locator("#scale").is_hidden()


def test_the_keyboard_alone_goes_everywhere(page, comparison):
    figure = page.locator("[data-figure=map]").first
    figure.focus()
    page.wait_for_timeout(200)  # A page that scrolls forgets what is pointed at.
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#card:visible")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert picked(page)["word"].startswith("atom:")
    page.keyboard.press("Escape")
    assert picked(page) is None
    for name in ("Save this figure as SVG", "Save this table as CSV"):
        button = page.locator(f"[aria-label='{name}']").first
        button.focus()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.wait_for_function("() => getComputedStyle(document.activeElement).opacity === '1'")


# ---- tables and files ----------------------------------------------------------------------------------------------


def column(page, index):
    return page.locator(f"#elements tbody tr td:nth-child({index})").all_text_contents()


def test_tables_are_sorted_by_their_heads(page):
    table = page.locator("#elements table")
    heads = table.locator("th")
    assert heads.nth(0).get_attribute("aria-sort") is None
    heads.nth(0).locator("button").focus()
    page.keyboard.press("Enter")
    assert heads.nth(0).get_attribute("aria-sort") == "ascending"
    assert column(page, 1) == sorted(column(page, 1))
    heads.nth(5).locator("button").click()
    heads.nth(5).locator("button").click()
    assert heads.nth(5).get_attribute("aria-sort") == "descending"
    assert heads.nth(0).get_attribute("aria-sort") is None
    values = [float(text) for text in column(page, 6)]
    assert values == sorted(values, reverse=True)


def test_numbers_sort_as_numbers_and_dashes_come_last(browser, tmp_path):
    cells = ["1,200 [1,100 to 1,300]", "–", "−3.5 %", "2e-05", "<0.01"]
    rows = "".join(f"<tr><td>{cell}</td></tr>" for cell in cells)
    table = f"<table><thead><tr><th>x</th></tr></thead><tbody>{rows}</tbody></table>"
    part = report.Part(name="t", title="T", intro="", verdict=[], sections={"t-all": ("All", table)}, charts={})
    (tmp_path / "report.html").write_text(report.page([part]), encoding="utf-8")
    page, said, _ = visit(browser, tmp_path / "report.html")
    order = ["−3.5 %", "2e-05", "<0.01", "1,200 [1,100 to 1,300]"]
    for expected in (order, order[::-1]):
        page.click(".sort")
        assert page.locator("td").all_text_contents() == [*expected, "–"]
    assert said == []
    page.close()


def saved(page, button):
    with page.expect_download() as download:
        button.evaluate("button => button.click()")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_table_is_saved_as_csv(page):
    name, content = saved(page, page.locator("#anchors [aria-label='Save this table as CSV']"))
    assert name == "anchors-all-3-anchors.csv"
    quoted = '"Fe2O3 ""x"", 1"'
    assert content.decode().splitlines() == [
        "element,structure,formula,atom",
        "Mg,mp-0,NaCl,1",
        f"O,mp-1,{quoted},2",
        "Fe,mp-2,MgO,2",
    ]
    _, numbers = saved(page, page.locator("#numbers-procrustes [aria-label='Save this table as CSV']"))
    assert "7net-0 – chgnet-r2scan,0.900,0.880 to 0.930,0.050,0.850,0.005,0.400,0.500,0.010" in numbers.decode()


@pytest.mark.parametrize(
    ("figure", "name"), [("chart", "measures-procrustes-similarity-matrix"), ("map", "maps-7net-0-raw")]
)
def test_figures_are_saved_on_white(page, figure, name):
    tools = page.locator(f"[data-figure={figure}] + .tools").first
    found, content = saved(page, tools.locator("[aria-label*=SVG]"))
    assert found == f"{name}.svg"
    assert content.startswith(b"<svg")
    assert b"rgb(255, 255, 255)" in content
    if figure == "map":
        assert content.count(b'class="point"') == 100
    found, content = saved(page, tools.locator("[aria-label*=PNG]"))
    assert found == f"{name}.png"
    assert content.startswith(b"\x89PNG")


# ---- screens -----------------------------------------------------------------------------------------------------


def test_the_page_fits_the_screen_in_light_and_dark(browser, path):
    page, said, _ = visit(browser, path, width=390, touch=True, hash="#pick=atom:2:0:mp-3")
    page.wait_for_selector(".drawn", state="attached")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for width in (390, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        draw_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    light, dark = "rgb(251, 251, 249)", "rgb(20, 23, 26)"
    becomes = lambda shade: page.wait_for_function(
        "shade => getComputedStyle(document.body).backgroundColor === shade", arg=shade
    )
    becomes(light)
    page.emulate_media(color_scheme="dark")
    becomes(dark)
    page.select_option("#theme", "light")
    becomes(light)
    page.reload()
    becomes(light)
    page.select_option("#theme", "dark")
    becomes(dark)
    page.emulate_media(media="print")
    becomes(light)
    assert said == []
    page.close()


def test_a_tap_keeps_an_atom(browser, path, comparison):
    page, _, _ = visit(browser, path, width=390, touch=True)
    page.evaluate("document.querySelectorAll('[data-figure=map]')[1].scrollIntoView({ block: 'center' })")
    page.wait_for_function("() => document.querySelectorAll('[data-figure=map]')[1].classList.contains('drawn')")
    page.touchscreen.tap(*place(page, 1, comparison.maps[0]["shared"][10]))
    assert picked(page)["rows"][0] == 10
    page.locator(".clear").tap()
    assert picked(page) is None
    page.close()


# ---- growth -------------------------------------------------------------------------------------------------------


def work(browser, path):
    """Seconds for which the page's own thread was at work: to open it, and to answer picks; others' are not in them."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    watch = page.context.new_cdp_session(page)
    watch.send("Performance.enable", {"timeDomain": "threadTicks"})
    seconds = lambda: {m["name"]: m["value"] for m in watch.send("Performance.getMetrics")["metrics"]}["ThreadTime"]
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector(".drawn", state="attached")
    opened = seconds()
    assert page.locator("#verdict").is_visible()
    assert page.evaluate("performance.getEntriesByName('platonic:first-figure').length") == 1
    page.evaluate("document.querySelector('[data-figure=map]').scrollIntoView()")
    page.wait_for_function("() => document.querySelectorAll('[data-figure=map].drawn').length >= 4")
    page.wait_for_timeout(300)
    before = seconds()
    for word in ("element:Fe", "group:2", "structure:mp-7", "atom:2:0:mp-19"):
        page.evaluate("async (word) => { platonic.pick(word); await new Promise(requestAnimationFrame); }", word)
    answered = seconds() - before
    page.close()
    return opened, answered


def test_work_grows_no_faster_than_the_atoms(browser, tmp_path, monkeypatch):
    """Seven models of 2,000 and of 20,000 atoms; twice what is proportional is left for noise."""
    monkeypatch.setattr(comparisons, "PROCRUSTES", np.full((7, 7), 0.8) + 0.2 * np.eye(7))
    found = []
    for num_structures in (400, 4000):
        models = [f"model-{i}" for i in range(7)]
        comparison = comparisons.make(models=models, kinds=["model"] * 7, num_structures=num_structures)
        path = tmp_path / f"{num_structures}.html"
        path.write_text(report.page([report.part(comparison)]), encoding="utf-8")
        found.append(work(browser, path))
    assert path.stat().st_size < 15e6
    (opened, answered), (opened_large, answered_large) = found
    assert opened_large < 20 * opened
    assert answered_large < 20 * answered


def test_a_script_that_is_not_of_the_page_is_not_run(browser, path):
    page, said, _ = visit(browser, path)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.stranger = 1\">')"
    )
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.stranger = 1";
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.stranger === undefined")
    assert any("Content Security Policy" in line for line in said)
    page.close()
