"""Drift, between clouds that were moved by a known amount."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed
import scipy.stats

from platonic_jax import analyses, diagnostics
from platonic_jax.analyses._drift._lineage import check_lineage, check_repeat
from platonic_jax.cli import _command
from platonic_jax.cli import _drift as command
from platonic_jax.tables import EmbeddingTable

NA, K, CU, AG, PT, AU = ELEMENTS = (11, 19, 29, 47, 78, 79)
ANCHORS = np.arange(20) * 6 + 3  # Silver, in every structure.


def cloud(*, width=16, seed=0):
    """Twenty structures of one atom each of six elements, the elements well apart."""
    rng = np.random.default_rng(seed)
    species = np.tile(ELEMENTS, 20)
    place = 3 * rng.normal(size=(6, width))
    x = np.tile(place, (20, 1)) + rng.normal(size=(len(species), width))
    return x, species, np.repeat(np.arange(20), 6)


def table(x, species, structure, *, model="model", energy=None):
    properties = {} if energy is None else {"energy": energy}
    return EmbeddingTable.from_arrays(x, species, structure, model=model, properties=properties)


def moved(x, species, elements, *, size, seed=1):
    shift = np.random.default_rng(seed).normal(size=x.shape)
    return x + size * shift * np.isin(species, elements)[:, None]


def rotation(width, seed=2):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


displacement_of = jax.jit(diagnostics.displacement)


def drift(before, after, **options):
    return analyses.drift(before, after, **{"seen": ["Cu"], "anchors": ANCHORS, **options})


@pytest.fixture(scope="module")
def gold():
    """Gold was moved, and copper less; the anchors, of silver, stay, so that what stays is seen to stay."""
    x, species, structure = cloud()
    later = moved(moved(x, species, [AU], size=1), species, [CU], size=0.2)
    return drift(
        table(x, species, structure, model="old"), table(later @ rotation(16) * 3, species, structure, model="new")
    )


def test_displacement_is_the_plain_formula():
    before, after = np.random.default_rng(0).normal(size=(2, 12, 5))
    anchors = [1, 4, 7]

    def cosines(x):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit @ unit[anchors].T

    expected = np.sqrt(np.mean((cosines(after) - cosines(before)) ** 2, axis=1))
    found = displacement_of(jnp.asarray(before), jnp.asarray(after), jnp.array(anchors))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_displacement_sees_neither_rotation_nor_scale_nor_width():
    x, species, _ = cloud()
    after = np.pad(5 * x @ rotation(16), ((0, 0), (0, 3)))
    anchors = jnp.arange(6)
    assert displacement_of(jnp.asarray(x), jnp.asarray(after), anchors).max() < 1e-6
    turned = moved(after, species, [AU], size=1)
    assert displacement_of(jnp.asarray(x), jnp.asarray(turned), anchors).min() >= 0


def test_the_gradient_of_the_displacement_is_that_of_finite_differences():
    with jax.enable_x64(True):
        before, after, direction = jnp.asarray(np.random.default_rng(0).normal(size=(3, 8, 4)))
        total = lambda step: displacement_of(before, after + step * direction, jnp.array([0, 3])).sum()
        step = 1e-6
        expected = (total(step) - total(-step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(total)(0.0), expected, rtol=1e-6)
        stays = jax.grad(lambda x: displacement_of(before, x, jnp.array([0, 3])).sum())(before)
        assert np.isfinite(stays).all()


def test_the_exchange_test_ranks_models_by_their_distance_to_the_others():
    place = np.array([5.0, 0.0, 0.1, 0.3])
    found = diagnostics.exchange_test(jnp.abs(jnp.asarray(place[:, None] - place)))
    # 14.6, 5.4, 5.2 and 5.2 away in all.
    np.testing.assert_allclose(found, [0.25, 0.5, 1, 1])
    with pytest.raises(ValueError, match="at least two models"):
        diagnostics.exchange_test(jnp.zeros((1, 1)))


def test_equal_weights_are_not_displaced():
    x, species, structure = cloud()
    before = table(x, species, structure)
    found = drift(before, before)
    assert found.moved == []
    assert found.overall.displacement.value < 1e-6
    assert found.overall.mutual_knn.value == 1
    assert found.overall.procrustes.value == pytest.approx(1, abs=1e-5)
    assert "The displacement does not exceed numerical noise" in found.verdict


@pytest.mark.parametrize("noise", [1e-6, 4e-5, 1e-3])
def test_rounding_of_any_precision_is_no_displacement(noise):
    """Relative noise of 4e-5 had p = 0.001 and "has drifted"."""
    x, species, structure = cloud()
    shift = np.random.default_rng(1).normal(size=x.shape) / np.sqrt(x.shape[1])
    after = x + noise * np.linalg.norm(x, axis=1, keepdims=True) * shift
    found = drift(table(x, species, structure), table(after, species, structure), anchors="random")
    assert not found.overall.beyond
    assert found.moved == []
    assert "The displacement does not exceed numerical noise" in found.verdict
    assert found.overall.displacement.p is None
    assert found.runs is None
    assert "cannot be tested against displacement by the random seed without repeated training runs" in found.verdict


def test_embedding_again_is_a_measured_floor():
    x, species, structure = cloud()
    before = table(x, species, structure)
    again = [table(moved(x, species, ELEMENTS, size=1e-2, seed=seed), species, structure) for seed in range(3)]
    found = drift(before, again[0], repeats=again[1:])
    assert found.floors["embedding again"] == {"noise": None, "num": 2}
    assert found.moved == []
    drifted = table(moved(x, species, ELEMENTS, size=1e-1, seed=9), species, structure)
    assert len(drift(before, drifted, repeats=again[1:]).moved) == 6


def runs_of(number, *, shift=2.0):
    x, species, structure = cloud()
    far = moved(x, species, [AU], size=shift)
    later = [table(moved(far, species, ELEMENTS, size=0.1, seed=seed), species, structure) for seed in range(number)]
    return table(x, species, structure), later


def test_few_runs_of_training_give_an_interval_but_no_p_value():
    before, runs = runs_of(4)
    found = drift(before, runs[0], reseeded=runs[1:])
    assert (found.runs.num, found.runs.p, found.runs.least_p) == (4, None, 0.2)
    over = found.elements["Au"].over_runs
    assert over.low < over.value < over.high
    assert found.runs.spread < found.overall.displacement.value
    assert "with 4 runs, whose smallest possible p is 0.20: a test needs 19 runs." in found.verdict
    two = drift(before, runs[0], reseeded=runs[1:2])
    assert np.isnan(two.elements["Au"].over_runs.low)
    assert "nan" not in two.verdict
    reports.check(two)


def test_nineteen_runs_of_training_are_a_test():
    before, runs = runs_of(19)
    found = drift(before, runs[0], reseeded=runs[1:])
    assert found.runs.p == pytest.approx(0.05)
    assert found.runs.p_of_this_run is None
    assert "is farther from the runs than the runs are from each other (p = 0.05)" in found.verdict


def of_model(name, *, width=16, layer="embedding", **provenance):
    x, species, structure = cloud(width=width)
    return EmbeddingTable.from_arrays(x, species, structure, model=name, layer=layer, provenance=provenance)


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (of_model("chgnet-0.3.0", family="chgnet"), "of the family chgnet instead of sevennet"),
        (of_model("7net-0", family="sevennet", width=12), "12 columns instead of 16"),
        (of_model("7net-0", family="sevennet", layer="other"), "layer other instead of embedding"),
        (of_model("7net-l3i5", family="sevennet"), "not trained from it, as far as the registry of models knows"),
        (of_model("random:7net-0?seed=0", family="sevennet", random_weights=True), "not trained from it"),
    ],
)
def test_models_that_are_no_versions_of_each_other_are_refused(later, said):
    before = of_model("7net-0", family="sevennet")
    with pytest.raises(ValueError, match=f"`after` must be a later version of `before`, 7net-0; .*{said}"):
        drift(before, later)
    with pytest.raises(ValueError, match="must be a later version"):
        drift(before, before, reseeded=[later])


@pytest.mark.parametrize(
    ("earlier", "later", "checked"),
    [
        (of_model("a"), of_model("b"), "layer and width alone"),
        (
            of_model("chgnet-0.3.0", family="chgnet", relatives=["chgnet-r2scan"]),
            of_model("chgnet-r2scan", family="chgnet", relatives=["chgnet-0.3.0"]),
            "family, layer, width and lineage",
        ),
        (
            of_model("7net-0", family="sevennet", relatives=[]),
            of_model("sevennet:mine.pth#0123", family="sevennet", relatives=[]),
            "no lineage is known of a local checkpoint",
        ),
        (
            of_model("7net-0", family="sevennet", relatives=[]),
            of_model("sevennet:7net-0@mine.pth#0123", family="sevennet", relatives=["7net-0"]),
            "family, layer, width and lineage",
        ),
    ],
)
def test_what_is_known_of_two_versions_is_checked(earlier, later, checked):
    assert checked in check_lineage(earlier, later)


def test_a_repeat_is_of_the_same_weights():
    before = of_model("a", family="f", checkpoint={"sha256": "1"})
    with pytest.raises(ValueError, match="`repeats` must be a embedded again"):
        check_repeat(before, of_model("a", family="f", checkpoint={"sha256": "2"}))
    check_repeat(before, before)


def test_what_moved_is_found_whatever_the_coordinates(gold):
    assert list(gold.elements)[:2] == ["Au", "Cu"]
    assert not gold.elements["Au"].seen
    assert gold.elements["Cu"].seen
    # The others stay: rounding to float32 in other coordinates is less than the floor.
    assert gold.moved == ["Au", "Cu"]
    assert (
        "1 of 5 elements outside the fine-tuning set are displaced beyond numerical noise (largest: Au" in gold.verdict
    )


def test_figures_are_means_over_atoms_with_intervals_around_them(gold):
    element, displacement = gold.atoms["element"], gold.atoms["displacement"]
    for symbol, entry in gold.elements.items():
        found = entry.displacement
        assert found.value == pytest.approx(displacement[element == symbol].mean(), rel=1e-6)
        assert entry.num_atoms == entry.num_structures == 20
    # One atom of the element in each structure: at least about the plain standard error, and that of the unit.
    found = gold.elements["Au"].displacement
    spread = displacement[element == "Au"].std(ddof=1) / np.sqrt(20) / found.value
    assert 0.7 * spread < np.log(found.high / found.value) / scipy.stats.t.ppf(0.975, 19) < 3 * spread
    of_structures = displacement.reshape(20, 6).mean(axis=1)
    np.testing.assert_allclose(gold.structures["displacement"], of_structures, rtol=1e-6)


def test_geometry_is_lost_where_atoms_moved(gold):
    procrustes, mutual = (
        {symbol: getattr(entry, name).value for symbol, entry in gold.elements.items()}
        for name in ("procrustes", "mutual_knn")
    )
    assert procrustes["Au"] < procrustes["Cu"] < 1
    assert mutual["Au"] < mutual["Ag"]
    for entry in (gold.overall, gold.unseen, *gold.elements.values()):
        assert entry.floors["procrustes"]["half precision"] == pytest.approx(1, abs=1e-3)
        assert entry.mutual_knn.low <= entry.mutual_knn.value <= entry.mutual_knn.high


def test_procrustes_of_an_element_is_that_of_its_rows_alone(gold):
    from platonic_jax import metrics, projection

    x, species, _ = cloud()
    later = moved(moved(x, species, [AU], size=1), species, [CU], size=0.2)
    own = species == AU
    shared = [
        projection.relative(jnp.asarray(y, jnp.float32), jnp.asarray(y[ANCHORS], jnp.float32)) for y in (x, later)
    ]
    expected = metrics.procrustes(*(of[own] for of in shared))
    assert gold.elements["Au"].procrustes.value == pytest.approx(float(expected), abs=1e-4)


def test_elements_are_ranked_by_drift_as_by_energy():
    """One element a structure."""
    rng = np.random.default_rng(0)
    x, species, _ = cloud()
    size = np.where(species == AG, 0, 0.1 * 2.0 ** np.searchsorted(ELEMENTS, species))
    structure = np.arange(len(x))
    energy = rng.normal(size=len(x))
    change = size * np.where(structure // 6 % 2, 1, -1)
    labels = {"energy": np.where(structure < 60, energy + species / 10, np.nan)}
    found = drift(
        table(x, species, structure, energy=energy),
        table(x + size[:, None] * rng.normal(size=x.shape), species, structure, energy=energy + change),
        labels=labels,
    )
    for name in ("change", "error_change"):
        entry = found.energy[name]
        assert entry.rank_correlation.value > 0.9
        # The energies that elements count from differ between model and labels, and are no error.
        assert entry.elements["Au"] == pytest.approx(3.2, abs=1e-4)
        assert entry.rank_correlation.low <= entry.rank_correlation.value


def test_wrong_input_is_one_clear_sentence():
    x, species, structure = cloud()
    before = table(x, species, structure)
    with pytest.raises(ValueError, match="symbols of elements, such as Cu,Au, got 'Xy'"):
        drift(before, before, seen=["Xy"])
    with pytest.raises(ValueError, match="has the same embedding for most environments"):
        drift(table(np.ones_like(x), species, structure), before)


def test_the_record_is_json_and_the_command_prints_it(gold, tmp_path, monkeypatch, capsys):
    gold.save(tmp_path / "drift.json")
    read = json.loads((tmp_path / "drift.json").read_text())
    schemed.check("drift", read)
    reports.check(gold)
    assert read["verdict"] == gold.verdict
    assert read["floors"]["half precision"] == {"noise": 1e-3, "num": 2}

    parser = argparse.ArgumentParser()
    command.add(parser)
    x, species, structure = cloud()
    stores = {
        "a": table(x, species, structure, model="old"),
        "b": table(moved(x, species, [AU], size=1), species, structure, model="new"),
    }
    monkeypatch.setattr("platonic_jax.tables.load", lambda path, *_, **__: stores[path])
    arguments = parser.parse_args(["a", "b", "--seen", "Cu", "-k", "20", "--json", str(tmp_path / "found.json")])
    assert _command.run(command.find, arguments) == 0
    printed = capsys.readouterr().out
    assert "From old to new atoms are displaced by" in printed
    assert "Cu (fine-tuned on)" in printed
    assert json.loads((tmp_path / "found.json").read_text())["after"] == "new"
