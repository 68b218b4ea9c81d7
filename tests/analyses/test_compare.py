"""The driver, against an independent computation, on clouds with a known answer."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed

from platonic_jax import metrics
from platonic_jax.analyses import DEFAULT_MEASURES, compare
from platonic_jax.anchors import Anchors, LinearMap
from platonic_jax.tables import EmbeddingTable

ATOMS, STRUCTURES = 240, 40


def table(x, *, model, structure_index=None, **provenance):
    rng = np.random.default_rng(5)
    species = np.sort(rng.choice([1, 8, 26], size=ATOMS))
    rng.shuffle(species)
    index = np.repeat(np.arange(STRUCTURES), ATOMS // STRUCTURES) if structure_index is None else structure_index
    return EmbeddingTable.from_arrays(x, species, index, model=model, provenance=provenance)


@pytest.fixture(scope="module")
def clouds():
    """A model, itself rotated and a little noisy, and one that knows nothing of it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ATOMS, 16)) + 1.0
    rotation, _ = np.linalg.qr(rng.normal(size=(24, 24)))
    y = np.pad(x, ((0, 0), (0, 8))) @ rotation + 0.02 * rng.normal(size=(ATOMS, 24))
    z = rng.normal(size=(ATOMS, 16)) + 1.0
    return x, y, z


@pytest.fixture(scope="module")
def comparison(clouds):
    x, y, z = clouds
    tables = [table(x, model="a"), table(y, model="b"), table(z, model="random:a", random_weights=True)]
    return compare(tables, k=30, seed=3, num_permutations=99, num_anchor_draws=5, num_transport_rows=120)


