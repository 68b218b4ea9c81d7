"""Checks of a structure before any model sees it: physical sense, within bounds that models and memory can take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Unsound", "fault", "is_one", "overlap", "partial_occupancy"]

MAX_NUMBER = 118
MAX_LENGTH = 1e4  # Å, of a lattice vector, and of a coordinate along a direction that is not periodic
MAX_COORDINATE = 1e6  # Å, of any coordinate: atoms of a long simulation leave their cell, but keep their digits
VOLUME = (1.0, 1e7)  # Å³ an atom, of a crystal: DFT data under pressure begin at 2.4, a dimer in a wide box has 1e6
# Of the sum of two covalent radii: the shortest distances with published DFT labels are 0.32 of it.
OVERLAP = 0.25


class Unsound(ValueError):
    """A structure that cannot be taken; the message is a part of a sentence, such as "it has no cell"."""


def fault(atoms: Atoms) -> str | None:
    """Find the first reason why a structure cannot be embedded, naming atoms by their index from 0; None if sound."""
    from ase.data import chemical_symbols

    if not len(atoms):
        return "it has no atoms"
    for i in np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > MAX_NUMBER))[:1]:
        number = atoms.numbers[i]
        return f"atom {i} has the atomic number {number}, " + (
            "which is no element" if number else "that of a ghost or dummy atom"
        )
    if (bad := np.flatnonzero(~np.isfinite(atoms.positions).all(1))).size:
        return f"its positions are not finite numbers (atom {bad[0]})"
    if reason := _cell_fault(atoms):
        return reason
    largest = np.abs(atoms.positions).max(axis=1)
    if (far := np.flatnonzero(largest > MAX_COORDINATE)).size:
        return f"atom {far[0]} has a coordinate of {largest[far[0]]:.3g} Å, beyond {MAX_COORDINATE:.0e} Å"
    if not atoms.pbc.all():
        along = atoms.positions if not atoms.pbc.any() else atoms.positions @ _free_directions(atoms).T
        largest = np.abs(along).max(axis=1)
        if (far := np.flatnonzero(largest > MAX_LENGTH)).size:
            return (
                f"atom {far[0]} lies {largest[far[0]]:.3g} Å from the origin along a direction that is not periodic,"
                f" beyond {MAX_LENGTH:.0e} Å"
            )
    try:
        pair = overlap(atoms)
    except RuntimeError:  # of the reduction, which does not converge
        return "its cell is nearly singular"
    if pair:
        i, j, distance = pair
        first, second = (chemical_symbols[atoms.numbers[k]] for k in (i, j))
        if i == j:
            return f"atom {i} ({first}) lies {distance:.2f} Å from its own periodic image"
        return f"atoms {i} ({first}) and {j} ({second}) lie {distance:.2f} Å apart"
    return None


def overlap(atoms: Atoms) -> tuple[int, int, float] | None:
    """Find the two atoms, or an atom and its own periodic image, that are closest in proportion to their size.

    Args:
        atoms: with a cell of full rank along its periodic directions, and finite positions.

    Returns:
        The two indices, equal for an image, and the distance in Å; None if no pair is closer than a quarter of the sum
        of its covalent radii.
    """
    from ase.data import covalent_radii
    from ase.geometry import complete_cell, minkowski_reduce
    from scipy.spatial import KDTree

    radii = OVERLAP * covalent_radii[atoms.numbers]
    longest = 2 * radii.max()
    pbc: Any = atoms.pbc
    cell = complete_cell(np.where(pbc[:, None], atoms.cell.array, 0.0))
    if pbc.any() and _heights(cell)[pbc].min() < longest:
        # So thin or skewed that an image beyond the next cells may be near.
        cell = complete_cell(np.where(pbc[:, None], minkowski_reduce(cell, pbc)[0], 0.0))
    inside = atoms.positions @ np.linalg.inv(cell)
    inside[:, pbc] %= 1
    # The atoms of the cell, and the images within reach of it.
    steps = np.array(list(product(*[(0, -1, 1) if periodic else (0,) for periodic in pbc])), float)
    copies = (steps[:, None] + inside).reshape(-1, 3)
    reach = longest / _heights(cell)
    near = np.flatnonzero((((copies >= -reach) & (copies <= 1 + reach)) | ~pbc).all(axis=1))
    points = copies[near] @ cell
    first, second = KDTree(points).query_pairs(longest, output_type="ndarray").T
    distances = np.linalg.norm(points[first] - points[second], axis=1)
    first, second = near[first] % len(atoms), near[second] % len(atoms)
    close = distances < radii[first] + radii[second]
    first, second, distances = first[close], second[close], distances[close]
    if not len(first):
        return None
    worst = np.argmin(distances / (radii[first] + radii[second]))
    i, j = sorted((int(first[worst]), int(second[worst])))
    return i, j, float(distances[worst])


def _heights(cell: np.ndarray) -> np.ndarray:
    """Distances between opposite faces of a cell."""
    return 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def _cell_fault(atoms: Atoms) -> str | None:
    if not np.isfinite(atoms.cell.array).all():
        return "its cell is not finite"
    if (longest := np.abs(atoms.cell.array).max()) > MAX_LENGTH:
        return f"it has a lattice vector of {longest:.3g} Å, beyond {MAX_LENGTH:.0e} Å"
    lattice = atoms.cell.array[atoms.pbc]
    if not len(lattice):
        return None
    if np.linalg.svd(lattice, compute_uv=False)[-1] < 1e-6:
        return "it is periodic but its cell has no volume"
    each = atoms.get_volume() / len(atoms) if len(lattice) == 3 else VOLUME[0]
    if not VOLUME[0] <= each <= VOLUME[1]:
        return f"its cell has {each:.3g} Å³ an atom, not {VOLUME[0]:.0f} to {VOLUME[1]:.0e}"
    return None


def _free_directions(atoms: Atoms) -> np.ndarray:
    """(f, 3): orthonormal directions perpendicular to the lattice vectors of a slab or a chain."""
    lattice = atoms.cell.array[atoms.pbc]
    return np.linalg.svd(lattice)[2][len(lattice) :]


def partial_occupancy(brought: Mapping[str, Any]) -> str | None:
    """Find the first occupancy that is not one whole atom of one element, in what atoms bring with them by name."""
    for name, value in brought.items():
        if name.lower().removeprefix("_atom_site_") in ("occupancy", "occupancies"):
            for site in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(site, Mapping) and len(site) != 1:
                    return f"{', '.join(map(str, site))} on one site"
                for number in _leaves(site):
                    if number not in (".", "?") and not is_one(number):
                        return f"occupancy {number}"
    return None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


def is_one(value: Any) -> bool:
    """Test whether an occupancy is that of one whole atom."""
    try:
        return abs(float(value) - 1) < 1e-6
    except (TypeError, ValueError):
        return False
