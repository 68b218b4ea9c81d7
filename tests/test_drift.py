"""Drift, between clouds that were moved by a known amount."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed

from platonic_jax import diagnostics, studies
from platonic_jax.cli import _command
from platonic_jax.cli import _drift as command
from platonic_jax.tables import EmbeddingTable

pytestmark = pytest.mark.slow

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
    return studies.drift(before, after, **{"seen": ["Cu"], "anchors": ANCHORS, **options})


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


def test_the_exchange_test_of_two_is_the_sign_test():
    from scipy.stats import binomtest

    values = np.random.default_rng(0).normal(size=(15, 1, 2))
    values[:12, 0, 0] = values[:12, 0, 1] + 1
    values[12:, 0, 0] = values[12:, 0, 1] - 1
    found = diagnostics.exchange_test(jnp.asarray(values), num_permutations=9999, key=jax.random.key(0))
    expected = binomtest(12, 15, alternative="greater").pvalue
    assert float(found.p_values[0]) == pytest.approx(expected, abs=0.005)
    assert float(found.value) == pytest.approx((12 - 3) / np.sqrt(15), rel=1e-6)


def test_p_values_are_uniform_where_the_first_is_like_the_others():
    rng = np.random.default_rng(0)
    # Three groups that share what a structure does, and one that only some structures have.
    values = rng.normal(size=(200, 12, 1, 4)) + 0.5 * rng.normal(size=(200, 12, 4, 4))
    values[:, :6, 3] = np.nan
    tested = jax.jit(jax.vmap(lambda v, key: diagnostics.exchange_test(v, num_permutations=199, key=key).p_value))
    p_values = np.asarray(tested(jnp.asarray(values), jax.random.split(jax.random.key(0), 200)))
    assert 0.02 < np.mean(p_values <= 0.1) < 0.18
    assert 0.38 < np.mean(p_values <= 0.5) < 0.62


def test_the_exchange_test_needs_something_to_compare_with(as_users_call):
    with pytest.raises(ValueError, match="two repeats at least"):
        diagnostics.exchange_test(jnp.zeros((3, 2, 1)), num_permutations=9, key=jax.random.key(0))


def test_equal_weights_have_not_drifted():
    x, species, structure = cloud()
    before = table(x, species, structure)
    found = drift(before, before)
    assert found.overall["p_value"] == 1
    assert found.moved == []
    assert found.overall["displacement"]["value"] < 1e-6
    assert found.overall["mutual_knn"]["value"] == 1
    assert found.overall["procrustes"]["value"] == pytest.approx(1, abs=1e-5)
    assert "has not drifted" in found.verdict


def test_embedding_again_is_no_drift_but_ten_times_its_noise_is():
    x, species, structure = cloud()
    before = table(x, species, structure)
    again = [table(moved(x, species, ELEMENTS, size=1e-3, seed=seed), species, structure) for seed in range(5)]
    for i, after in enumerate(again):
        found = drift(before, after, repeats=again[:i] + again[i + 1 :])
        assert found.overall["p_value"] > 0.05
        assert found.moved == []
    drifted = table(moved(x, species, ELEMENTS, size=1e-2, seed=9), species, structure)
    assert len(drift(before, drifted, repeats=again[1:]).moved) == 6


def test_seeds_of_fine_tuning_are_set_beside_the_later_model():
    x, species, structure = cloud()
    far = moved(x, species, [AU], size=2)
    runs = [table(moved(far, species, ELEMENTS, size=0.1, seed=seed), species, structure) for seed in range(4, 9)]
    found = drift(table(x, species, structure), runs[0], reseeded=runs[1:])
    assert found.moved == ["Au"]
    assert found.null == {"kind": "fine-tuning with another seed", "num": 4}
    assert found.elements["Au"]["displacement"]["null"] < 0.3 * found.elements["Au"]["displacement"]["value"]


def test_what_moved_is_found_whatever_the_coordinates(gold):
    assert list(gold.elements)[:2] == ["Au", "Cu"]
    assert gold.elements["Au"]["p_value"] < 0.01
    assert not gold.elements["Au"]["seen"]
    assert gold.elements["Cu"]["seen"]
    # The others stay: rounding to float32 in other coordinates is less than the floor.
    assert gold.moved == ["Au", "Cu"]
    assert "Of 5 elements that were not fine-tuned on, 1 certainly moved, the farthest Au" in gold.verdict


def test_figures_are_means_over_atoms_with_intervals_around_them(gold):
    element, displacement = gold.atoms["element"], gold.atoms["displacement"]
    for symbol, entry in gold.elements.items():
        found = entry["displacement"]
        assert found["value"] == pytest.approx(displacement[element == symbol].mean(), rel=1e-6)
        assert entry["num_atoms"] == entry["num_structures"] == 20
    # One atom of the element in each structure: the plain standard error.
    spread = displacement[element == "Au"].std(ddof=1) / np.sqrt(20)
    found = gold.elements["Au"]["displacement"]
    assert (found["high"] - found["value"]) / 1.96 == pytest.approx(spread, rel=1e-4)
    of_structures = displacement.reshape(20, 6).mean(axis=1)
    np.testing.assert_allclose(gold.structures["displacement"], of_structures, rtol=1e-6)


def test_geometry_is_lost_where_atoms_moved(gold):
    procrustes, mutual = (
        {symbol: entry[name]["value"] for symbol, entry in gold.elements.items()}
        for name in ("procrustes", "mutual_knn")
    )
    assert procrustes["Au"] < procrustes["Cu"] < 1
    assert mutual["Au"] < mutual["Ag"]
    for entry in (gold.overall, gold.unseen, *gold.elements.values()):
        assert entry["procrustes"]["null"] == pytest.approx(1, abs=1e-3)
        assert entry["mutual_knn"]["low"] <= entry["mutual_knn"]["value"] <= entry["mutual_knn"]["high"]


def test_procrustes_of_an_element_is_that_of_its_rows_alone(gold):
    from platonic_jax import metrics, projection

    x, species, _ = cloud()
    later = moved(moved(x, species, [AU], size=1), species, [CU], size=0.2)
    own = species == AU
    shared = [
        projection.relative(jnp.asarray(y, jnp.float32), jnp.asarray(y[ANCHORS], jnp.float32)) for y in (x, later)
    ]
    expected = metrics.procrustes(*(of[own] for of in shared))
    assert gold.elements["Au"]["procrustes"]["value"] == pytest.approx(float(expected), abs=1e-4)


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
        assert entry["rank_correlation"]["value"] > 0.9
        # The energies that elements count from differ between model and labels, and are no error.
        assert entry["elements"]["Au"] == pytest.approx(3.2, abs=1e-4)
        assert entry["rank_correlation"]["low"] <= entry["rank_correlation"]["value"]


def test_wrong_input_is_one_clear_sentence():
    x, species, structure = cloud()
    before = table(x, species, structure)
    with pytest.raises(ValueError, match="symbols of elements, got 'Xy'"):
        drift(before, before, seen=["Xy"])
    with pytest.raises(ValueError, match="must not both be given"):
        drift(before, before, repeats=[before], reseeded=[before])
    with pytest.raises(ValueError, match="must tell environments apart"):
        drift(table(np.ones_like(x), species, structure), before)


def test_the_record_is_json_and_the_command_prints_it(gold, tmp_path, monkeypatch, capsys):
    gold.save(tmp_path / "drift.json")
    read = json.loads((tmp_path / "drift.json").read_text())
    schemed.check("drift", read)
    reports.check(gold)
    assert read["verdict"] == gold.verdict
    assert read["null"] == {"kind": "rounding by 1e-05 of a row", "num": 4}

    parser = argparse.ArgumentParser()
    command.add(parser)
    x, species, structure = cloud()
    stores = {
        "a": table(x, species, structure, model="old"),
        "b": table(moved(x, species, [AU], size=1), species, structure, model="new"),
    }
    monkeypatch.setattr("platonic_jax.tables.load", stores.__getitem__)
    arguments = parser.parse_args(["a", "b", "--seen", "Cu", "--k", "20", "--json", str(tmp_path / "found.json")])
    assert _command.run(command.find, arguments) == 0
    printed = capsys.readouterr().out
    assert "new has drifted from old" in printed
    assert "Cu (fine-tuned on)" in printed
    assert json.loads((tmp_path / "found.json").read_text())["after"] == "new"