def shared_space(x, anchor_rows):
    unit = np.asarray(np.float32(x), np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit @ unit[anchor_rows].T


def reference(name, x, y):
    """The measures from their definitions, in numpy and float64, n × n where that is plainest."""
    n = len(x)
    if name == "procrustes":
        x, y = x - x.mean(0), y - y.mean(0)
        return np.linalg.svd(x.T @ y, compute_uv=False).sum() / np.linalg.norm(x) / np.linalg.norm(y)
    if name == "cka":

        def unbiased_hsic(a, b):
            a, b = a @ a.T, b @ b.T
            np.fill_diagonal(a, 0)
            np.fill_diagonal(b, 0)
            crossed = a.sum() * b.sum() / (n - 1) / (n - 2) - 2 * (a.sum(0) @ b.sum(0)) / (n - 2)
            return (np.sum(a * b) + crossed) / n / (n - 3)

        return unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y))
    if name.startswith("mutual_knn"):

        def neighbours(a):
            unit = a / np.linalg.norm(a, axis=1, keepdims=True)
            cosine = unit @ unit.T
            np.fill_diagonal(cosine, -np.inf)
            if name.endswith("other_structures"):
                structure = np.repeat(np.arange(STRUCTURES), n // STRUCTURES)
                cosine[structure[:, None] == structure[None]] = -np.inf
            return np.argsort(-cosine, axis=1, kind="stable")[:, :10]

        pairs = zip(neighbours(x), neighbours(y), strict=True)
        return np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
    return None


def test_overlaps_are_the_rows_of_mutual_knn(comparison, clouds):
    spaces = [shared_space(x, comparison.anchors["row"]) for x in clouds]
    with jax.enable_x64(True):
        spaces = [jnp.asarray(space) for space in spaces]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            rows = np.asarray(metrics.mutual_knn_rows(spaces[i], spaces[j], num_neighbours=10))
            np.testing.assert_allclose(comparison.overlaps[i, j], rows[comparison.rows], atol=1e-6)
    np.testing.assert_array_equal(comparison.overlaps, comparison.overlaps.transpose(1, 0, 2))
    mean = comparison.overlaps[:3, :3].mean(axis=2)
    np.testing.assert_allclose(mean, comparison.measures["mutual_knn"].value[:3, :3], atol=1e-6)
    # Of a and b alone: the third is not trained.
    np.testing.assert_array_equal(comparison.agreement, comparison.overlaps[0, 1])


def test_without_a_pair_of_trained_models_there_is_no_agreement(comparison):
    alone = dataclasses.replace(comparison, kinds=["model", "random", "random", "element"])
    assert np.isnan(alone.agreement).all()


@pytest.mark.parametrize("name", ["procrustes", "cka", "mutual_knn", "mutual_knn_other_structures"])
def test_values_agree_with_an_independent_computation(comparison, clouds, name):
    rows = comparison.anchors["row"]
    x, y, z = (shared_space(cloud, rows) for cloud in clouds)
    value = comparison.measures[name].value
    assert value[0, 1] == pytest.approx(reference(name, x, y), abs=1e-6)
    assert value[0, 2] == pytest.approx(reference(name, x, z), abs=1e-6)
    assert value[1, 2] == pytest.approx(reference(name, y, z), abs=1e-6)


def test_transport_agrees_with_a_plain_sinkhorn(comparison, clouds):
    from scipy.special import logsumexp

    def transport(a, b, epsilon):
        cost = ((a[:, None] - b[None]) ** 2).sum(-1)
        f, g = np.zeros(len(a)), np.zeros(len(b))
        for _ in range(2000):
            f = -epsilon * logsumexp((g - cost) / epsilon - np.log(len(b)), axis=1)
            g = -epsilon * logsumexp((f[:, None] - cost) / epsilon - np.log(len(a)), axis=0)
        return f.mean() + g.mean()

    matrix = comparison.measures["sinkhorn_divergence"]
    x, y, _ = (shared_space(cloud, comparison.anchors["row"])[matrix.settings["rows"]] for cloud in clouds)
    epsilon = matrix.settings["epsilon"] * ((x[:, None] - y[None]) ** 2).sum(-1).mean()
    expected = transport(x, y, epsilon) - (transport(x, x, epsilon) + transport(y, y, epsilon)) / 2
    assert matrix.value[0, 1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", DEFAULT_MEASURES)
def test_related_models_stand_out_from_their_nulls_and_unrelated_ones_do_not(comparison, name):
    matrix = comparison.measures[name]
    assert (matrix.p[0, 1] < 0.06) & (matrix.p[0, 2] > 0.02)
    if name == "sinkhorn_divergence":  # Of thinned rows there are too few to test every element.
        assert np.isnan(matrix.p_within_element).all()
        assert not matrix.settings["exchange"]["null_within_element"]["can_be_tested"]
        return
    assert (matrix.p_within_element[0, 1] < 0.06) & (matrix.p_within_element[0, 2] > 0.02)
    assert matrix.effect_low_within_element[0, 1] > 0 > matrix.effect_low_within_element[0, 2]
    for suffix in ("", "_within_element"):
        null, effect = getattr(matrix, f"null{suffix}"), getattr(matrix, f"effect{suffix}")
        np.testing.assert_allclose(effect[0, 1], matrix.value[0, 1] - null[0, 1], atol=1e-12)


@pytest.mark.parametrize("name", DEFAULT_MEASURES)
def test_matrices_are_symmetric_with_the_value_inside_its_interval(comparison, name):
    matrix = comparison.measures[name]
    for field in ("value", "low", "high", "null", "null_within_element", "p", "effect_within_element"):
        np.testing.assert_array_equal(getattr(matrix, field), getattr(matrix, field).T)
    assert (matrix.low <= matrix.value).all()
    assert (matrix.value <= matrix.high).all()
    identity = 1.0 if matrix.settings["larger_is_more_similar"] else 0.0
    np.testing.assert_allclose(np.diag(matrix.value), identity, atol=1e-6)


def test_baselines_stand_beside_the_models_and_are_named_as_such(comparison):
    assert comparison.models == ["a", "b", "random:a", "element"]
    assert comparison.kinds == ["model", "model", "random", "element"]


@pytest.fixture(scope="module")
def resolved(clouds):
    """Two models of 240 atoms of three elements, whose agreement differs between two labels."""
    x, y, _ = clouds
    labels = np.arange(STRUCTURES) % 2  # One label a structure.
    shuffled = np.where((labels[np.repeat(np.arange(STRUCTURES), 6)] == 0)[:, None], y, y[::-1])
    tables = [table(x, model="a"), table(shuffled, model="b")]
    settings = {"measures": ["procrustes", "cka", "mutual_knn"], "num_permutations": 3, "num_anchor_draws": 2}
    return compare(tables, k=12, by=labels, element_alone=False, **settings), tables, labels


def test_groups_are_compared_on_their_own_rows(resolved):
    found, tables, labels = resolved
    groups = found.resolved["labels"]
    assert sorted(groups.labels) == ["0", "1"]
    assert groups.num_atoms.tolist() == [120, 120]
    assert groups.num_structures.tolist() == [20, 20]
    for g, label in enumerate(groups.labels):
        rows = np.flatnonzero(labels[tables[0].structure_index] == int(label))
        x, y = (shared_space(one.x, found.anchors["row"])[rows] for one in tables)
        for name, matrices in groups.measures.items():
            at = {field: array[g, 0, 1] for field, array in matrices.items()}
            assert at["value"] == pytest.approx(reference(name, x, y), abs=1e-5)
            assert at["low"] < at["value"] < at["high"]
            assert (at["value"] > at["null_within_element"] + 0.1) == (label == "0")


def test_small_groups_are_left_out_and_named(clouds):
    x, y, _ = clouds
    settings = {"k": 12, "measures": ["cka"], "num_permutations": 2, "num_anchor_draws": 0, "element_alone": False}
    found = compare([table(x, model="a"), table(y, model="b")], by="element", **settings).resolved["element"]
    assert found.labels == []
    assert set(found.left_out) == {"H", "O", "Fe"}
    assert sum(found.left_out.values()) == ATOMS


IN_A_ROW = np.tile(np.arange(6), (STRUCTURES, 1))


def with_structures(x, *, model, places=IN_A_ROW):
    """Six atoms in a row a structure, of which those at the ends have one neighbour and the others two."""
    from ase import Atoms
    from platonic_adapters.structures import Structures

    plain = table(x, model=model)
    symbols = plain.species.reshape(STRUCTURES, 6)
    atoms = [  # No two alike.
        Atoms(row, positions=[[(1 + 1e-3 * s) * i, 0, 0] for i in places[s]])
        for s, row in enumerate(np.full_like(symbols, 6))
    ]
    structures = Structures.from_atoms(atoms, [str(i) for i in range(STRUCTURES)])
    return EmbeddingTable.from_arrays(x, structures.species, plain.structure_index, structures=structures, model=model)


def test_the_null_within_coordination_keeps_what_coordination_explains(clouds):
    """Both models see the end of a chain and nothing else: exchanged within coordination, they agree as before."""
    rng = np.random.default_rng(1)
    places = rng.permuted(IN_A_ROW, axis=1)
    end = np.isin(places, (0, 5)).reshape(-1, 1).astype(float)
    x, y = (end * rng.normal(size=(1, 8)) + 1 + 0.01 * rng.normal(size=(ATOMS, 8)) for _ in range(2))
    settings = {"k": 12, "measures": ["cka", "sinkhorn_divergence"], "num_anchor_draws": 0, "element_alone": False}
    settings |= {"num_permutations": 9, "num_transport_rows": 60, "num_transport_draws": 2}
    nulls = ("element", "coordination")
    tables = [with_structures(cloud, model=name, places=places) for cloud, name in ((x, "a"), (y, "b"))]
    found = compare(tables, nulls=nulls, **settings)
    matrix = found.measures["cka"]
    assert matrix.value[0, 1] > 0.9
    assert matrix.null_within_element[0, 1] < 0.2
    assert matrix.null_within_coordination[0, 1] > 0.9
    assert np.isnan(matrix.null[0, 1])
    assert found.measures["sinkhorn_divergence"].null_within_coordination.shape == (2, 2)


@pytest.mark.parametrize("anchors", ["farthest_point", "kmeans", "direct"])
def test_every_method_of_anchors_serves(clouds, anchors):
    x, y, _ = clouds
    settings = {"k": 12, "measures": ["cka"], "num_permutations": 2, "num_anchor_draws": 0, "element_alone": False}
    found = compare([table(x, model="a"), table(y, model="b")], anchors=anchors, **settings)
    assert found.anchors["method"] == anchors
    assert len(set(found.anchors["row"])) == found.anchors["k"] == 12


def test_anchors_can_be_given_as_rows_or_as_a_record_and_the_similarity_chosen(clouds):
    x, y, _ = clouds
    tables = [with_structures(x, model="a"), with_structures(y, model="b")]
    settings = {"measures": ["cka"], "num_permutations": 2, "num_anchor_draws": 0, "similarity": "l2"}

    record = Anchors.from_rows(tables[0].structures, tables[0].structure_index, np.arange(10, 20), method="mine")
    found = [compare(tables, anchors=anchors, **settings) for anchors in (np.arange(10, 20), record)]
    assert found[0].anchors["row"] == found[1].anchors["row"] == list(range(10, 20))
    assert found[0].anchors["similarity"] == "l2"
    assert found[0].measures["cka"].value[0, 1] == found[1].measures["cka"].value[0, 1]
    a, b = (np.linalg.norm(cloud[:, None] - cloud[None, 10:20], axis=2) for cloud in (x, y))
    assert found[0].measures["cka"].value[0, 1] == pytest.approx(reference("cka", a, b), abs=1e-5)


def test_what_was_learned_about_anchors_is_used(clouds):
    x, y, _ = clouds
    tables = [with_structures(x, model="a"), with_structures(y, model="b")]
    rng = np.random.default_rng(5)
    maps = {
        found.model: LinearMap(found.layer, rng.normal(size=(1, w)), rng.normal(size=(w, 5)))
        for found, w in ((table, table.x.shape[1]) for table in tables)
    }
    rows, weights = np.arange(10, 20), rng.uniform(size=10)
    learned = Anchors.from_rows(
        tables[0].structures, tables[0].structure_index, rows, method="learned", weights=weights, metrics=maps
    )
    settings = {
        "measures": ["cka", "wasserstein"],
        "num_permutations": 2,
        "num_anchor_draws": 0,
        "num_transport_draws": 2,
    }
    found = compare(tables, anchors=learned, **settings)  # The element alone has no map, and needs none.
    assert found.kinds == ["model", "model", "element"]
    assert found.anchors["metrics"] == ["a", "b"]
    spaces = []
    for table in tables:
        z = (table.x - maps[table.model].origin) @ maps[table.model].matrix
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        spaces.append(z @ z[rows].T * weights)
    assert found.measures["cka"].value[0, 1] == pytest.approx(reference("cka", *spaces), abs=1e-5)
    with pytest.raises(ValueError, match=r"learned for \(a .*, b .*\), got c"):
        compare([tables[0], with_structures(y, model="c")], anchors=learned, **settings)


def test_a_measure_that_is_not_symmetric_fills_its_matrix_both_ways(clouds):
    from platonic_jax import metrics

    x, y, _ = clouds
    tables = [table(x, model="a"), table(np.hstack([y, y**2]), model="b")]
    settings = {"measures": ["gfre"], "num_transport_draws": 5, "num_transport_rows": 120, "element_alone": False}
    found = compare(tables, anchors=np.arange(10), **settings)
    matrix = found.measures["gfre"]
    spaces = [shared_space(one.x, np.arange(10))[matrix.settings["rows"]] for one in tables]
    a, b = (jnp.asarray(space, jnp.float32) for space in spaces)
    assert matrix.value[0, 1] == pytest.approx(float(metrics.gfre(a, b)), abs=1e-3)
    assert matrix.value[1, 0] == pytest.approx(float(metrics.gfre(b, a)), abs=1e-3)
    assert matrix.value[0, 1] != matrix.value[1, 0]
    assert (matrix.null[0, 1] > matrix.value[0, 1]) & (matrix.low <= matrix.high).all()


def test_json_has_the_agreed_form_and_no_nan(comparison, tmp_path):
    comparison.save(tmp_path / "compare.json")
    assert [path.name for path in tmp_path.iterdir()] == ["compare.json"]

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads((tmp_path / "compare.json").read_text(), parse_constant=refuse)
    schemed.check("compare", found)
    reports.check(comparison)
    assert {"models", "anchors", "measures", "provenance"} <= set(found)
    assert found["anchors"]["method"] == "random"
    assert len(found["anchors"]["row"]) == len(found["anchors"]["structure"]) == len(found["anchors"]["atom"]) == 30
    row, structure, atom = (found["anchors"][name][0] for name in ("row", "structure", "atom"))
    assert int(structure) * 6 + atom == row
    for matrix in found["measures"].values():
        for field in ("value", "low", "high", "null", "p", "null_within_element", "p_within_element"):
            assert np.shape(matrix[field]) == (4, 4)
        assert np.shape(matrix["effect_within_element"]) == (4, 4)
    assert found["provenance"]["seed"] == 3


def test_maps_and_neighbours_belong_to_their_rows(comparison, clouds):
    assert len(comparison.rows) == ATOMS
    x = shared_space(clouds[0], comparison.anchors["row"])
    centred = x - x.mean(0)
    spectrum = np.linalg.svd(centred, compute_uv=False) ** 2
    np.testing.assert_allclose(comparison.maps[0]["shared_explained"], (spectrum / spectrum.sum())[:2], rtol=1e-3)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(ATOMS)
    np.testing.assert_array_equal(comparison.neighbours[0][:, 0], cosine.argmax(axis=1))


def test_the_same_seed_gives_the_same_result_and_another_seed_other_anchors(clouds):
    x, y, _ = clouds
    settings = {"k": 20, "measures": ["procrustes"], "num_permutations": 5, "num_anchor_draws": 0}
    runs = [compare([table(x, model="a"), table(y, model="b")], seed=seed, **settings) for seed in (1, 1, 2)]
    assert runs[0].anchors["row"] == runs[1].anchors["row"] != runs[2].anchors["row"]
    np.testing.assert_array_equal(runs[0].measures["procrustes"].null, runs[1].measures["procrustes"].null)


def test_one_model_twice_gets_two_names(clouds):
    x, y, _ = clouds
    settings = {"k": 20, "measures": ["cka"], "num_permutations": 5, "num_anchor_draws": 0, "element_alone": False}
    assert compare([table(x, model="a"), table(y, model="a")], **settings).models == [
        "a embedding (1)",
        "a embedding (2)",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 1000}, "`k` must be at most"),
        ({"anchors": "best"}, "`anchors` must be one of 'random', .*got 'best'"),
        ({"measures": ["pearson"]}, "`measures` must be among"),
        ({"nulls": ["charge"]}, "`nulls` must be among all, element, coordination, got 'charge'"),
        ({"nulls": ["coordination"]}, "`nulls` must not hold coordination where tables bring no structures"),
        ({"by": "colour"}, "`by` must be among element, family"),
        ({"by": "family"}, "`by` must not be family where tables bring no structures"),
        ({"by": np.arange(7)}, "`by` must have one label for each of 240 rows or of 40 structures"),
        ({"anchors": np.array([1, 1])}, "`anchors` must be different whole numbers"),
        ({"anchors": np.array([1, 240])}, "`anchors` must be rows from 0 to 239, got 1 to 240"),
    ],
)
def test_wrong_settings_are_refused(clouds, change, message):
    x, y, _ = clouds
    with pytest.raises(ValueError, match=message):
        compare([table(x, model="a"), table(y, model="b")], **change)


