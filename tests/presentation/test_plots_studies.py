"""Pictures of studies show the numbers of their records: a wrong one would be drawn in another place."""

import functools
import inspect

import comparisons
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from platonic_jax import analyses, plots
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

entry = functools.partial(Estimate.around, half=0.1)
NONE = Groups(0, 0, 0.0)


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
    ax = plots.auroc(typicality())
    assert names(ax.get_yticklabels()) == ["far", "near"]
    drawn = points(ax)
    np.testing.assert_allclose(drawn["a"][0], [0.9, 0.5])
    np.testing.assert_allclose(drawn[ALL][0], [0.92, 0.52])
    np.testing.assert_allclose(bars(ax)[1], [[0.81, 1.01], [0.41, 0.61]])
    np.testing.assert_allclose(drawn[ALL][1], [0.22, 1.22])


def test_shares_of_p_values_rise_by_structure_and_what_has_none_is_left_out():
    drawn = points(plots.p_values(typicality()))
    np.testing.assert_allclose(drawn["far"], [[0.01, 0.02], [0.5, 1.0]])
    np.testing.assert_allclose(drawn["held out"], [[0.25, 0.75], [0.5, 1.0]])


def error_ranking():
    ranking = Ranking(*[entry(0.5)] * 3, coverage=np.array([0.5, 1.0]), risk=np.array([0.1, 0.3]))
    scores = {name: {"atoms": ranking} for name in ("typicality", "force size")}
    errors = {"a": {"force": {"mean": 0.3}}}
    return analyses.ErrorRanking(["a"], errors, {"a": scores}, {}, ["force size"], {}, 5, 2, {}, {})


def test_what_is_kept_has_the_error_of_the_curve_and_baselines_are_broken_lines():
    ax = plots.coverage(error_ranking(), "a")
    np.testing.assert_allclose(points(ax)["typicality"], [[50, 100], [0.1, 0.3]])
    styles = {line.get_label(): line.get_linestyle() for line in ax.lines}
    assert (styles["typicality"], styles["force size"]) == ("-", "--")


def drifted(scale):
    moved = {"Cu": (0.9, True), "Au": (0.1, False), "Ag": (0.2, None)}
    one = lambda value, seen: AtomDrift(1, 1, entry(scale * value), entry(1.0), entry(1.0), {}, False, seen=seen)
    elements = {of: one(*figures) for of, figures in moved.items()}
    energy = {"change": EnergyChange({"Cu": 1.0, "Au": 0.005, "Ag": 0.05}, None)}
    return analyses.Drift("before", "after", one(0.5, None), None, elements, {}, {}, energy, 1.0, {}, None, {}, {})


def test_every_unseen_element_is_a_point_and_the_named_one_is_named():
    ax = plots.drift({"naive": drifted(1.0), "replay": drifted(0.5)}, named=["Au"])
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
    ax = plots.analogies(analogies())
    drawn = points(ax)
    np.testing.assert_allclose(drawn["hit_1"][0], [0.7, 0.9])
    assert names(ax.get_yticklabels()) == ["a", "composition"]
    assert ax.lines[-1].get_xdata()[0] == 0.01


def polymorphs(*, copies=True):
    figures = {"identity": entry(0.8)} | ({"separation": entry(0.6)} if copies else {})
    within = {"a": {"mean": figures, "cloud": {name: entry(0.7) for name in figures}}}
    return analyses.Polymorphs(["a"], within, {}, {"identity": 0.1, "separation": 0.5}, {}, {}, {})


def test_phases_are_told_by_each_representation():
    ax = plots.polymorphs(polymorphs())
    np.testing.assert_allclose(points(ax)["a"][0], [0.6, 0.7])
    np.testing.assert_allclose(bars(ax)[0], [[0.5, 0.7], [0.6, 0.8]])


def reactions(energies):
    return analyses.Reactions(
        ["a"], ["x -> y", "y -> z"], np.array(energies), {"a": np.array([0.4, 0.2])}, {}, {}, 0, None, {}, [], {}, {}
    )


