"""Values against the number of anchors, and layer against layer, on clouds with a known answer."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed

from platonic_jax import metrics, numerics, projection
from platonic_jax.analyses import PCA, compare, layers, load_layers, sweep
from platonic_jax.analyses._sweep import _stable_from
from platonic_jax.tables import EmbeddingTable

ATOMS, STRUCTURES = 200, 40
SPECIES = np.random.default_rng(5).choice([1, 8, 26], size=ATOMS)


def table(x, *, model, layer="embedding"):
    index = np.repeat(np.arange(STRUCTURES), ATOMS // STRUCTURES)
    return EmbeddingTable.from_arrays(x, SPECIES, index, model=model, layer=layer)


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ATOMS, 12)) + 1.0
    rotation, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    y = x @ rotation + 0.3 * rng.normal(size=(ATOMS, 12))
    return x, y


@pytest.fixture(scope="module")
def found(clouds):
    tables = [table(x, model=name) for x, name in zip(clouds, "ab", strict=True)]
    return sweep(tables, ks=(20, 5), methods=("random", "direct"), num_seeds=3, seed=1)


def test_every_method_has_a_curve_with_value_interval_and_spread(found):
    assert found.ks == [5, 20]
    assert found.pairs == [(0, 1)]
    assert set(found.curves) == {"procrustes", "cka", "mutual_knn", "mutual_knn_other_structures"}
    for curves in found.curves.values():
        assert set(curves) == {"random", "direct", PCA}
        for method, curve in curves.items():
            assert curve.value.shape == curve.low.shape == curve.spread.shape == (2, 2)
            assert ((curve.low < curve.value) & (curve.value < curve.high)).all()
            assert np.isfinite(curve.spread).all() == (method == "random")
            np.testing.assert_array_equal(curve.value[:, 0], curve.value[:, 1])  # One pair is its own mean.


def test_values_are_those_of_the_measures(found, clouds):
    from platonic_jax import anchors

    x, y = (jnp.asarray(cloud, jnp.float32) for cloud in clouds)
    rows = anchors.direct(x, 20)
    in_anchors = [projection.relative(cloud, cloud[rows]) for cloud in (x, y)]
    in_components = [numerics.pca(cloud, num_components=5).scores for cloud in (x, y)]
    for name, measure in (("procrustes", metrics.procrustes), ("cka", metrics.cka), ("mutual_knn", metrics.mutual_knn)):
        direct, plain = found.curves[name]["direct"], found.curves[name][PCA]
        assert direct.value[1, 0] == pytest.approx(float(measure(*in_anchors)), abs=1e-4)
        assert plain.value[0, 0] == pytest.approx(float(measure(*in_components)), abs=1e-4)


def test_all_components_are_the_cloud_itself(found, clouds):
    x, y = (jnp.asarray(cloud, jnp.float32) for cloud in clouds)
    assert found.curves["procrustes"][PCA].value[1, 0] == pytest.approx(float(metrics.procrustes(x, y)), abs=1e-5)


def test_the_interval_is_that_of_a_comparison_with_given_anchors(clouds):
    tables = [table(x, model=name) for x, name in zip(clouds, "ab", strict=True)]
    rows = np.arange(0, ATOMS, 10)
    settings = {"measures": ["mutual_knn"], "num_permutations": 1, "nulls": ["all"], "element_alone": False}
    matrix = compare(tables, anchors=rows, **settings).measures["mutual_knn"]
    one = layers([tables[0]], [tables[1]], anchors=rows, measures=["mutual_knn"], num_permutations=1)
    best = one.measures["mutual_knn"].best_estimate
    assert best.value == pytest.approx(matrix.value[0, 1], abs=1e-9)
    assert best.high - best.low == pytest.approx(matrix.high[0, 1] - matrix.low[0, 1], rel=0.1)


@pytest.mark.parametrize(
    ("value", "half", "expected"),
    [
        ([0.2, 0.5, 0.51, 0.5], 0.02, 30),
        ([0.2, 0.5, 0.40, 0.5], 0.02, None),
        ([0.495, 0.5, 0.5, 0.5], 0.0, 10),
        ([np.nan, np.nan, 0.5, 0.5], 0.0, 100),
    ],
    ids=["from 30 on", "only the largest", "within the tolerance", "undefined is not stable"],
)
def test_stable_means_near_the_last_value_from_there_on(value, half, expected):
    assert _stable_from([10, 30, 100, 300], np.array(value), half) == expected


def test_the_json_holds_everything_and_no_nan(found, tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    found.save(tmp_path / "sweep.json")
    read = json.loads((tmp_path / "sweep.json").read_text(), parse_constant=refuse)
    assert read["ks"] == [5, 20]
    schemed.check("sweep", read)
    reports.check(found)
    np.testing.assert_allclose(read["curves"]["cka"]["random"]["value"], found.curves["cka"]["random"].value)
    assert read["curves"]["cka"]["direct"]["spread"] == [[None, None], [None, None]]
    assert read["provenance"]["seed"] == 1


def test_fewer_atoms_are_whole_structures(clouds):
    tables = [table(x, model=name) for x, name in zip(clouds, "ab", strict=True)]
    few = sweep(tables, ks=(5,), methods=(), measures=("cka",), max_atoms=52)
    assert few.settings["num_atoms"] == 50
    assert set(few.curves["cka"]) == {PCA}


def test_the_layers_that_agree_are_found_and_worth_more_than_chance(clouds):
    x, y = clouds
    rng = np.random.default_rng(2)
    first = [table(rng.normal(size=(ATOMS, 6)), model="a", layer="1"), table(x, model="a", layer="2")]
    second = [table(y, model="b", layer=name) for name in ("1",)] + [
        table(rng.normal(size=(ATOMS, 6)), model="b", layer=name) for name in "23"
    ]
    found = layers(first, second, k=15, num_permutations=39)
    assert found.names == [["1", "2"], ["1", "2", "3"]]
    for entry in found.measures.values():
        best = entry.best_estimate
        assert entry.value.shape == entry.p.shape == (2, 3)
        assert entry.best == (1, 0)
        assert best.value == entry.value[1, 0]
        assert best.low < best.value < best.high
        np.testing.assert_allclose(entry.effect, entry.value - entry.null, atol=1e-6)
        assert best.effect.value == entry.effect.max() == entry.effect[1, 0]
        assert best.p == entry.p[1, 0] == pytest.approx(1 / 40)
        others = np.delete(entry.p.ravel(), 3)
        assert others.min() > 1 / 40


def test_layers_that_hold_nothing_but_the_element_are_not_the_best(clouds):
    """They agree most of all, and not beyond the element."""
    x, y = clouds
    rng = np.random.default_rng(3)
    species = table(x, model="a").species
    vectors = rng.normal(size=(120, 6))
    first = [table(vectors[species], model="a", layer="0"), table(x, model="a", layer="1")]
    second = [
        table(vectors[species] @ np.diag([1, 2, 1, 1, 1, 1]), model="b", layer="0"),
        table(y, model="b", layer="1"),
    ]
    found = layers(first, second, k=15, num_permutations=39, measures=("procrustes", "mutual_knn"))
    assert found.measures["procrustes"].value.argmax() == 0
    for entry in found.measures.values():
        assert entry.best == (1, 1)
        assert entry.p[0, 0] > 0.05
        assert entry.best_estimate.p == pytest.approx(1 / 40)


def test_the_layers_of_a_store_are_read_in_order(tmp_path):
    from ase import Atoms
    from platonic_adapters import store
    from platonic_adapters.structures import Structures

    structures = Structures.from_atoms([Atoms("HO", positions=[[0, 0, 0], [0, 0, 1]])], ["s"])
    wide = {"first": {"width": 2, "what": "x"}, "last": {"width": 3, "what": "y"}}
    writer = store.create(tmp_path / "a.zarr", structures, layers=wide, default_layer="last", provenance={"model": "a"})
    for block in writer.pending():
        writer.write(block, {name: np.ones((2, entry["width"]), np.float32) for name, entry in wide.items()}, {})
    writer.finish()
    read = load_layers(tmp_path / "a.zarr")
    assert [(one.layer, one.x.shape[1]) for one in read] == [("first", 2), ("last", 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": (5, 500)}, "`ks` must be from 1 to the number of atoms = 200, got 5, 500"),
        ({"ks": ()}, "`ks` must be"),
        ({"methods": ("best",)}, "`methods` must be among random, farthest_point, kmeans, direct, got 'best'"),
        (
            {"measures": ("pearson",)},
            "`measures` must be among procrustes, cka, mutual_knn, mutual_knn_other_structures, got 'pearson'",
        ),
    ],
)
def test_wrong_settings_are_refused(clouds, change, message):
    with pytest.raises(ValueError, match=message):
        sweep([table(x, model=name) for x, name in zip(clouds, "ab", strict=True)], **change)


def test_one_table_is_refused(clouds):
    with pytest.raises(ValueError, match="at least two"):
        sweep([table(clouds[0], model="a")])
