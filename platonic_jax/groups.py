"""Labels of atoms by what is known of their structures: what nulls shuffle within, and what results are resolved by.

Host-side: from structures, not from embeddings. Labels are whole numbers or words, one for each row.
"""

from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["chemical_systems", "combined", "coordination", "element_groups", "families"]

# Atoms nearer than this many sums of their covalent radii are neighbours: between the first shell and the second in
# the elements and binary salts that the tests name.
BOND_FACTOR = 1.15


@lru_cache(maxsize=2)
def coordination(structures: Any) -> np.ndarray:
    """Number of neighbours of every atom, periodic images included.

    Two atoms are neighbours if they are nearer than 1.15 times the sum of their covalent radii (Cordero et al., Dalton
    Trans. 2008, 2832, as ASE lists them). It tells environments apart; it is not a statement about bonds.

    Args:
        structures: Structures with `species`, `positions`, `cells`, `pbc` and `offsets`, as a table brings them.

    Returns:
        (n,) int32, for every atom of every structure. Kept, for the structures asked for last.
    """
    from ase.cell import Cell
    from ase.data import covalent_radii
    from pymatgen.optimization.neighbors import find_points_in_spheres

    numbers = []
    for i in range(len(structures)):
        rows = slice(structures.offsets[i], structures.offsets[i + 1])
        radii = covalent_radii[structures.species[rows]]
        positions = np.ascontiguousarray(structures.positions[rows], dtype=float)
        centre, neighbour, _, distance = find_points_in_spheres(
            positions,
            positions,
            float(BOND_FACTOR * 2 * radii.max()),
            np.ascontiguousarray(structures.pbc[i], dtype=np.int64),
            # A direction that is not periodic may have no lattice vector.
            np.ascontiguousarray(Cell(structures.cells[i]).complete().array, dtype=float),
            1e-8,
        )
        near = (distance > 1e-8) & (distance < BOND_FACTOR * (radii[centre] + radii[neighbour]))
        numbers.append(np.bincount(centre[near], minlength=len(radii)))
    return np.concatenate(numbers).astype(np.int32)


def element_groups(structures: Any) -> np.ndarray:
    """Group of every atom's element in the periodic table, `1` to `18`, `lanthanide` or `actinide`.

    Args:
        structures: Structures with `species`, as a table brings them.

    Returns:
        (n,) words, for every atom of every structure.
    """
    from pymatgen.core import Element

    def name(z: int) -> str:
        element = Element.from_Z(z)
        return "lanthanide" if element.is_lanthanoid else "actinide" if element.is_actinoid else str(element.group)

    elements, place = np.unique(structures.species, return_inverse=True)
    return np.array([name(int(z)) for z in elements])[place]


def families(structures: Any) -> np.ndarray:
    """Anonymous formula of every structure, such as `AB2`: the same word for all compounds of one stoichiometry.

    Args:
        structures: Structures with `formulas`, as a table brings them.

    Returns:
        (s,) words, one for each structure.
    """
    from pymatgen.core import Composition

    return np.array([Composition(formula).anonymized_formula for formula in structures.formulas])


def chemical_systems(structures: Any) -> np.ndarray:
    """The elements of every structure, such as `O-Ti`: what must be held out together where chemistry is to be new.

    Args:
        structures: Structures with `formulas`, as a table brings them.

    Returns:
        (s,) words, one for each structure.
    """
    from pymatgen.core import Composition

    return np.array([Composition(formula).chemical_system for formula in structures.formulas])


def combined(*labels: np.ndarray) -> np.ndarray:
    """One label for every combination of several.

    Args:
        *labels: (n,) arrays of labels.

    Returns:
        (n,) int32 from 0: equal where all labels are.
    """
    numbers = [np.unique(label, return_inverse=True)[1] for label in labels]
    return np.unique(np.stack(numbers, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)
