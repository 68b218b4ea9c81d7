"""The atlas: what is planted is found, files are checked, and wrong use is refused in a sentence."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from platonic_adapters import reading
from platonic_adapters.structures import Structures

from platonic_jax import analyses, metrics, report
from platonic_jax.analyses import _pairs, _similarities
from platonic_jax.analyses._atlas import _coordinates
from platonic_jax.cli import main
from platonic_jax.tables import EmbeddingTable

NUM, SIZE, DIM = 60, 4, 6
ELEMENTS = np.array([3, 8, 14, 26])


@pytest.fixture(scope="module")
def structures():
    """Crystals of four atoms without symmetry, of four elements."""
    rng = np.random.default_rng(0)
    atoms = [
        Atoms(rng.permutation(ELEMENTS), rng.uniform(0, 5, (SIZE, 3)), cell=5 + rng.normal(size=(3, 3)), pbc=True)
        for _ in range(NUM)
    ]
    return Structures.from_atoms(atoms, [f"s{i}" for i in range(NUM)])


@pytest.fixture(scope="module")
def latent(structures):
    rng = np.random.default_rng(1)
    element = rng.normal(size=(100, DIM))[structures.species]
    return element + rng.normal(size=element.shape)


def table_of(structures, x, name, **provenance):
    known = {"default_layer": "last", "layer": "last", "training_data": "D", "checkpoint": {"sha256": name}}
    return EmbeddingTable.from_arrays(
        x, structures.species, structures.structure_index, structures=structures, model=name, layer="last",
        provenance={**known, **provenance},
    )  # fmt: skip


def rotated(x, seed, *, noise):
    rng = np.random.default_rng(seed)
    return (x + noise * rng.normal(size=x.shape)) @ np.linalg.qr(rng.normal(size=(x.shape[1],) * 2))[0]


@pytest.fixture(scope="module")
def models(structures, latent):
    """Two that are near to what is placed, at the same distance; a farther one; and an untrained control."""
    control = np.random.default_rng(9).normal(size=latent.shape)
    return [
        table_of(structures, rotated(latent, 1, noise=0.3), "near"),
        table_of(structures, rotated(latent, 2, noise=0.3), "as-near"),
        table_of(structures, rotated(latent, 3, noise=1.5), "far"),
        table_of(structures, control, "random:near?seed=0", random_weights=True),
    ]


@pytest.fixture(scope="module")
def coordinates(models):
    return analyses.build_atlas(models, k=30)


@pytest.fixture(scope="module")
def placed(structures, latent, coordinates):
    """A model like the near ones but for iron, of which it knows nothing."""
    x = rotated(latent, 5, noise=0.2)
    iron = structures.species == 26
    x[iron] = np.random.default_rng(6).normal(size=(iron.sum(), DIM)) + x[iron].mean(axis=0)
    return analyses.atlas(table_of(structures, x, "mine"), coordinates=coordinates, num_permutations=19)


def test_the_nearest_models_and_what_differs_are_found(placed):
    place, shares = placed.place, placed.similarities["mutual_knn_other_structures"]["mine"]
    assert set(place.close) == {"near", "as-near"}
    assert place.itself is None
    assert place.behind["far"].low > 0
    assert shares["near"].effect.low > 0
    assert shares["near"].p == pytest.approx(0.05)
    assert shares["random:near?seed=0"].effect.low < 0.02
    assert placed.elements["Fe"].difference.high < 0
    assert all(one.difference.value > placed.elements["Fe"].difference.value + 0.1 for one in placed.elements.values()
               if one is not placed.elements["Fe"])  # fmt: skip
    assert {one.element for one in place.atoms[:5]} == {"Fe"}
    assert placed.num["structures"] == placed.num["all_structures"] == NUM
    assert "near" in placed.verdict
    assert "it shares least for atoms of Fe" in placed.verdict
    reports.check(placed)
    schemed.check("atlas", json.loads(json.dumps(placed.to_json())))


def test_a_model_of_the_atlas_finds_itself_and_is_compared_with_the_others(models, coordinates):
    result = analyses.atlas(models[0], coordinates=coordinates, num_permutations=19)
    for measure in result.similarities.values():
        assert measure["near"]["near"].value == pytest.approx(1.0, abs=1e-9)
    assert result.place.itself == "near"
    assert result.place.nearest == "as-near"
    assert "near" not in result.place.close
    assert "is itself in the atlas" in result.verdict


def test_the_atlas_alone_has_every_pair_once(coordinates):
    result = analyses.atlas(coordinates=coordinates)
    for measure in result.similarities.values():
        assert sum(map(len, measure.values())) == 6
        assert all(one.p is None and one.effect.bounded for others in measure.values() for one in others.values())
    assert result.place is None
    assert result.elements["O"].models["near"] > result.elements["O"].models["far"]
    assert result.verdict.startswith("The nearest trained models are near and as-near")
    reports.check(result)
    schemed.check("atlas", json.loads(json.dumps(result.to_json())))


def test_bootstrap_samples_have_their_neighbours_among_the_atoms_drawn(structures, latent):
    """The lists that are cut from longer ones are those of a new search."""
    place, key = jnp.asarray(structures.structure_index), jax.random.key(0)
    name = _pairs.NEIGHBOURS[1]
    find = lambda x, number, among=None: _pairs.neighbour_lists(
        x, place, num_neighbours=number, key=key, among=among, measures=(name,)
    )[name]
    spaces = [jnp.asarray(latent), jnp.asarray(rotated(latent, 7, noise=0.5))]
    counts = np.random.default_rng(0).multinomial(NUM, np.full(NUM, 1 / NUM), size=3)
    longer, pair = jnp.stack([find(x, 20) for x in spaces]), np.array([[0, 1]])
    cut = _similarities._resampled_overlaps(longer, pair, place, np.float32(counts), num_neighbours=5)
    for count, value in zip(counts, np.asarray(cut)[:, 0], strict=True):
        weights = count[structures.structure_index]
        lists = [find(x, 5, among=jnp.asarray(weights > 0)) for x in spaces]
        expected = np.average(metrics.neighbour_overlap(*lists), weights=weights)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_a_part_of_the_structures_is_enough_if_it_is_half(structures, models, coordinates, placed):
    some = structures.select(slice(20, None))
    fewer, x = coordinates.project(table_of(some, models[0].x[SIZE * 20 :], "mine"))
    assert fewer.ids == some.ids
    np.testing.assert_array_equal(fewer.species, some.species)
    kept = coordinates.anchors[coordinates.anchors >= 20 * SIZE]
    np.testing.assert_array_equal(fewer.anchors, kept - 20 * SIZE)
    np.testing.assert_array_equal(fewer.shared["near"], x)
    part = dataclasses.replace(placed, num={**placed.num, "structures": 40, "anchors": len(kept)})
    assert f"of 40 of 60 structures; {len(kept)} anchors" in report.part(part).intro
    fewer = table_of(structures.select(slice(40, None)), models[0].x[SIZE * 40 :], "mine")
    with pytest.raises(ValueError, match="at least half of the 60 structures of the atlas, got 20"):
        analyses.atlas(fewer, coordinates=coordinates)


def test_other_layers_structures_and_arrays_are_refused(models, coordinates, structures):
    layer = dataclasses.replace(models[0], layer="first")
    with pytest.raises(ValueError, match="default layer of near, `last`.* got layer `first`"):
        analyses.atlas(layer, coordinates=coordinates)
    with pytest.raises(ValueError, match="got 0 of them from near: embed the standard set"):
        analyses.atlas(models[0])
    with pytest.raises(ValueError, match="must bring its structures, got bare arrays of near"):
        analyses.atlas(dataclasses.replace(models[0], structures=None), coordinates=coordinates)
    with pytest.raises(ValueError, match="cannot reach p"):
        analyses.atlas(models[0], coordinates=coordinates, num_permutations=5)


def test_an_atlas_needs_two_trained_models_and_a_row_all_structures(models, coordinates, structures):
    with pytest.raises(ValueError, match="at least 2 trained models, got 1"):
        analyses.build_atlas([models[0], models[3]], k=5)
    with pytest.raises(ValueError, match="at least one model, got none"):
        analyses.build_atlas([])
    part = table_of(structures.select(slice(1, None)), models[0].x[SIZE:], "mine")
    with pytest.raises(ValueError, match="must have every structure of the atlas, got none of s0 from mine"):
        analyses.build_atlas([part], base=coordinates)
    alone = dataclasses.replace(
        coordinates, **{name: {"near": getattr(coordinates, name)["near"]} for name in ("models", "shared")}
    )
    with pytest.raises(ValueError, match="two trained models"):
        analyses.atlas(models[0], coordinates=alone)


def test_a_file_keeps_the_atlas_and_models_are_added_or_replaced(tmp_path, models, coordinates):
    coordinates.save(tmp_path / "a.npz")
    read = analyses.read_atlas(tmp_path / "a.npz")
    assert read.hashes == coordinates.hashes
    assert list(read.models) == ["near", "as-near", "far", "random:near?seed=0"]
    assert read.models["near"]["checkpoint"] == {"sha256": "near"}
    for name, x in coordinates.shared.items():
        np.testing.assert_array_equal(read.shared[name], x)
    more = analyses.build_atlas([dataclasses.replace(models[2], provenance={**models[2].provenance, "model": "new"})],
                                base=read)  # fmt: skip
    assert list(more.models) == [*read.models, "new"]
    assert list(analyses.build_atlas([models[1]], base=read).models) == list(read.models)


def rewritten(path, target, *, record=None, **arrays):
    """A file with a changed record or array, and everything else as it was."""
    with np.load(path) as file:
        content = dict(file)
    known = json.loads(bytes(content["record"])) | (record or {})
    content["record"] = np.frombuffer(json.dumps(known).encode(), np.uint8)
    np.savez(target, **{**content, **arrays})


def test_a_damaged_newer_or_empty_file_is_refused(tmp_path, coordinates):
    path = tmp_path / "a.npz"
    coordinates.save(path)
    changed = np.rint(coordinates.shared["near"] * 32767).astype(np.int16)
    changed[0, 0] -= 1
    damaged = tmp_path / "damaged.npz"
    contents = path.read_bytes()
    cases = {
        "cut": contents[: len(contents) // 2],
        "flipped": contents[:500] + bytes([contents[500] ^ 255]) + contents[501:],
        "text": b"no atlas",
    }
    for content in cases.values():
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=r"is no atlas, or a damaged one"):
            analyses.read_atlas(damaged)
    rewritten(path, damaged, model_0=changed)
    with pytest.raises(ValueError, match="damaged"):
        analyses.read_atlas(damaged)
    rewritten(path, damaged, record={"format": 2})
    with pytest.raises(ValueError, match="newer format"):
        analyses.read_atlas(damaged)
    rewritten(path, damaged, record={"models": []})
    with pytest.raises(ValueError, match="without models"):
        analyses.read_atlas(damaged)
    with pytest.raises(ValueError, match="is no file"):
        analyses.read_atlas(tmp_path / "none.npz")


def test_the_shipped_atlas_is_whole_and_of_the_shipped_structures():
    shipped = analyses.read_atlas()
    standard, _ = reading.read("atlas")
    assert shipped.hashes == standard.hashes
    assert shipped.ids == standard.ids
    np.testing.assert_array_equal(shipped.species, standard.species[standard.offsets[shipped.structure] + shipped.atom])
    k = len(shipped.anchors)
    assert k >= 50
    assert len(shipped.models) >= 12
    assert {table.kind for table in shipped.tables()} == {"model", "random"}
    assert all(known.get("checkpoint") and known.get("layer") for known in shipped.models.values())
    for x in shipped.shared.values():
        assert np.abs(x).max() == 1.0
        np.testing.assert_array_equal(x[shipped.anchors, np.arange(k)], 1.0)  # An anchor's similarity to itself.
    assert _coordinates.SHIPPED.stat().st_size < 5e6
    shown = Path(__file__).parents[2] / "notebooks/results/atlas/atlas.json"
    assert analyses.Atlas.load(shown).models == list(shipped.models)  # The page of the site is of the same models.


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("atlas a b", "must be one model, got 2"),
        ("atlas --build --save {tmp}/x.npz", "`--build` needs models or stores, and `--save FILE`"),
        ("atlas --build a", "`--build` needs models or stores, and `--save FILE`"),
        ("atlas --save {tmp}/x.npz", "must hold at least one model, got none"),
        ("atlas no-such-model", "no-such-model"),
        ("atlas 7net-0 --atlas {tmp}/none.npz", "is no file"),
    ],
)
def test_wrong_use_of_the_command_is_one_sentence(tmp_path, capsys, line, sentence):
    assert main(line.format(tmp=tmp_path).split()) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