def test_lengths_of_reactions_stand_beside_energies_or_in_order():
    np.testing.assert_allclose(points(plots.reactions(reactions([-2.0, np.nan])))["a"], [[2.0], [0.4]])
    np.testing.assert_allclose(points(plots.reactions(reactions([np.nan, np.nan])))["a"], [[0, 1], [0.2, 0.4]])


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
    ax = plots.readout_transfer(readout_transfer(), "mae")
    rows = names(ax.get_yticklabels())
    assert rows[-2:] == ["element alone", "composition alone"]
    value = dict(zip(rows, points(ax)["a"][0], strict=True))
    assert value["ridge"] == pytest.approx(40)
    assert value["composition alone"] == pytest.approx(300)
    np.testing.assert_allclose(points(ax)["control"][0], [400])
    rows_alone = plots.readout_transfer(readout_transfer(readout=False))
    assert dict(zip(names(rows_alone.get_yticklabels()), points(rows_alone)["a"][0], strict=True))["ridge"] == 0.2


def test_pairs_are_written_where_source_and_target_meet():
    one = readout_transfer
    found = [one("a", "b"), one("b", "a", scale=2.0), one("c", "a", scale=3.0)]
    ax = plots.stitched_pairs(found)
    written = {tuple(int(x) for x in text.get_position()): text.get_text() for text in ax.texts}
    assert (names(ax.get_yticklabels()), names(ax.get_xticklabels())) == (["a", "b", "c"], ["a", "b"])
    assert written == {(1, 0): "40", (0, 1): "80", (0, 2): "120"}
    alone = [text.get_text() for text in plots.stitched_pairs(found, "composition").texts]
    assert alone == ["300"] * 3


def trained():
    with_ends = lambda value: Estimate(value, value - 0.05, value + 0.1)
    pairs = {"start": map(with_ends, (0.3, 0.2, 0.1)), "learned": map(with_ends, (0.6, 0.5, 0.2))}
    spaces = {space: {"mutual_knn": Similarities(list(of), {})} for space, of in pairs.items()}
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
    drawn = points(plots.losses(trained()))
    np.testing.assert_allclose(drawn["batches"], [[1, 2, 3], [0.9, 0.5, 0.4]])
    np.testing.assert_allclose(drawn["validation"], [[1, 3], [0.8, 0.6]])


def test_pairs_are_parted_into_trained_unseen_and_control():
    ax = plots.gains(trained())
    told = {container.get_label(): container for container in ax.containers}
    place = {name: [float(x[0]) for x in container.lines[0].get_data()] for name, container in told.items()}
    assert place == {
        "trained models": [0.3, 0.6],
        "with an unseen model": [0.2, 0.5],
        "with random weights": [0.1, 0.2],
    }
    across, up = (lines.get_segments()[0] for lines in told["trained models"].lines[2])
    np.testing.assert_allclose(across[:, 0], [0.25, 0.4])
    np.testing.assert_allclose(up[:, 1], [0.55, 0.7])


def symmetry(model, largest):
    one = lambda largest: ImageDistances(1, 1, 0.0, largest, 0.0, 0.0, 0.0, 0.0, {})
    images = {space: {"rotation": one(largest), "shift": one(0.0)} for space in ("raw", "shared")}
    noise = {"storage": 1e-7, "tolerance": 1e-5, "rounding": 0.0}
    return analyses.Symmetry(model, "model", "layer", images, {}, {}, {}, noise, {}, [], {}, {})


def test_images_stand_at_their_largest_distance_and_none_at_the_floor():
    drawn = points(plots.images([symmetry("a", 1e-6), symmetry("b", 0.05)]))
    np.testing.assert_allclose(drawn["a"][1], [1e-6, 1e-9])
    np.testing.assert_allclose(drawn["b"][1], [0.05, 1e-9])


def phonons():
    distances = np.array([0.0, 0.5, 1.0])
    bands = lambda scale: Bands(
        distances, scale * np.array([[0.0, 2.0], [1.0, 3.0], [-1.0, 4.0]]), [0.0, 1.0], ["Γ", "X"]
    )
    mesh = Mesh(*(None,) * len(Mesh._fields))
    of = {"model": bands(1.0), "reference": bands(2.0)}
    return analyses.Phonons("a", "model", {"formula": "NaCl"}, {}, None, None, {}, {}, mesh, of, None, {}, {})


def test_bands_are_the_frequencies_along_the_path():
    ax = plots.bands(phonons())
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["a"], [0, 1, -1])
    np.testing.assert_allclose(drawn["DFT"], [0, 2, -2])
    assert names(ax.get_xticklabels()) == ["Γ", "X"]
    assert ax.get_xlim() == (0.0, 1.0)


def sweep():
    value = np.array([[0.2, 0.4, 0.3], [0.4, 0.6, 0.5]])
    curve = Curve(value, value - 0.05, value + 0.05, np.full((2, 3), np.nan), [10, 10, 30])
    return Sweep(["a", "b", "c"], ["model"] * 3, [(0, 1), (0, 2)], [10, 30], {"cka": {"direct": curve}}, {}, {})


