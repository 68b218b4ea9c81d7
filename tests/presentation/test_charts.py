"""Charts show the numbers of their results: a wrong one would be drawn in another place."""

import functools
import inspect
import itertools
import re
from pathlib import Path

import comparisons
import numpy as np
import pytest
from eyes import EYES, lightness_and_hue
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from platonic_jax import analyses, charts, plots, report
from platonic_jax.analyses import (
    ALL,
    Against,
    Agreement,
    AtomDrift,
    Curve,
    EnergyChange,
    Estimate,
    Groups,
    ImageDistances,
    QuerySet,
    Ranking,
    Similarities,
    Sweep,
    Training,
    Transfer,
)
from platonic_jax.analyses._readout_transfer import FITTED
from platonic_jax.anchors import Anchors
from platonic_jax.diagnostics import Bands, Mesh
from platonic_jax.plots._style import COLOURS, marks_of

entry = functools.partial(Estimate.around, half=0.1)
NONE = Groups(0, 0, 0.0)


def series(chart):
    """By name, what a series holds."""
    return {one["name"]: one for one in chart["series"]}


def points(ax):
    """By label, where its marks stand."""
    return {line.get_label(): np.array(line.get_data(), dtype=float) for line in ax.lines}


def bars(ax):
    """Where intervals begin and end, of every series, from the first row to the last."""
    drawn = [collection for collection in ax.collections if isinstance(collection, LineCollection)]
    return [np.array(collection.get_segments())[:, :, 0] for collection in drawn]


def names(ticks):
    return [label.get_text() for label in ticks]


def typicality():
    def judged(auroc, p_value):
        blank = np.zeros(2)
        against = {
            model: Against(blank, blank, blank, np.array(p_value), 2, 0, entry(0.1), entry(auroc + shift))
            for model, shift in (("a", 0.0), ("b", 0.01), (ALL, 0.02))
        }
        index = np.zeros(2, np.int32)
        return QuerySet(["s"], index, index, index, {"relaxed": against}, ["none"], {"relaxed": {}}, {}, {"relaxed": 0})

    return analyses.Typicality(
        models=["a", "b"],
        references=["relaxed"],
        queries={"near": judged(0.5, [0.3, 0.6]), "far": judged(0.9, [0.02, np.nan, 0.01])},
        held_out={"relaxed": judged(0.5, [0.25, 0.75])},
        uniform={},
        settings={"level": 0.05},
        provenance={},
    )


def test_a_set_stands_where_its_auroc_is_the_farthest_on_top():
    chart, _ = plots.charts(typicality())
    ax = plots.draw(chart)
    assert names(ax.get_yticklabels()) == ["far", "near"]
    drawn = points(ax)
    np.testing.assert_allclose(drawn["a"], [[0.9, 0.5], [-0.2, 0.8]])
    np.testing.assert_allclose(drawn[ALL], [[0.92, 0.52], [0.2, 1.2]])
    np.testing.assert_allclose(bars(ax)[1], [[0.81, 1.01], [0.41, 0.61]])
    assert list(drawn["chance level"][0]) == [0.5, 0.5]


def test_shares_of_p_values_rise_by_structure_and_what_has_none_is_left_out():
    of = series(plots.charts(typicality())[1])
    share_at = lambda name, p: of[name]["y"][np.searchsorted(of[name]["x"], p)]
    assert [share_at("far", p) for p in (0.005, 0.015, 0.03)] == [0.0, 0.5, 1.0]
    assert [share_at("held out", p) for p in (0.2, 0.5, 0.8)] == [0.0, 0.5, 1.0]


def error_ranking():
    ranking = Ranking(*[entry(0.5)] * 3, coverage=np.array([0.5, 1.0]), risk=np.array([0.1, 0.3]))
    scores = {name: {"atoms": ranking} for name in ("typicality", "force size")}
    errors = {"a": {"force": {"mean": 0.3}}}
    return analyses.ErrorRanking(["a"], errors, {"a": scores}, {}, ["force size"], {}, 5, 2, {}, {})


def test_what_is_kept_has_the_error_of_the_curve_and_baselines_are_broken_lines():
    ax = plots.draw(plots.charts(error_ranking())[1])
    np.testing.assert_allclose(points(ax)["typicality"], [[0.5, 1.0], [0.1, 0.3]])
    styles = {line.get_label(): line.get_linestyle() for line in ax.lines}
    assert (styles["typicality"], styles["force size (baseline)"]) == ("-", "--")
    assert list(points(ax)["all atoms"][1]) == [0.3, 0.3]


