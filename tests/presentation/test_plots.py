"""Figures show the numbers they are given, and leave nothing behind."""

import itertools
from pathlib import Path

import comparisons
import matplotlib as mpl
import numpy as np
import pytest
from eyes import EYES, lightness_and_hue
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from platonic_jax import plots
from platonic_jax.analyses import arrangement


@pytest.fixture(scope="module")
def comparison():
    return comparisons.make()


def texts(ax):
    return [text.get_text() for text in ax.texts]


GROUPS = {
    "alkali metal": "Li Na K Rb Cs Fr",
    "alkaline earth": "Be Mg Ca Sr Ba Ra",
    "transition metal": "Sc Ti V Cr Mn Fe Co Ni Cu Zn Y Zr Nb Mo Tc Ru Rh Pd Ag Cd Hf Ta W Re Os Ir Pt Au Hg",
    "lanthanide": "La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
    "actinide": "Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr",
    "post-transition metal": "Al Ga In Tl Sn Pb Bi",
    "metalloid": "B Si Ge As Sb Te Po",
    "non-metal": "H C N O P S Se",
    "halogen": "F Cl Br I At",
    "noble gas": "He Ne Ar Kr Xe Rn",
}


def test_every_element_stands_in_its_chemical_group():
    from ase.data import atomic_numbers

    expected = {atomic_numbers[symbol]: name for name, symbols in GROUPS.items() for symbol in symbols.split()}
    assert len(expected) == 103
    species = np.array(sorted(expected))[::-1]
    found = plots.element_groups(species)
    assert [plots.GROUPS[i].name for i in found] == [expected[z] for z in species]


@pytest.mark.parametrize("eye", EYES)
def test_groups_stay_apart_for_every_eye_and_in_shape(eye):
    for a, b in itertools.combinations(plots.GROUPS, 2):
        distance = np.linalg.norm(lightness_and_hue(a.colour, EYES[eye]) - lightness_and_hue(b.colour, EYES[eye]))
        assert distance > 18, (a.name, b.name)
        assert a.marker != b.marker
        assert a.symbol != b.symbol


def test_a_random_weight_model_is_never_called_by_the_models_name_alone(comparison):
    assert arrangement.labels(comparison)[3:] == ["7net-0 (random weights, seed 0)", "element alone"]
    other = comparisons.make(models=("a", "b"), kinds=("model", "random"))
    assert arrangement.labels(other) == ["a", "b (random weights)"]


def test_pairs_are_told_by_what_they_hold(comparison):
    kinds = {(i, j): kind for i, j, kind in arrangement.pairs(comparison)}
    assert len(kinds) == 10
    assert (kinds[0, 1], kinds[0, 3], kinds[0, 4], kinds[3, 4]) == ("model", "random", "element", "element")


def test_pairs_are_ranked_from_the_most_similar_whatever_the_direction(comparison):
    for name in ("procrustes", "sinkhorn_divergence"):
        assert arrangement.ranked_pairs(comparison, name)[0][:2] == (0, 2)
    value = comparison.measures["procrustes"].value.copy()
    value[0, 2] = np.nan
    unknown = comparisons.with_measure(comparison, "procrustes", value=value)
    assert arrangement.ranked_pairs(unknown, "procrustes")[-1][:2] == (0, 2)


@pytest.mark.parametrize("name", ["procrustes", "sinkhorn_divergence"])
def test_distances_are_distances(comparison, name):
    found = arrangement.distances(comparison.measures[name])
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)
    np.testing.assert_allclose(found[0, 2], 0.1)


def test_a_pair_without_a_value_is_the_farthest(comparison):
    value = comparison.measures["procrustes"].value.copy()
    value[0, 2] = value[2, 0] = np.nan
    unknown = comparisons.with_measure(comparison, "procrustes", value=value)
    found = arrangement.distances(unknown.measures["procrustes"])
    assert np.isfinite(found).all()
    assert found[0, 2] == found.max()


def test_the_nearest_models_are_neighbouring_leaves(comparison):
    order = arrangement.leaf_order(comparison.measures["procrustes"])
    assert sorted(order) == list(range(5))
    assert abs(order.index(0) - order.index(2)) == 1


def test_a_map_is_framed_without_the_few_atoms_far_outside():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(2000, 2))
    low, high = arrangement.window(cloud)
    assert ((cloud > low) & (cloud < high)).all()
    outside = np.concatenate([cloud, [[500.0, 0.0], [400.0, -300.0]]])
    low_outside, high_outside = arrangement.window(outside)
    assert (high_outside < 20).all()
    assert np.mean((outside > low_outside) & (outside < high_outside)) > 0.99


