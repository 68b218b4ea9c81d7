"""Averages over rotations, of a toy that knows its orientation: what stays, what turns along, what is stored."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from platonic_adapters import averaging, registry
from platonic_adapters.errors import UserError
from platonic_adapters.structures import turned
from scipy.spatial.transform import Rotation


class Oriented:
    """Rows, energies, forces and stresses that depend on the direction of every bond."""

    layers = {"rows": {"width": 3, "what": "rows"}}
    default_layer = "rows"
    elements = frozenset({29})
    checkpoint = {"name": "toy", "sha256": "0"}
    hardware = {"threads": 1}
    batch_atoms = 48

    def prepare(self, atoms):
        from ase.neighborlist import neighbor_list

        i, bonds = neighbor_list("iD", atoms, 4.0)
        weight = np.exp(-np.sum(bonds**2, axis=1))[:, None] * (2 + np.sin(bonds[:, :1]))
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, weight * bonds)
        rows = np.zeros((len(atoms), 3))
        np.add.at(rows, i, weight * np.cos(bonds + [0.1, 0.2, 0.3]))
        return rows, forces, np.einsum("bi,bj->ij", weight * bonds, bonds)

    def embed(self, prepared, properties=()):
        rows, forces, stress = zip(*prepared, strict=True)
        values = {"energy": np.array([r.sum() for r in rows]), "forces": np.concatenate(forces)}
        values["stress"] = np.stack(stress)
        return {"rows": np.concatenate(rows)}, {name: values[name] for name in properties}


PROPERTIES = ["energy", "forces", "stress", averaging.SPREAD]


def distorted():
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.2, seed=0)
    other = bulk("Cu", "hcp", a=2.6, c=4.2)
    other.rattle(0.2, seed=1)
    return [crystal, other]


def embedded(adapter, structures):
    return adapter.embed([adapter.prepare(atoms) for atoms in structures], PROPERTIES)


@pytest.mark.parametrize(("number", "group"), [(12, True), (24, True), (60, True), (5, False)])
def test_rotations_are_proper_and_groups_are_closed(number, group):
    turns = averaging.rotations(number)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-12)
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.tile(np.eye(3), (number, 1, 1)), atol=1e-12)
    products = np.einsum("aij,bjk->abik", turns, turns).reshape(-1, 1, 9)
    missing = np.abs(products - turns.reshape(1, -1, 9)).max(axis=2).min(axis=1)
    assert bool(missing.max() < 1e-9) is group
    np.testing.assert_array_equal(turns, averaging.rotations(number))


@pytest.mark.parametrize("number", [3, 24])
def test_scalars_stay_and_vectors_and_tensors_turn_along(number):
    plain, averaged = Oriented(), averaging.OrbitAverage(Oriented(), number)
    turn = Rotation.random(None, np.random.default_rng(2)).as_matrix()
    rows, values = embedded(averaged, distorted())
    moved_rows, moved = embedded(averaged, [turned(atoms, turn) for atoms in distorted()])
    np.testing.assert_allclose(moved_rows["rows"], rows["rows"], rtol=1e-5)
    np.testing.assert_allclose(moved["energy"], values["energy"], rtol=1e-5)
    np.testing.assert_allclose(moved["forces"], values["forces"] @ turn.T, atol=1e-5)
    np.testing.assert_allclose(moved["stress"], turn @ values["stress"] @ turn.T, atol=1e-5)
    np.testing.assert_allclose(moved[averaging.SPREAD], values[averaging.SPREAD], rtol=1e-4)
    assert np.abs(values["forces"]).max() > 0.01
    before = plain.embed([plain.prepare(atoms) for atoms in distorted()])[0]["rows"]
    after = plain.embed([plain.prepare(turned(atoms, turn)) for atoms in distorted()])[0]["rows"]
    assert np.abs(after - before).max() > 0.01 * np.abs(before).max()  # else the above says nothing


def test_the_average_is_that_of_the_turned_copies():
    averaged, plain = averaging.OrbitAverage(Oriented(), 24), Oriented()
    crystal = distorted()[0]  # its first cell vectors lie along x and in the xy plane already
    copies = np.stack([plain.prepare(turned(crystal, turn))[0] for turn in averaging.rotations(24)])
    rows, values = embedded(averaged, [crystal])
    np.testing.assert_allclose(rows["rows"], copies.mean(axis=0), rtol=1e-6)
    away = np.linalg.norm(copies - copies.mean(axis=0), axis=2)
    expected = np.sqrt((away**2).mean(axis=0)) / np.linalg.norm(copies.mean(axis=0), axis=1)
    np.testing.assert_allclose(values[averaging.SPREAD], expected, rtol=1e-5)


def test_an_invariant_model_has_no_spread_and_is_left_as_it_is():
    class Invariant(Oriented):
        def prepare(self, atoms):
            lengths = np.sort(atoms.get_all_distances(mic=True), axis=1)[:, 1:4]
            return lengths, np.zeros((len(atoms), 3)), np.eye(3)

    cluster = Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0], [0, 2.6, 0], [0, 0, 2.7]])
    rows, values = embedded(averaging.OrbitAverage(Invariant(), 24), [cluster])
    np.testing.assert_allclose(rows["rows"], Invariant().prepare(cluster)[0], rtol=1e-6)
    assert values[averaging.SPREAD].max() < 1e-6


def test_a_molecule_has_no_frame_but_an_average():
    averaged = averaging.OrbitAverage(Oriented(), 24)
    water = molecule("H2O")
    quarter = averaging.rotations(24)[7]
    rows, moved = (embedded(averaged, [atoms])[0]["rows"] for atoms in (water, turned(water, quarter)))
    np.testing.assert_allclose(moved, rows, rtol=1e-5)


def test_the_average_is_part_of_the_name():
    spec = registry.resolve("random:orb-v3-direct-inf-omat?seed=1&orbit_average=24")
    assert spec.name == "random:orb-v3-direct-inf-omat?seed=1&orbit_average=24"
    assert (spec.orbit_average, registry.resolve("7net-0").orbit_average) == (24, None)
    for wrong in ("1", "-3", "many"):
        with pytest.raises(UserError, match=f"`orbit_average` must be a number of rotations from 2, got `{wrong}`"):
            registry.resolve(f"7net-0?orbit_average={wrong}")
