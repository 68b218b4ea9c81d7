"""Symmetry of rows, on models whose symmetries are known by construction."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from ase.build import bulk
from platonic_adapters.reading import read
from platonic_adapters.structures import Structures

from platonic_jax import analyses, diagnostics, probes
from platonic_jax.cli import main
from platonic_jax.tables import EmbeddingTable

CELLS = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)


def crystals():
    rutile = Atoms(
        "Ti2O4",
        scaled_positions=[
            [0, 0, 0],
            [0.5, 0.5, 0.5],
            [0.305, 0.305, 0],
            [0.695, 0.695, 0],
            [0.805, 0.195, 0.5],
            [0.195, 0.805, 0.5],
        ],
        cell=[4.59, 4.59, 2.96],
        pbc=True,
    )
    return read([rutile, bulk("NaCl", "rocksalt", a=5.64), bulk("Cu", "fcc", a=3.6)])[0]


def invariant(atoms):
    """Sums of Gaussians of distances to the atoms within 5 Å, weighted by atomic number: invariant to the last bit but
    rounding."""
    apart = atoms.positions[None, :, None] + (CELLS @ atoms.cell.array)[None, None] - atoms.positions[:, None, None]
    distance = np.linalg.norm(apart, axis=3)
    shell = np.cos(np.minimum(distance, 5) * np.pi / 5) + 1
    weight = shell * atoms.numbers[None, :, None] * (distance > 1e-6)
    rows = [(weight * np.exp(-((distance - centre) ** 2))).sum(axis=(1, 2)) for centre in np.arange(1, 5, 0.5)]
    return np.stack([*rows, atoms.numbers], axis=1), apart, weight


def turning(atoms, size=0.3):
    """Adds what a network may see that knows x from y."""
    rows, apart, weight = invariant(atoms)
    seen = (weight * np.cos(apart @ [1.0, 2.0, 0.5])).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    return rows * (1 + size * seen[:, None])


def handed(atoms):
    """The volume that the three nearest of different distances span, with its sign: turned along, but not reflected."""
    _, apart, weight = invariant(atoms)
    found = []
    for i in range(len(atoms)):
        length = np.linalg.norm(apart[i], axis=2)
        moments = [
            (weight[i][..., None] * np.exp(-((length[..., None] - c) ** 2)) * apart[i]).sum(axis=(0, 1))
            for c in (2, 3, 4)
        ]
        found.append(np.linalg.det(moments))
    return np.array(found)


MODELS = {
    "invariant": lambda atoms: invariant(atoms)[0],
    "turning": turning,
    "handed": lambda atoms: invariant(atoms)[0] + handed(atoms)[:, None],
    "origin": lambda atoms: invariant(atoms)[0] + 0.1 * atoms.positions[:, :1],
    "order": lambda atoms: invariant(atoms)[0] + np.arange(len(atoms))[:, None],
    "cell": lambda atoms: invariant(atoms)[0] * len(atoms),
}


def table(images, model, **provenance):
    known = images.structures
    x = np.concatenate([MODELS[model](known.atoms(i)) for i in range(len(known))])
    return EmbeddingTable.from_arrays(
        x, known.species, known.structure_index, structures=known, model=model, provenance=provenance
    )


orbits = jax.jit(diagnostics.orbits, static_argnames=("num_orbits", "most"))
IMAGES = probes.images(crystals(), seed=0, num_draws=2)
TURNS = {"cube rotation", "rotation", "reflection"}


def test_an_invariant_model_is_at_the_floor_and_collapses_every_orbit():
    found = analyses.symmetry(table(IMAGES, "invariant"), IMAGES)
    assert found.broken == []
    assert all(entry.largest < 3e-6 for space in found.images.values() for entry in space.values())
    assert found.orbits["raw"].num_orbits == 2
    assert found.orbits["raw"].collapsed == found.orbits["shared"].collapsed == 1
    assert "is invariant under every symmetry tested" in found.verdict
    assert found.fallback_scale == ["structure:2"]


@pytest.mark.parametrize(
    ("model", "broken"),
    [
        ("turning", TURNS),
        ("origin", {*TURNS, "translation", "supercell"}),
        ("order", {"permutation", "supercell"}),
        ("cell", {"supercell"}),
    ],
)
def test_what_a_model_breaks_is_named_and_nothing_else(model, broken):
    found = analyses.symmetry(table(IMAGES, model), IMAGES)
    assert set(found.broken) == broken
    assert "is not invariant under" in found.verdict


def test_a_model_that_knows_x_from_y_does_not_collapse_orbits_and_is_told_what_to_do():
    found = analyses.symmetry(table(IMAGES, "turning", random_weights=True), IMAGES)
    assert found.orbits["raw"].collapsed < 1
    assert found.orbits["raw"].worst["element"] in ("Ti", "O")
    assert "--orbit-average" in found.verdict
    assert "random weights" in found.verdict


def test_a_model_that_tells_left_from_right_parts_what_only_an_inversion_makes_equivalent():
    half = np.array([[0.11, 0.23, 0.31], [0.4, 0.07, 0.16]])
    cell = [[4.1, 0, 0], [0.7, 4.6, 0], [0.4, -0.6, 5.2]]
    centred = Atoms("CuOCuO", scaled_positions=np.concatenate([half, 1 - half]), cell=cell, pbc=True)
    images = probes.images(read(centred)[0], seed=0, num_draws=2)
    np.testing.assert_array_equal(images.orbit[:4], [0, 1, 0, 1])
    found = analyses.symmetry(table(images, "handed"), images)
    assert found.broken == ["reflection"]
    assert found.orbits["raw"].collapsed == 0
    assert "mirror images" in found.verdict
    assert analyses.symmetry(table(images, "invariant"), images).orbits["raw"].collapsed == 1


def test_the_figures_are_those_of_plain_loops():
    made = table(IMAGES, "turning")
    found = analyses.symmetry(made, IMAGES, k=5, seed=3)
    x, kinds = made.x.astype(float), IMAGES.kind[made.structure_index]
    rows = np.flatnonzero(kinds == "rotation")
    original = x[IMAGES.image_of[rows]]
    distance = np.linalg.norm(x[rows] - original, axis=1)
    relative = distance / np.linalg.norm(original, axis=1)
    entry = found.images["raw"]["rotation"]
    np.testing.assert_allclose([entry.median, entry.largest], [np.median(relative), relative.max()], rtol=1e-5)
    assert entry.num_structures == 6
    worst = IMAGES.image_of[rows[relative.argmax()]]
    assert (entry.worst["atom"], entry.worst["structure"]) == (
        made.atom_index[worst],
        IMAGES.structures.ids[made.structure_index[worst]],
    )
    # Rutile has two orbits, the distance of whose means is the ruler; salt two; copper borrows from all five.
    means = np.stack([x[:2].mean(axis=0), x[2:6].mean(axis=0), x[6], x[7], x[8]])
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    ruler = np.array([*[apart[0, 1]] * 6, *[apart[2, 3]] * 2, np.sqrt((apart**2).sum() / 20)])
    against = distance / ruler[IMAGES.image_of[rows]]
    np.testing.assert_allclose(entry.largest_against, against.max(), rtol=1e-5)
    salted = IMAGES.image_of[rows] < 8
    confused = distance[salted] > ruler[IMAGES.image_of[rows]][salted] / 2
    assert entry.misassigned == pytest.approx(confused.mean())
    spread = np.concatenate([np.linalg.norm(x[:2] - means[0], axis=1), np.linalg.norm(x[2:6] - means[1], axis=1)])
    within = np.sqrt(np.mean([(spread[:2] ** 2).mean(), (spread[2:] ** 2).mean()]))
    assert found.orbits["raw"].within == pytest.approx(within, rel=1e-5)
    turned = np.isin(kinds, list(TURNS)) & (IMAGES.image_of == 3)
    moved = np.linalg.norm(x[turned] - x[3], axis=1) / np.linalg.norm(x[3])
    assert found.atoms["median"][3] == pytest.approx(np.median(moved), rel=1e-5)
    assert found.elements["O"]["largest"] == pytest.approx(found.atoms["largest"][2:6].max())


def test_the_shared_space_sees_directions_not_lengths():
    found = analyses.symmetry(table(IMAGES, "cell"), IMAGES)
    assert found.images["raw"]["supercell"].largest > 0.5
    assert found.images["shared"]["supercell"].largest < 1e-6


def test_orbits_against_plain_loops_and_their_gradient():
    rng = np.random.default_rng(0)
    x, orbit, structure = (
        rng.normal(size=(9, 3)),
        np.array([0, 1, 0, 2, 2, 3, 3, 3, 4]),
        np.repeat([0, 1, 2], [5, 3, 1]),
    )
    with jax.enable_x64(True):
        found = orbits(jnp.asarray(x), jnp.asarray(orbit), jnp.asarray(structure), num_orbits=5, most=3)
        means = np.stack([x[orbit == o].mean(axis=0) for o in range(5)])
        for o in range(5):
            apart = np.linalg.norm(x[orbit == o] - means[o], axis=1)
            assert found.within[o] == pytest.approx(np.sqrt((apart**2).mean()), abs=1e-12)
            assert found.largest[o] == pytest.approx(apart.max(), abs=1e-12)
        first = np.linalg.norm(means[1:3] - means[0], axis=1)
        assert found.between[0] == pytest.approx(np.sqrt((first**2).mean()))
        assert found.nearest[0] == pytest.approx(first.min())
        assert np.isnan(found.between[3:]).all()

        def total(x):
            spread = orbits(x, jnp.asarray(orbit), jnp.asarray(structure), num_orbits=5, most=3)
            return jnp.sum(spread.within) + jnp.sum(spread.between[:3])

        slope, step = jax.jit(jax.grad(total))(jnp.asarray(x)), rng.normal(size=x.shape)
        numeric = (total(jnp.asarray(x + 1e-6 * step)) - total(jnp.asarray(x - 1e-6 * step))) / 2e-6
        assert float((slope * step).sum()) == pytest.approx(float(numeric), rel=1e-6)


def test_equal_rows_far_from_the_origin_have_no_spread_at_all():
    x = jnp.full((3, 4), 1e4 / 3, jnp.float32)
    found = orbits(x, jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.int32), num_orbits=1, most=1)
    assert float(found.within[0]) == float(found.largest[0]) == 0
    assert found.within.dtype == jnp.float32


def test_the_record_is_json_and_a_skipped_structure_is_left_out(tmp_path):
    keep = np.array([not name.startswith("structure:2") for name in IMAGES.structures.ids])
    part = IMAGES.structures.select(keep)
    rows = table(IMAGES, "invariant").x[np.repeat(keep, IMAGES.structures.num_atoms)]
    made = EmbeddingTable.from_arrays(rows, part.species, part.structure_index, structures=part, model="part")
    found = analyses.symmetry(made, IMAGES)
    found.save(tmp_path / "symmetry.json")
    told = json.loads((tmp_path / "symmetry.json").read_text())
    schemed.check("symmetry", [told])
    reports.check([found])
    assert told["verdict"] == found.verdict
    assert set(told["elements"]) == {"Ti", "O", "Na", "Cl"}
    assert told["provenance"]["stores"]["part"]["model"] == "part"


def test_one_environment_alone_has_no_ruler():
    images = probes.images(read(bulk("Cu", "fcc", a=3.6))[0], seed=0, num_draws=1)
    found = analyses.symmetry(table(images, "turning"), images)
    assert np.isnan(found.images["raw"]["rotation"].largest_against)
    assert "was not tested" in found.verdict
    reports.check([found])


def test_wrong_use():
    made = table(IMAGES, "invariant")
    bare = EmbeddingTable.from_arrays(made.x, made.species, made.structure_index)
    with pytest.raises(ValueError, match="must have structures"):
        analyses.symmetry(bare, IMAGES)
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        analyses.symmetry(made, IMAGES, k=0)
    other = Structures.from_atoms([a.repeat(2) for a in map(crystals().atoms, range(3))], crystals().ids)
    others = EmbeddingTable.from_arrays(
        np.ones((len(other.species), 2)), other.species, other.structure_index, structures=other
    )
    with pytest.raises(ValueError, match="got other structures"):
        analyses.symmetry(others, IMAGES)


def test_chgnet_keeps_every_symmetry_and_an_orb_architecture_does_not(tmp_path):
    """Real weights and random ones, in environments of their own, through the command."""
    import ase.io

    for i in range(2):
        ase.io.write(tmp_path / "structures.extxyz", crystals().atoms(i), append=i > 0)
    models = ["chgnet-0.3.0", "random:orb-v3-direct-20-omat?seed=0"]
    told = tmp_path / "out.json"
    structures = str(tmp_path / "structures.extxyz")
    assert main(["symmetry", *models, structures, "--json", str(told), "--draws", "1"]) == 0
    sound, unconstrained = json.loads(told.read_text())
    assert max(entry["largest"] for entry in sound["images"]["raw"].values()) < 1e-5
    assert sound["orbits"]["raw"]["collapsed"] == 1
    assert unconstrained["kind"] == "random"
    moved = {kind: entry["largest"] for kind, entry in unconstrained["images"]["raw"].items()}
    assert moved["rotation"] > 1e-3
    # Not at the floor: it keeps 20 neighbours, and chooses among equally distant ones by rounding.
    assert moved["permutation"] < moved["rotation"] / 5
