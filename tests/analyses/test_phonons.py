"""Phonons of crystals whose forces are known: ASE's effective medium theory, and what is done to it."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import reports
import schemed
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.calculators.emt import EMT
from platonic_adapters.reading import read
from platonic_adapters.structures import Structures

from platonic_jax import analyses, diagnostics, probes
from platonic_jax.tables import EmbeddingTable

phonopy = pytest.importorskip("phonopy", reason="the extra `phonons` is not installed")
pytest.importorskip("seekpath", reason="the extra `phonons` is not installed")

THZ = 15.633302  # sqrt(eV / Å² / amu) / 2π


def copper():
    return read(bulk("Cu", "fcc", a=3.6))[0]


def ordered_alloy():
    atoms = bulk("Cu", "fcc", a=3.75, cubic=True)
    atoms.symbols[0] = "Au"
    return read(atoms)[0]


def emt(atoms):
    atoms.calc = EMT()
    return atoms.get_forces()


def answered(made, forces_of=emt, rows_of=lambda atoms: atoms.numbers[:, None] * [1.0, 2.0], **provenance):
    """A table, and forces, of a model that is a pair of functions."""
    known = made.structures
    atoms = [known.atoms(i) for i in range(len(known))]
    return EmbeddingTable.from_arrays(
        np.concatenate([rows_of(a) for a in atoms]),
        known.species,
        known.structure_index,
        structures=known,
        model="emt",
        provenance=provenance,
        properties={"forces": np.concatenate([forces_of(a) for a in atoms])},
    )


@pytest.fixture(scope="module")
def made():
    return probes.displaced(probes.crystal(copper(), min_length=7.0), seed=0)


@pytest.fixture(scope="module")
def found(made):
    return analyses.phonons(answered(made), made)


def test_frequencies_are_those_of_a_plain_run_of_phonopy(made, found):
    plain = probes.crystal(copper(), min_length=7.0)
    cells = plain.supercells_with_displacements
    plain.forces = [emt(Atoms(c.symbols, cell=c.cell, positions=c.positions, pbc=True)) for c in cells]
    plain.produce_force_constants(show_drift=False)
    plain.symmetrize_force_constants(show_drift=False)
    plain.run_mesh(30.0, is_gamma_center=True)
    np.testing.assert_allclose(found.mesh.frequencies, plain.mesh.frequencies, atol=1e-6)
    np.testing.assert_allclose(found.mesh.weights.sum(), 1)


def test_frequencies_are_those_of_ase(tmp_path, made):
    from ase.phonons import Phonons

    other = Phonons(bulk("Cu", "fcc", a=3.6), EMT(), supercell=(3, 3, 3), delta=0.01, name=str(tmp_path / "run"))
    other.run()
    other.read(acoustic=True)
    points = np.array([[1, 0, 0], [1, 1, 0], [1, 2, 0]]) / 3  # Of the supercell: elsewhere ASE interpolates otherwise.
    expected = other.band_structure(points, verbose=False) / 4.135667696e-3
    forces = answered(made).properties["forces"].reshape(-1, 27, 3)[(made.role == "reduced") & (made.view == 0)]
    constants = diagnostics.summed(made.phonon, diagnostics.force_constants(made.phonon, forces))
    ours = diagnostics.loaded(made.phonon, constants).run_qpoints(points).frequencies
    np.testing.assert_allclose(ours, expected, atol=5e-3)


def test_what_obeys_physics_passes(found):
    assert not any(link["broken"] for link in found.chain.values())
    assert found.symmetry["num_sets"] > 0
    assert found.symmetry["splitting"] < 5e-3
    assert found.acoustic["violation"] < 1e-6
    assert not found.lowest["imaginary"]
    assert found.residual["largest"] < 1e-6
    assert "do not depend" in found.verdict
    assert "no imaginary modes" in found.verdict
    assert "Without a reference" in found.verdict


def test_forces_that_know_x_from_y_split_degenerate_modes_by_what_theory_says(made, found):
    """Along z the transverse modes lie along x and y; forces along x made 4 % larger raise one of them by 2 %."""
    known = analyses.phonons(answered(made, lambda atoms: emt(atoms) * [1.04, 1, 1], random_weights=True), made)
    assert known.chain["forces"]["broken"] == known.chain["frequencies"]["broken"] == ["rotated", "reflected"]
    assert not known.chain["rows"]["broken"]
    assert "the phonons change if the crystal is rotated, reflected" in known.verdict
    assert "random weights" in known.verdict
    forces = (
        answered(made, lambda atoms: emt(atoms) * [1.04, 1, 1])
        .properties["forces"]
        .reshape(-1, 27, 3)[made.role == "every"]
    )
    constants = diagnostics.force_constants(made.unreduced, forces)
    at_x = np.array([[0.5, 0.5, 0.0]])
    split = diagnostics.splitting(made.phonon, constants, at_x)
    even = diagnostics.force_constants(
        made.unreduced, answered(made).properties["forces"].reshape(-1, 27, 3)[made.role == "every"]
    )
    transverse = diagnostics.loaded(made.phonon, even).run_qpoints(at_x).frequencies[0, 0]
    np.testing.assert_allclose(split.splitting, transverse * (np.sqrt(1.04) - 1), rtol=1e-3)
    assert known.symmetry["splitting"] >= split.splitting[0]
    assert diagnostics.asymmetry(made.phonon, even)[0] < 1e-3 < diagnostics.asymmetry(made.phonon, constants)[0]


def test_rows_that_know_x_from_y_break_the_first_link_alone(made):
    rows = lambda atoms: np.stack([atoms.numbers + 0.01 * atoms.cell.array[0, 0], atoms.numbers], axis=1)
    known = analyses.phonons(answered(made, rows_of=rows), made)
    assert [link for link, entry in known.chain.items() if entry["broken"]] == ["rows"]


def test_forces_that_depend_on_the_origin_are_named_as_such(made):
    uneven = lambda atoms: emt(atoms) * (1 + 0.1 * np.sin(atoms.positions[:, :1]))
    found = analyses.phonons(answered(made, uneven), made)
    assert "shifted" in found.chain["frequencies"]["broken"]
    assert "Even a translation" in found.verdict


def test_springs_to_fixed_places_violate_the_sum_rule_by_their_strength(made):
    strength, perfect = 0.3, made.phonon.supercell.positions
    every = answered(made).properties["forces"].reshape(-1, 27, 3)[made.role == "every"].copy()
    positions = made.structures.positions.reshape(-1, 27, 3)[made.role == "every"]
    constants = diagnostics.force_constants(made.unreduced, every - strength * (positions - perfect))
    assert diagnostics.acoustic_violation(constants) == pytest.approx(strength, rel=1e-3)
    at_gamma = diagnostics.loaded(made.phonon, constants).run_qpoints([[0, 0, 0]]).frequencies[0]
    np.testing.assert_allclose(at_gamma, THZ * np.sqrt(strength / made.phonon.masses[0]), rtol=1e-3)
    again = diagnostics.summed(made.phonon, constants)
    assert diagnostics.acoustic_violation(again) < 1e-8


def test_against_a_reference_of_which_all_forces_are_a_multiple(tmp_path):
    """Frequencies are the square root of forces: 0.81 of them give 0.9 of these."""
    truth = probes.crystal(ordered_alloy(), min_length=7.0)
    made = probes.displaced(truth, seed=1)
    size = len(truth.supercell)
    true_forces = answered(made).properties["forces"].reshape(-1, size, 3)
    truth.forces = true_forces[(made.role == "reduced") & (made.view == 0)]
    truth.save(tmp_path / "phonopy_params.yaml")
    made = probes.displaced(probes.read_phonopy(tmp_path / "phonopy_params.yaml"), seed=1)
    found = analyses.phonons(answered(made, lambda atoms: 0.81 * emt(atoms)), made)
    error = found.reference.plain
    assert found.reference.polar is None
    mean = (found.mesh.weights[:, None] * found.mesh.frequencies).sum() / 12
    assert error.slope == pytest.approx(0.9, abs=1e-4)
    assert error.mean == pytest.approx(-error.mean_absolute, abs=1e-4)
    assert error.mean_absolute == pytest.approx(mean * 0.1 / 0.9, rel=1e-3)
    assert error.rescaled < 1e-3 < error.mean_absolute < error.null
    np.testing.assert_allclose(found.reference.constants, 0.19, atol=1e-5)
    assert "10 % softer" in found.verdict
    assert found.bands["reference"].frequencies.shape == found.bands["model"].frequencies.shape
    found.save(tmp_path / "phonons.json")
    told = json.loads((tmp_path / "phonons.json").read_text())
    schemed.check("phonons", told)
    reports.check(found)
    assert told["verdict"] == found.verdict
    assert told["reference"]["plain"]["slope"] == pytest.approx(error.slope)


def test_repulsion_alone_is_unstable_and_says_where(made):
    found = analyses.phonons(answered(made, lambda atoms: -emt(atoms)), made)
    assert found.lowest["imaginary"]
    assert found.lowest["share"] == pytest.approx([1])
    assert "There are imaginary modes" in found.verdict
    assert "mostly of Cu 0" in found.verdict


def test_the_path_of_rock_salt():
    phonon = probes.crystal(read(bulk("NaCl", "rocksalt", a=5.64))[0], min_length=4.0)
    springs = np.zeros((len(phonon.supercell), len(phonon.supercell), 3, 3))
    springs[np.arange(len(springs)), np.arange(len(springs))] = np.eye(3)
    bands = diagnostics.bands(phonon, springs, num_points=3)
    assert bands.labels == ["Γ", "X", "U|K", "Γ", "L", "W", "X"]
    assert len(bands.ticks) == len(bands.labels)
    assert bands.frequencies.shape == (18, 6)
    np.testing.assert_allclose(bands.frequencies[:, 0], THZ / np.sqrt(35.453), rtol=1e-4)


def test_difference_is_what_plain_loops_say():
    rng = np.random.default_rng(0)
    weights, a, b = np.array([0.25, 0.75]), rng.normal(size=(2, 3)), rng.normal(size=(2, 3)) + 4
    qpoints = np.zeros((2, 3))
    found = diagnostics.difference(diagnostics.Mesh(qpoints, weights, a), diagnostics.Mesh(qpoints, weights, b))
    assert found.mean_absolute == pytest.approx(
        sum(w * np.abs(p - q).mean() for w, p, q in zip(weights, a, b, strict=True))
    )
    assert found.mean == pytest.approx(sum(w * (p - q).mean() for w, p, q in zip(weights, a, b, strict=True)))
    assert found.largest == np.abs(a - b).max()


def test_no_draw_depends_on_how_many_there_are(made):
    more = probes.displaced(made.phonon, seed=0, num_rotations=2)
    assert made.structures.hashes == more.structures.hashes[: len(made.structures)]


def test_without_every_atom_displaced_the_splitting_is_not_told_and_the_rest_is_the_same(made, found):
    less = probes.displaced(made.phonon, seed=0, unreduced=False)
    assert len(less.structures) == len(made.structures) - 6
    known = analyses.phonons(answered(less), less)
    assert known.symmetry is known.acoustic is None
    assert "was not tested" in known.verdict
    np.testing.assert_array_equal(known.mesh.frequencies, found.mesh.frequencies)
    schemed.check("phonons", json.loads(json.dumps(known.to_json())))


def test_wrong_use(made, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="must be periodic in all three directions"):
        probes.crystal(Structures.from_atoms([molecule("H2O")], ["water"]))
    with pytest.raises(ValueError, match="must be periodic in all three directions"):
        probes.crystal(Structures.from_atoms([fcc100("Cu", (1, 1, 2), vacuum=5)], ["slab"]))
    with pytest.raises(ValueError, match="must be one crystal, got 2"):
        probes.crystal(read([bulk("Cu"), bulk("Al")])[0])
    with pytest.raises(ValueError, match="`distance` must be positive"):
        probes.crystal(copper(), distance=0.0)
    with pytest.raises(ValueError, match="`num_rotations` must be at least 1"):
        probes.displaced(made.phonon, seed=0, num_rotations=0)
    with pytest.raises(ValueError, match="must hold phonopy_disp.yaml"):
        probes.read_phonopy(tmp_path)
    made.phonon.save(tmp_path / "phonopy_disp.yaml")
    with pytest.raises(ValueError, match="must bring the forces"):
        probes.read_phonopy(tmp_path)
    table = answered(made)
    with pytest.raises(ValueError, match="`table` must have forces, got none"):
        analyses.phonons(dataclasses.replace(table, properties={}), made)
    with pytest.raises(ValueError, match="`table` must have finite forces"):
        analyses.phonons(dataclasses.replace(table, properties={"forces": np.full((len(table.x), 3), np.nan)}), made)
    other = probes.displaced(made.phonon, seed=1)
    with pytest.raises(ValueError, match="got other structures"):
        analyses.phonons(table, other)
    monkeypatch.setitem(sys.modules, "phonopy", None)
    with pytest.raises(ValueError, match=r"pip install .platonic-jax\[phonons\]"):
        probes.crystal(copper())