def drifted(scale):
    moved = {"Cu": (0.9, True), "Au": (0.1, False), "Ag": (0.2, None)}
    one = lambda value, seen: AtomDrift(
        1, 1, entry(scale * value), entry(1.0), entry(1.0), {"displacement": {"noise": 0.01}}, False, seen=seen
    )
    elements = {of: one(*figures) for of, figures in moved.items()}
    energy = {"change": EnergyChange({"Cu": 1.0, "Au": 0.005, "Ag": 0.05}, None)}
    return analyses.Drift("before", "after", one(0.5, None), None, elements, {}, {}, energy, 1.0, {}, None, {}, {})


def test_every_unseen_element_is_a_point_and_the_named_one_is_named():
    runs = {"naive": drifted(1.0), "replay": drifted(0.5)}
    ax = plots.draw(charts.overlay({name: plots.charts(run)[1] for name, run in runs.items()}) | {"named": ["Au"]})
    drawn = points(ax)
    np.testing.assert_allclose(drawn["naive"], [[0.1, 0.2], [5, 50]])
    np.testing.assert_allclose(drawn["replay"][0], [0.05, 0.1])
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("Au", (0.1, 5.0)), ("Au", (0.05, 5.0))]


def analogies():
    figures = {"hit_1": entry(0.7), "hit_10": entry(0.9), "median_rank": entry(3.0), "phase": entry(0.6)}
    found = {"a": figures, "composition": {**figures, "hit_1": entry(0.9)}}
    chance = {"hit_1": 0.01, "hit_10": 0.1, "median_rank": 50.0, "phase": 0.5}
    kinds = {"a": "model", "composition": "composition"}
    return analyses.Analogies(["a"], found, kinds, chance, {}, NONE, {}, {})


def test_answers_stand_beside_chance():
    chart = plots.charts(analogies())[0]
    assert chart["rows"] == ["a", "composition"]
    assert [one["value"] for one in chart["series"]] == [[0.7, None], [None, 0.9]]
    assert [one["lane"] for one in chart["series"]] == [0, 0]
    assert chart["lines"] == [{"x": 0.01, "name": "chance"}]


def polymorphs(*, copies=True):
    figures = {"identity": entry(0.8)} | ({"separation": entry(0.6)} if copies else {})
    within = {"a": {"mean": figures, "cloud": {name: entry(0.7) for name in figures}}}
    return analyses.Polymorphs(["a"], within, {}, {"identity": 0.1, "separation": 0.5}, {}, {}, {})


def test_phases_are_told_by_each_representation():
    of = series(plots.charts(polymorphs())[1])
    assert (of["mean"]["value"], of["cloud"]["value"]) == ([0.6], [0.7])
    assert (of["mean"]["low"], of["mean"]["high"]) == ([0.5], [0.7])
    assert len(plots.charts(polymorphs(copies=False))) == 1


def reactions(energies, *, number=2):
    known = np.isfinite(energies).any()
    found = {"a": entry(0.2)} if known else {}
    predicted = {"a": np.array([1.5, 2.0])} if known else {}
    equations = [f"x{i} -> y" for i in range(number)]
    norms = {"a": np.linspace(0.4, 0.2, number)}
    return analyses.Reactions(["a"], equations, np.array(energies), norms, predicted, found, 0, None, {}, [], {}, {})


def test_norms_of_reactions_stand_beside_energies_or_in_order():
    _, predicted, norms = plots.charts(reactions([-2.0, np.nan]))
    assert (predicted["series"][0]["x"], predicted["series"][0]["y"]) == ([-2.0], [1.5])
    assert (norms["series"][0]["x"], norms["series"][0]["y"], norms["series"][0]["text"]) == ([2.0], [0.4], ["x0 -> y"])
    (few,) = plots.charts(reactions([np.nan, np.nan]))
    assert few["series"][0]["value"] == [0.4, 0.2]
    (many,) = plots.charts(reactions([np.nan, np.nan], number=41))
    assert (many["kind"], many["series"][0]["y"][:2]) == ("lines", [0.2, 0.205])


