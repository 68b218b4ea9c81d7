"""Images that physics does not tell apart, and the maps between their atoms."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from platonic_adapters.reading import read
from platonic_adapters.structures import Structures

from platonic_jax import probes
from platonic_jax.labels import coordination


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
    return read([rutile, bulk("NaCl", "rocksalt", a=5.64)])[0]


def environments(structures, i):
    """For each atom the sorted distances to its 12 nearest neighbours, with their elements: no image may change it."""
    atoms = structures.atoms(i)
    around = []
    cells = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3) @ atoms.cell.array
    for position in atoms.positions:
        apart = np.linalg.norm(atoms.positions[:, None] + cells[None] - position, axis=2)
        order = np.argsort(np.round(apart, 6) + 1e-8 * atoms.numbers[:, None], axis=None)[:13]
        around.append(np.stack([apart.reshape(-1)[order], np.repeat(atoms.numbers, len(cells))[order]]))
    return np.array(around)


def test_every_image_is_the_same_crystal_atom_by_atom():
    made = probes.images(crystals(), seed=1, num_draws=2)
    known = made.structures
    original = np.concatenate([environments(known, i) for i in range(2)])
    for i in range(len(known)):
        rows = slice(known.offsets[i], known.offsets[i + 1])
        np.testing.assert_allclose(environments(known, i), original[made.image_of[rows]], atol=1e-6)
        np.testing.assert_array_equal(known.species[rows], known.species[made.image_of[rows]])
    assert set(made.kind) == {"original", *probes.IMAGES}


def test_coordination_agrees_with_the_map():
    made = probes.images(crystals(), seed=2, num_draws=1)
    found = coordination(made.structures)
    np.testing.assert_array_equal(found, found[made.image_of])


def test_turned_cells_are_turned_by_rotations_and_reflected_ones_by_reflections():
    made = probes.images(crystals(), seed=0)
    handedness = np.sign(np.linalg.det(made.structures.cells))
    assert (handedness[made.kind == "reflection"] == -1).all()
    assert (handedness[made.kind != "reflection"] == 1).all()
    lengths = np.linalg.norm(made.structures.cells[made.kind == "rotation"], axis=2)
    np.testing.assert_allclose(lengths[:4], np.tile([4.59, 4.59, 2.96], (4, 1)))


def test_orbits_are_those_of_rutile():
    made = probes.images(crystals(), seed=0, num_draws=1)
    np.testing.assert_array_equal(made.orbit[:8], [0, 0, 2, 2, 2, 2, 6, 7])
    assert (made.orbit[8:] == -1).all()


def test_a_nearly_symmetric_crystal_is_made_symmetric_and_a_distorted_one_is_left_alone():
    plain = crystals().atoms(0)
    near, far = plain.copy(), plain.copy()
    near.positions[2, 0] += 2e-3
    far.positions[2, 0] += 0.2
    made = probes.images(read([near, far])[0], seed=0, num_draws=1)
    np.testing.assert_array_equal(made.orbit[:6], [0, 0, 2, 2, 2, 2])
    assert 1e-4 < made.moved[0] < 3e-3
    assert len(set(made.orbit[6:12])) > 2
    assert made.moved[1] < 1e-6


def test_draws_do_not_depend_on_how_many_there_are():
    few, many = (probes.images(crystals(), seed=3, num_draws=number).structures for number in (1, 3))
    place = [many.ids.index(name) for name in few.ids]
    assert few.hashes == [many.hashes[i] for i in place]
    other = probes.images(crystals(), seed=4, num_draws=1).structures
    assert few.hashes[2 + 23] != other.hashes[2 + 23]


def test_a_molecule_has_images_but_no_orbits_and_no_supercells():
    water = molecule("H2O")
    made = probes.images(Structures.from_atoms([water], ["water"]), seed=0, num_draws=1)
    assert (made.orbit == -1).all()
    assert "supercell" not in made.kind
    assert len(made.structures) == 1 + 23 + 4


def test_what_a_model_skips_is_left_out_with_its_images():
    made = probes.images(crystals(), seed=0, num_draws=1)
    salt = [name for name in made.structures.ids if name.startswith("structure:1")]
    left = made.among(salt)
    assert left.structures.ids == salt
    np.testing.assert_array_equal(left.orbit[:2], [0, 1])
    np.testing.assert_array_equal(left.image_of[:4], [0, 1, 0, 1])
    assert len(left.moved) == 1
    with pytest.raises(ValueError, match="the original of every image"):
        made.among(salt[1:])


@pytest.mark.parametrize(("options", "word"), [({"num_draws": 0}, "num_draws"), ({"tolerance": 0.0}, "tolerance")])
def test_wrong_use(options, word):
    with pytest.raises(ValueError, match=f"`{word}` must be"):
        probes.images(crystals(), seed=0, **options)