def test_two_models_that_are_one_vector_an_element_do_not_agree_beyond_it():
    """Ties must not create agreement: all atoms of an element are equally near."""
    rng = np.random.default_rng(2)
    tables = [table(rng.normal(size=(30, 8))[table(np.zeros((ATOMS, 1)), model="").species], model=m) for m in "ab"]
    measures = ["procrustes", "mutual_knn", "mutual_knn_other_structures"]
    settings = {"k": 20, "measures": measures, "num_permutations": 39, "num_anchor_draws": 0, "element_alone": False}
    found = compare(tables, nulls=["element"], **settings)
    for name in measures:
        assert found.measures[name].p_within_element[0, 1] > 0.05
        assert abs(found.measures[name].effect_within_element[0, 1]) < 0.05
    # Each of 10 neighbours is one of some 80 atoms.
    assert found.measures["mutual_knn"].value[0, 1] < 0.25


def test_intervals_cover_the_choice_of_anchors_unless_the_anchors_are_given(clouds):
    x, y, _ = clouds
    tables = [table(x, model="a"), table(y + 0.5 * np.sin(5 * y), model="b")]
    settings = {"k": 10, "measures": ["procrustes"], "num_permutations": 19, "nulls": [], "element_alone": False}
    drawn = compare(tables, num_anchor_draws=10, **settings).measures["procrustes"]
    given = compare(tables, anchors=np.arange(10), **settings).measures["procrustes"]
    assert drawn.error_anchors[0, 1] > 0
    assert np.isnan(given.error_anchors[0, 1])
    assert "for these anchors only" in given.settings["interval"]
    assert "anchors drawn from each" in drawn.settings["interval"]
    width = drawn.high[0, 1] - drawn.low[0, 1]
    assert width > 2 * 1.96 * drawn.error_structures[0, 1]


