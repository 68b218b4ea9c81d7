import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal
from platonic_adapters.structures import Structures

from platonic_jax.labels import BOND_FACTOR, combined, coordination, element_groups, families, orbits


def structures(*atoms):
    return Structures.from_atoms(list(atoms), [str(i) for i in range(len(atoms))])


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (bulk("C", "diamond", a=3.567), [4, 4]),
        (bulk("Cu", "fcc", a=3.615), [12]),
        (bulk("NaCl", "rocksalt", a=5.64), [6, 6]),
        (bulk("ZnS", "zincblende", a=5.41), [4, 4]),
        (molecule("H2O"), [2, 1, 1]),
        (Atoms("He"), [0]),
    ],
    ids=["diamond", "copper", "rock salt", "zinc blende", "water", "helium"],
)
def test_coordination_is_that_of_the_textbook(atoms, expected):
    assert coordination(structures(atoms)).tolist() == expected


def test_coordination_is_that_of_ase():
    from ase.neighborlist import natural_cutoffs, neighbor_list

    rng = np.random.default_rng(0)
    made = [
        Atoms(
            rng.choice(["O", "Fe", "Cs"], 6), rng.uniform(0, 5, (6, 3)), cell=rng.normal(0, 1, (3, 3)) + 5 * np.eye(3)
        )
        for _ in range(8)
    ]
    for i, atoms in enumerate(made):
        atoms.pbc = [i % 2, 1, i % 3 == 0]
    expected = [
        np.bincount(neighbor_list("i", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR)), minlength=6) for atoms in made
    ]
    np.testing.assert_array_equal(coordination(structures(*made)), np.concatenate(expected))


def test_orbits_are_those_of_the_textbook():
    """Rock salt has one orbit an element, rutile two; a molecule in no cell has as many as atoms."""
    rutile = crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90])
    made = structures(bulk("NaCl", "rocksalt", a=5.64, cubic=True), rutile, molecule("H2O"))
    assert orbits(made).tolist() == [0, 1] * 4 + [8] * 2 + [10] * 4 + [14, 15, 16]


def test_families_are_anonymous_formulas():
    made = structures(bulk("NaCl", "rocksalt", a=5.64), bulk("ZnS", "zincblende", a=5.41), molecule("H2O"))
    assert families(made).tolist() == ["AB", "AB", "AB2"]


def test_element_groups_are_those_of_the_periodic_table():
    made = structures(bulk("NaCl", "rocksalt", a=5.64), Atoms("CeUHe", positions=2 * np.eye(3)))
    assert element_groups(made).tolist() == ["1", "17", "lanthanide", "actinide", "18"]


def test_combined_labels_are_equal_where_all_labels_are():
    element, neighbours = np.array([8, 8, 26, 26, 8]), np.array([4, 6, 4, 4, 4])
    assert combined(element, neighbours).tolist() == [0, 1, 2, 2, 0]