def readout_transfer(source="a", target="b", *, readout=True, scale=1.0):
    def figures(unexplained, milli):
        energies = dict.fromkeys(("mae", "median", "rmse"), entry(scale * milli / 1000, half=0.001))
        return Transfer(entry(unexplained), **(energies if readout else {}))

    methods = {"affine": figures(0.3, 60), "ridge": figures(0.2, 40), "zero-shot": figures(0.5, 150)}
    composition = {"composition": Transfer(**dict.fromkeys(("mae", "median", "rmse"), entry(0.3)))} if readout else {}
    return analyses.ReadoutTransfer(
        source=source,
        target=target,
        methods={**dict.fromkeys(FITTED, figures(0.9, 900)), **methods},
        controls={"control": {"affine": figures(0.8, 400)}},
        chosen={source: "ridge", "control": "affine"},
        baselines={"element": figures(0.6, 320), **composition},
        reconstruction={},
        readout={"spread": 1.0} if readout else {},
        num={},
        settings={},
        provenance={},
        maps={},
    )


def test_every_map_stands_at_its_error_and_baselines_below():
    ax = plots.draw(plots.charts(readout_transfer())[1])
    rows = names(ax.get_yticklabels())
    assert rows[-2:] == ["element alone", "composition alone"]
    drawn = points(ax)
    assert drawn["a"][0][rows.index("ridge")] == pytest.approx(40)
    assert drawn["baselines"][0][-1] == pytest.approx(300)
    assert drawn["control"][0][rows.index("affine")] == pytest.approx(400)
    assert np.isnan(drawn["control"][0][0])
    (alone,) = plots.charts(readout_transfer(readout=False))
    assert alone["series"][0]["value"][alone["rows"].index("ridge")] == 0.2


def test_pairs_are_written_where_source_and_target_meet():
    chart = charts.matrix("Errors.", ["a", "b", "c"], [[None, 40], [80, None], [120, 7]], columns=["x", "y"])
    ax = plots.draw(chart)
    written = {tuple(int(x) for x in text.get_position()): text.get_text() for text in ax.texts}
    assert (names(ax.get_yticklabels()), names(ax.get_xticklabels())) == (["a", "b", "c"], ["x", "y"])
    assert written == {(1, 0): "40", (0, 1): "80", (0, 2): "120", (1, 2): "7"}


def trained():
    with_ends = lambda value: Estimate(value, value - 0.05, value + 0.1)
    pairs = {"start": map(with_ends, (0.3, 0.2, 0.1)), "learned": map(with_ends, (0.6, 0.5, 0.2))}
    spaces = {space: {"mutual_knn": Similarities(list(of), {"trained": entry(0.5)})} for space, of in pairs.items()}
    return Training(
        anchors=Anchors.__new__(Anchors),
        models=["a", "b", "unseen", "control"],
        num_trained=2,
        num_unseen=1,
        agreement={"all": Agreement(10, spaces, {})},
        tasks={},
        pairs=[(0, 1), (0, 2), (0, 3)],
        element=8,
        losses=np.array([0.9, 0.5, 0.4]),
        validation_losses=np.array([[1.0, 0.8], [3.0, 0.6]]),
        stopped="",
        settings={},
        provenance={},
    )


def test_losses_are_those_of_every_step():
    of = series(plots.charts(trained())[-1])
    assert (of["training"]["x"], of["training"]["y"]) == ([1, 2, 3], [0.9, 0.5, 0.4])
    assert (of["held-out chemical systems"]["x"], of["held-out chemical systems"]["y"]) == ([1, 3], [0.8, 0.6])


def test_pairs_are_parted_into_trained_unseen_and_control():
    chart = plots.charts(trained())[1]
    ax = plots.draw(chart)
    place = {name: drawn[:, 0].tolist() for name, drawn in points(ax).items()}
    assert place["trained models"] == [0.3, 0.6]
    assert place["with an unseen model"] == [0.2, 0.5]
    assert place["with an untrained control"] == [0.1, 0.2]
    across, up = (collection.get_segments()[0] for collection in ax.collections[:2])
    np.testing.assert_allclose(across, [[0.25, 0.6], [0.4, 0.6]])
    np.testing.assert_allclose(up, [[0.3, 0.55], [0.3, 0.7]])