def test_a_curve_is_the_mean_over_pairs_ringed_where_it_is_stable():
    ax = plots.sweep(sweep(), "cka")
    drawn = points(ax)
    np.testing.assert_allclose(drawn["direct"], [[10, 30], [0.3, 0.5]])
    np.testing.assert_allclose(drawn["stable from here"], [[30], [0.5]])
    np.testing.assert_allclose(np.array(ax.collections[0].get_segments())[:, :, 1], [[0.25, 0.35], [0.45, 0.55]])


def test_series_lie_side_by_side_and_missing_rows_stay_empty():
    ax = plots.intervals({"a": {"x": entry(1.0), "y": entry(2.0)}, "b": {"y": entry(3.0)}}, unit=10.0)
    drawn = points(ax)
    np.testing.assert_allclose(drawn["a"], [[10, 20], [-0.11, 0.89]])
    np.testing.assert_allclose(drawn["b"], [[30], [1.11]])
    np.testing.assert_allclose(bars(ax)[1], [[29, 31]])


PAGES = {
    "raw_spaces_page": lambda: plots.raw_spaces_page(comparisons.make()),
    "shared_space_page": lambda: plots.shared_space_page(comparisons.make()),
    "sweep_page": lambda: plots.sweep_page(sweep()),
    "typicality_page": lambda: plots.typicality_page(typicality()),
    "readout_transfer_page": lambda: plots.readout_transfer_page(readout_transfer()),
    "failures_page": lambda: plots.failures_page(
        symmetry=[symmetry("a", 1e-6)],
        phonons=[phonons()],
        typicality=typicality(),
        drift={"naive": drifted(1.0)},
        error_ranking=error_ranking(),
    ),
    "arithmetic_page": lambda: plots.arithmetic_page(
        analogies=analogies(),
        polymorphs=polymorphs(),
        reactions=reactions([1.0, 2.0]),
        readout_transfer=readout_transfer(),
    ),
}
PANELS = {"raw_spaces_page": 4, "shared_space_page": 7, "sweep_page": 1, "failures_page": 5, "arithmetic_page": 5}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_a_page_wide_and_nothing_leaves_it(name, tmp_path):
    figure = PAGES[name]()
    assert isinstance(figure, Figure)
    assert figure.get_size_inches()[0] == pytest.approx(7.2, abs=0.21)
    assert len(figure.axes) == PANELS.get(name, 2)
    assert plots.save(figure, tmp_path / "page.png") is figure
    whole = figure.get_tightbbox()  # In inches.
    assert whole.x0 > -0.1
    assert whole.y0 > -0.1
    assert whole.x1 < figure.get_size_inches()[0] + 0.1
    assert whole.y1 < figure.get_size_inches()[1] + 0.1


def test_names_tell_axes_from_pages():
    for name in plots.__all__:
        returned = inspect.signature(member).return_annotation if callable(member := getattr(plots, name)) else None
        assert (returned is Figure) == (name.endswith("_page") or name in ("with_legend", "save")), name


def test_a_page_without_results_is_refused():
    with pytest.raises(ValueError, match="at least one result must be given, got none"):
        plots.failures_page()


def test_a_page_shows_formulas_where_no_copies_were_given():
    figure = plots.arithmetic_page(polymorphs=polymorphs(copies=False))
    np.testing.assert_allclose(points(figure.axes[0])["a"][0], [0.8, 0.7])


def test_a_notebook_shows_a_figure_that_pyplot_does_not_know():
    assert plots.matrix(comparisons.make(), "procrustes").figure._repr_png_().startswith(b"\x89PNG")


def test_a_matrix_in_an_order_of_its_own_without_intervals():
    ax = plots.matrix(comparisons.make(), "procrustes", order=[4, 0, 1, 2, 3], intervals=False)
    assert len(ax.texts) == 25
    written = {tuple(int(x) for x in text.get_position()): text.get_text() for text in ax.texts}
    assert (written[1, 0], written[3, 1]) == ("0.60", "0.90")


def test_what_is_labelled_twice_is_explained_once():
    _, axes = plots.subplots(1, 2, height=2.0)
    for ax in axes[0]:
        plots.intervals({"a": {"x": entry(1.0)}, "b": {"x": entry(1.0)}}, ax=ax)
    (legend,) = plots.with_legend(*axes[0]).legends
    assert names(legend.get_texts()) == ["a", "b"]