def charts_of(comparison, name):
    """The matrix and the pairs of a measure."""
    place = 2 * list(comparison.measures).index(name)
    return plots.charts(comparison)[place : place + 2]


def test_matrix_writes_every_value_with_its_interval(comparison):
    ax = Figure().add_subplot()
    assert plots.draw(charts_of(comparison, "procrustes")[0], ax=ax) is ax
    written = texts(ax)
    assert len(written) == 5 + 2 * 20
    assert written.count("0.90") == 2
    assert written.count("0.88 to 0.93") == 2
    assert not ax.get_title()


def test_matrix_is_darker_where_models_are_more_similar_in_either_direction(comparison):
    for name in ("procrustes", "sinkhorn_divergence"):
        ax = plots.draw(charts_of(comparison, name)[0])
        (image,) = ax.images
        colours = image.cmap(image.norm(image.get_array()))[..., :3].sum(-1)
        order = arrangement.leaf_order(comparison.measures[name])
        near, far = ((order.index(i), order.index(j)) for i, j in ((0, 2), (1, 3)))
        assert colours[near] < colours[far], name


def test_matrix_leaves_an_undefined_value_empty(comparison):
    value = comparison.measures["procrustes"].value.copy()
    value[0, 2] = value[2, 0] = np.nan
    unknown = comparisons.with_measure(comparison, "procrustes", value=value)
    ax = plots.draw(charts_of(unknown, "procrustes")[0])
    assert len(texts(ax)) == 5 + 2 * 18
    assert "nan" not in "".join(texts(ax))


def test_a_matrix_in_an_order_of_its_own_without_intervals(comparison):
    chart = charts_of(comparison, "procrustes")[0]
    ax = plots.draw({**chart, "order": [4, 0, 1, 2, 3], "low": None, "tree": None})
    assert len(ax.texts) == 25
    written = {tuple(int(x) for x in text.get_position()): text.get_text() for text in ax.texts}
    assert (written[1, 0], written[3, 1]) == ("0.60", "0.90")


def test_map_draws_every_atom_in_the_colour_of_its_group(comparison):
    ax = Figure().add_subplot()
    assert plots.map(comparison, 1, space="raw", ax=ax) is ax
    drawn = {to_hex(cloud.get_facecolor()[0]): np.asarray(cloud.get_offsets()) for cloud in ax.collections}
    groups = plots.element_groups(comparison.species)
    for i, group in enumerate(plots.GROUPS):
        np.testing.assert_allclose(drawn[group.colour], comparison.maps[1]["raw"][groups == i])
    assert ax.get_xlabel() == "PC 1 (40% of variance)"


def test_pairs_stand_beside_their_nulls(comparison):
    ax = plots.draw(charts_of(comparison, "procrustes")[1])
    drawn = {line.get_label(): np.asarray(line.get_xdata()) for line in ax.lines}
    np.testing.assert_allclose([x for x in drawn["two models"] if np.isfinite(x)], [0.90, 0.80, 0.65])
    np.testing.assert_allclose(drawn["structures exchanged"], np.full(10, 0.05))
    np.testing.assert_allclose(drawn["exchanged within element"], np.full(10, 0.4))
    assert texts(ax)[0] == "7net-0 – chgnet-r2scan"


def test_the_tree_joins_the_nearest_models_at_their_distance(comparison):
    (tree,) = plots.draw(charts_of(comparison, "procrustes")[0]).child_axes
    joints = [max(line.get_ydata()) for line in tree.lines]
    assert min(joints) == pytest.approx(0.1)
    assert tree.get_ylabel() == "1 − Procrustes\nsimilarity"


def test_save_all_writes_every_figure_and_touches_nothing_else(comparison, tmp_path):
    before, open_figures = dict(mpl.rcParams), pyplot.get_fignums()
    paths = plots.save_all(comparison, tmp_path / "new" / "figures", name="compare")
    assert len(paths) == 4 + 3
    assert sorted(paths) == sorted((tmp_path / "new" / "figures").iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == open_figures


def test_fonts_in_a_pdf_are_embedded_as_truetype(comparison, tmp_path):
    plots.save(plots.page(charts_of(comparison, "procrustes")[0]), tmp_path / "figure.pdf")
    assert b"/FontFile2" in (tmp_path / "figure.pdf").read_bytes()


def test_a_figure_that_fails_leaves_nothing_behind(tmp_path):
    class Broken(Figure):
        def savefig(self, *args, **kwargs):
            Path(args[0]).write_bytes(b"half")
            raise OSError(28, "No space left on device")

    (tmp_path / "figure.png").write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        plots.save(Broken(), tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert (tmp_path / "figure.png").read_bytes() == b"old"