def test_one_table_is_refused(clouds):
    with pytest.raises(ValueError, match="at least two"):
        compare([table(clouds[0], model="a")])


def test_tables_of_other_atoms_are_refused(clouds):
    x, y, _ = clouds
    shifted = np.repeat(np.arange(STRUCTURES // 2), 2 * ATOMS // STRUCTURES)
    with pytest.raises(ValueError, match="`structure_index` 0 and 1|`structure_index` 1 and 0"):
        compare([table(x, model="a"), table(y, model="b", structure_index=shifted)])


def test_bare_arrays_are_compared_without_elements(clouds):
    x, y, _ = clouds
    few = {"k": 20, "num_permutations": 19, "num_anchor_draws": 0, "measures": ["procrustes"]}
    found = compare({"mine": x, "theirs": y}, **few)
    assert (found.models, found.kinds) == (["mine", "theirs"], ["model", "model"])
    measure = found.measures["procrustes"]
    rows = np.asarray(found.anchors["row"])
    expected = reference("procrustes", shared_space(x, rows), shared_space(y, rows))
    assert measure.value[0, 1] == pytest.approx(expected, abs=1e-6)
    assert measure.p[0, 1] == pytest.approx(1 / 20)
    assert np.isnan(measure.p_within_element[0, 1])
    assert "agree beyond permuted structures" in found.verdict
    assert compare([x, y], **few).models == ["array 1", "array 2"]
    assert len(found.to_frame()) == 1
    reports.check(found)
