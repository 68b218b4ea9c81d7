"""Labels of atoms and structures, used to restrict permutations and to resolve results.

Host-side: from structures, not from embeddings. Labels are whole numbers or words, one for each row.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Prototypes",
    "chemical_systems",
    "combined",
    "coordination",
    "element_groups",
    "families",
    "orbits",
    "prototypes",
    "reduced_formulas",
]


def __dir__() -> list[str]:
    return __all__


# Atoms nearer than this many sums of their covalent radii are neighbours: between the first shell and the second in
# the elements and binary salts that the tests name.
BOND_FACTOR = 1.15
SYMPREC = 0.05  # Å, within which spglib takes places for equal.


@contextmanager
def _noble_gases() -> Iterator[None]:
    """Suppress pymatgen's warnings that noble gases have no electronegativity."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")
        yield


@lru_cache(maxsize=2)
def coordination(structures: Any) -> np.ndarray:
    """Number of neighbours of every atom, periodic images included.

    Two atoms are neighbours if they are nearer than 1.15 times the sum of their covalent radii (Cordero et al., Dalton
    Trans. 2008, 2832, as ASE lists them). It tells environments apart; it is not a statement about bonds.

    Args:
        structures: Structures, as a table brings them.

    Returns:
        (n,) int32, for every atom of every structure. Kept, for the structures asked for last.
    """
    from ase.data import covalent_radii
    from pymatgen.optimization.neighbors import find_points_in_spheres

    numbers = []
    for i in range(len(structures)):
        atoms = structures.wrapped_atoms(i)
        radii = covalent_radii[atoms.numbers]
        positions = np.ascontiguousarray(atoms.positions, dtype=float)
        centre, neighbour, _, distance = find_points_in_spheres(
            positions,
            positions,
            float(BOND_FACTOR * 2 * radii.max()),
            np.ascontiguousarray(atoms.pbc, dtype=np.int64),
            # A direction that is not periodic may have no lattice vector.
            np.ascontiguousarray(atoms.cell.complete().array, dtype=float),
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
    """Anonymous formula of every structure, such as `AB2`: one label for all compounds of one stoichiometry.

    Args:
        structures: Structures with `formulas`, as a table brings them.

    Returns:
        (s,) words, one for each structure.
    """
    from pymatgen.core import Composition

    return np.array([Composition(formula).anonymized_formula for formula in structures.formulas])


def chemical_systems(structures: Any) -> np.ndarray:
    """Elements of every structure, such as `O-Ti`: the groups to hold out together for unseen chemistry.

    Args:
        structures: Structures with `formulas`, as a table brings them.

    Returns:
        (s,) words, one for each structure.
    """
    from pymatgen.core import Composition

    return np.array([Composition(formula).chemical_system for formula in structures.formulas])


@lru_cache(maxsize=4)
def reduced_formulas(structures: Any) -> np.ndarray:
    """Formula of every structure without a common divisor, such as `TiO2`.

    Args:
        structures: Structures with `formulas`, as a table brings them.

    Returns:
        (s,) words, one for each structure. Kept, for the structures asked for last.
    """
    from pymatgen.core import Composition

    formulas, place = np.unique(np.asarray(structures.formulas, str), return_inverse=True)
    with _noble_gases():
        return np.array([Composition(formula).reduced_formula for formula in formulas])[place]


class Prototypes(NamedTuple):
    """Prototype of every structure.

    Attributes:
        label: (s,) words: space group, and of every element how many atoms a primitive cell has, on sites of which
            symmetry. Two structures with one label differ in their elements, and in what symmetry leaves free.
        elements: For every structure its elements, each in the same role as the same place of another with this label;
            roles that nothing else tells apart are filled by increasing electronegativity.
    """

    label: np.ndarray
    elements: list[tuple[str, ...]]


@lru_cache(maxsize=2)
def prototypes(structures: Any) -> Prototypes:
    """Prototypes by space group and site symmetry (spglib), and which element plays which role in each.

    Args:
        structures: Structures with `species`, `positions`, `cells` and `offsets`, periodic in all directions.

    Returns:
        Labels and roles. Where spglib finds no symmetry, the label is the structure's own. Kept, for the structures
        asked for last.
    """
    from ase.data import chemical_symbols
    from pymatgen.core import Element

    with _noble_gases():
        values = {chemical_symbols[z]: Element.from_Z(int(z)).X for z in np.unique(structures.species)}
    electronegativity = {symbol: float(np.nan_to_num(value)) for symbol, value in values.items()}
    labels, elements = [], []
    for i in range(len(structures)):
        rows = slice(structures.offsets[i], structures.offsets[i + 1])
        symbols = np.array([chemical_symbols[z] for z in structures.species[rows]])
        dataset = _symmetry(structures, i)
        if dataset is None:
            labels.append(f"alone {structures.ids[i]}")
            elements.append(tuple(np.unique(symbols).tolist()))
            continue
        cells = len(symbols) / len(np.unique(dataset.mapping_to_primitive))
        roles = []
        for symbol in np.unique(symbols).tolist():
            own = np.flatnonzero(symbols == symbol)
            orbits = np.unique(dataset.crystallographic_orbits[own])
            sites = sorted(dataset.site_symmetry_symbols[orbit] for orbit in orbits)
            roles.append((round(len(own) / cells), ",".join(sites), electronegativity[symbol], symbol))
        roles.sort()
        labels.append(" ".join([str(dataset.number), *(f"{number}({sites})" for number, sites, _, _ in roles)]))
        elements.append(tuple(symbol for *_, symbol in roles))
    return Prototypes(np.array(labels), elements)


@lru_cache(maxsize=2)
def orbits(structures: Any) -> np.ndarray:
    """Symmetry orbit of every atom: atoms that a symmetry of their crystal takes to each other are copies (spglib).

    Args:
        structures: Structures with `species`, `positions`, `cells`, `pbc` and `offsets`.

    Returns:
        (n,) int32, the first atom of the orbit, counted over all structures. Where no symmetry is known (no periodic
        cell in three directions), every atom is an orbit of its own. Kept, for the structures asked for last.
    """
    representatives = np.arange(len(structures.species), dtype=np.int32)
    for i in range(len(structures)):
        symmetry = _symmetry(structures, i) if np.all(structures.pbc[i]) else None
        if symmetry is not None:
            rows = slice(structures.offsets[i], structures.offsets[i + 1])
            representatives[rows] = structures.offsets[i] + symmetry.crystallographic_orbits
    return representatives


def _symmetry(structures: Any, i: int) -> Any:
    """Spglib's dataset of a structure, or None."""
    import spglib

    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # It speaks of every tolerance that it tries.
    rows = slice(structures.offsets[i], structures.offsets[i + 1])
    positions, cell = np.asarray(structures.positions[rows], float), np.asarray(structures.cells[i], float)
    try:
        fractional = (positions @ np.linalg.inv(cell)).tolist()
        numbers = structures.species[rows].tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # About how it will tell failure one day.
            return spglib.get_symmetry_dataset((cell.tolist(), fractional, numbers), symprec=SYMPREC)
    except np.linalg.LinAlgError:
        return None


def combined(*labels: np.ndarray) -> np.ndarray:
    """One label for every combination of several.

    Args:
        *labels: (n,) arrays of labels.

    Returns:
        (n,) int32 from 0: equal where all labels are.
    """
    numbers = [np.unique(label, return_inverse=True)[1] for label in labels]
    return np.unique(np.stack(numbers, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)