def symmetry(model, largest):
    one = lambda largest: ImageDistances(1, 1, 0.0, largest, 0.0, 0.0, 0.0, 0.0, {})
    images = {space: {"rotation": one(largest), "shift": one(0.0)} for space in ("raw", "shared")}
    noise = {"storage": 1e-7, "tolerance": 1e-5, "rounding": 0.0}
    return analyses.Symmetry(model, "model", "layer", images, {}, {}, {}, noise, {}, [], {}, {})


def test_images_stand_at_their_largest_distance_and_none_at_the_floor():
    raw, shared = plots.charts([symmetry("a", 1e-6), symmetry("b", 0.05)])
    drawn = points(plots.draw(raw))
    np.testing.assert_allclose(drawn["a"][0], [1e-6, 1e-9])
    np.testing.assert_allclose(drawn["b"][0], [0.05, 1e-9])
    assert [line["x"] for line in shared["lines"]] == [1e-5, 1e-7]


def phonons():
    distances = np.array([0.0, 0.5, 1.0])
    bands = lambda scale: Bands(
        distances, scale * np.array([[0.0, 2.0], [1.0, 3.0], [-1.0, 4.0]]), [0.0, 1.0], ["Γ", "X"]
    )
    mesh = Mesh(*(None,) * len(Mesh._fields))
    of = {"model": bands(1.0), "reference": bands(2.0)}
    return analyses.Phonons("a", "model", {"formula": "NaCl"}, {}, None, None, {}, {}, mesh, of, None, {}, {})


def test_bands_are_the_frequencies_along_the_path():
    (chart,) = plots.charts(phonons())
    ax = plots.draw(chart)
    drawn = points(ax)
    np.testing.assert_array_equal(drawn["a"][1], [0, 1, -1, np.nan, 2, 3, 4, np.nan])
    np.testing.assert_array_equal(drawn["reference"][1], [0, 2, -2, np.nan, 4, 6, 8, np.nan])
    assert names(ax.get_xticklabels()) == ["Γ", "X"]
    assert ax.get_xlim() == (0.0, 1.0)


def sweep():
    value = np.array([[0.2, 0.4, 0.3], [0.4, 0.6, 0.5]])
    curve = Curve(value, value - 0.05, value + 0.05, np.full((2, 3), np.nan), [10, 10, 30])
    return Sweep(["a", "b", "c"], ["model"] * 3, [(0, 1), (0, 2)], [10, 30], {"cka": {"direct": curve}}, {}, {})


def test_a_curve_is_the_mean_over_pairs_ringed_where_it_is_stable():
    (chart,) = plots.charts(sweep())
    ax = plots.draw(chart)
    drawn = points(ax)
    np.testing.assert_allclose(drawn["direct"], [[10, 30], [0.3, 0.5]])
    np.testing.assert_allclose(drawn["stable from here"], [[30], [0.5]])
    np.testing.assert_allclose(np.array(ax.collections[0].get_segments())[:, :, 1], [[0.25, 0.35], [0.45, 0.55]])
    assert chart["series"][0]["strands"] == [[0.2, 0.4], [0.4, 0.6]]


def test_series_that_share_no_row_share_a_lane():
    chart = charts.dots(
        "One.",
        ["x", "y"],
        [
            charts.entries("a", [entry(1.0), entry(2.0)], unit=0.1),
            charts.entries("b", [None, entry(3.0)]),
            charts.entries("c", [4.0, None]),
            charts.entries("null", [0.1, 0.2], style="null"),
        ],
        axis="value",
    )
    assert [one["lane"] for one in chart["series"]] == [0, 1, 1, 0]
    assert chart["lanes"] == 2
    drawn = points(plots.draw(chart))
    np.testing.assert_allclose(drawn["a"], [[10, 20], [-0.15, 0.85]])
    np.testing.assert_array_equal(drawn["b"], [[np.nan, 3], [0.15, 1.15]])
    both = charts.overlay({"one": chart, "two": chart})
    assert [one["lane"] for one in both["series"]] == [0, 1, 1, 0, 2, 3, 3, 0]
    assert both["series"][4]["name"] == "two, a"


def test_names_that_would_take_half_the_width_stand_above_their_rows():
    series = [charts.entries("a", [0.5, 0.6])]
    long = plots.draw(charts.dots("Two.", ["a name of many letters, so many that it is long", "x"], series, axis="v"))
    assert [text.get_text() for text in long.texts][1] == "x"
    assert not plots.draw(charts.dots("Two.", ["short", "x"], series, axis="v")).texts


def test_the_colours_of_figures_are_those_of_the_page_and_stay_apart():
    css = (Path(report.__file__).parent / "page.css").read_text()
    light = dict(re.findall(r"--([a-z0-9-]+): (#\w{6});", css[: css.index("@media screen")]))
    styles = ["model"] * len(COLOURS) + ["random", "baseline"]
    drawn = [style["color"] for style in marks_of([{"style": style} for style in styles])]
    assert drawn == [*(light[f"series-{i}"] for i in range(len(COLOURS))), light["random"], light["baseline"]]
    markers = [(style["marker"], style.get("mfc")) for style in marks_of([{"style": style} for style in styles])]
    assert len(set(markers)) == len(markers)
    for eye in EYES.values():
        for a, b in itertools.combinations(COLOURS, 2):
            assert np.linalg.norm(lightness_and_hue(a, eye) - lightness_and_hue(b, eye)) > 16


PAGES = {
    "raw_spaces_page": lambda: plots.raw_spaces_page(comparisons.make()),
    "shared_space_page": lambda: plots.shared_space_page(comparisons.make()),
    "comparison": lambda: plots.page(comparisons.make()),
    "sweep": lambda: plots.page(sweep()),
    "failures": lambda: plots.page([symmetry("a", 1e-6)], phonons(), typicality(), drifted(1.0), error_ranking()),
    "arithmetic": lambda: plots.page(analogies(), polymorphs(), reactions([1.0, 2.0]), readout_transfer()),
    "training": lambda: plots.page(trained()),
}
PANELS = {"raw_spaces_page": 4, "shared_space_page": 7, "comparison": 6 + 3, "sweep": 1, "training": 3}


def boxes(figure):
    """Where everything lies that must not lie on anything else: axes with their labels, titles, legends."""
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    parts = [figure, *figure.subfigs, *(inner for part in figure.subfigs for inner in part.subfigs)]
    for part in parts:
        yield from (legend.get_window_extent(renderer) for legend in part.legends)
        if part._suptitle:
            yield part._suptitle.get_window_extent(renderer)
    yield from (ax.get_tightbbox(renderer) for ax in figure.axes)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_a_page_wide_and_nothing_leaves_it_or_overlaps(name):
    figure = PAGES[name]()
    assert isinstance(figure, Figure)
    assert figure.get_size_inches()[0] == pytest.approx(3.5 if name == "sweep" else 7.2)
    if name in PANELS:
        assert len(figure.axes) + sum(len(ax.child_axes) for ax in figure.axes) == PANELS[name]
    found = list(boxes(figure))
    for one, other in itertools.combinations(found, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        up = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, up) < 3, "dots"
    whole = figure.get_tightbbox()  # In inches.
    assert min(whole.x0, whole.y0) > -0.05
    assert whole.x1 < figure.get_size_inches()[0] + 0.05
    assert whole.y1 < figure.get_size_inches()[1] + 0.05


def test_names_tell_axes_from_pages():
    for name in plots.__all__:
        returned = inspect.signature(member).return_annotation if callable(member := getattr(plots, name)) else None
        assert (returned is Figure) == (name.endswith("page") or name in ("with_legend", "save")), name


def test_a_page_without_charts_is_refused():
    with pytest.raises(ValueError, match="needs at least one chart: give results that have some"):
        plots.page()


def test_a_legend_that_all_panels_share_is_drawn_once():
    chart = charts.dots("Two.", ["x"], [charts.entries(name, [0.5]) for name in "ab"], axis="value")
    count = lambda figure: len(figure.legends) + sum(
        len(panel.legends) for part in figure.subfigs for panel in part.subfigs
    )
    assert count(plots.page(chart, chart)) == 1
    assert count(plots.page(chart, charts.overlay({"c": chart}))) == 2


def test_captions_are_left_out_for_papers():
    titles = lambda figure: [panel._suptitle.get_text() for part in figure.subfigs for panel in part.subfigs]
    (chart,) = plots.charts(phonons())
    assert titles(plots.page(chart, captions=False)) == [""]
    assert titles(plots.page(chart, chart, captions=False)) == ["(a)", "(b)"]
    assert titles(plots.page(chart))[0].startswith("NaCl by a: frequencies along")


def test_a_notebook_shows_a_figure_that_pyplot_does_not_know():
    assert plots.draw(plots.charts(phonons())[0]).figure._repr_png_().startswith(b"\x89PNG")
