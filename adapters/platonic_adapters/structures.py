"""The record of structures: flat arrays, with a hash of each one's content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Structures", "boxed", "content_hash", "content_hashes", "turned", "wrapped"]


@dataclass(frozen=True, eq=False)
class Structures:
    """An ordered list of s structures with n atoms in all, laid out flat.

    Attributes:
        ids: s unique names.
        hashes: s content hashes (`content_hash`).
        num_atoms: (s,) int64, atoms of each structure.
        formulas: s chemical formulas of the whole cell.
        species: (n,) int32, atomic numbers.
        positions: (n, 3) float64, Å.
        cells: (s, 3, 3) float64, Å, one lattice vector a row.
        pbc: (s, 3) bool, periodic along each lattice vector.
        charge: (s,) int64, total charge in units of e; 0 where none is given.
        spin: (s,) int64, spin multiplicity 2S + 1; 0 where none is given.
    """

    ids: list[str]
    hashes: list[str]
    num_atoms: np.ndarray
    formulas: list[str]
    species: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    charge: np.ndarray = None  # pyright: ignore[reportAssignmentType]
    spin: np.ndarray = None  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        for name in ("charge", "spin"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(len(self.ids), dtype=np.int64))

    @classmethod
    def from_atoms(cls, atoms: Sequence[Atoms], ids: Sequence[str]) -> Structures:
        """Lay out ASE atoms flat; repeated ids get `:1`, `:2`, … appended.

        Charge and spin multiplicity are those in `atoms.info["charge"]` and `atoms.info["spin"]`.
        """
        return cls(
            ids=_unique(ids),
            hashes=[content_hash(a) for a in atoms],
            num_atoms=np.array([len(a) for a in atoms], dtype=np.int64),
            formulas=[a.get_chemical_formula("metal") for a in atoms],
            species=np.concatenate([a.numbers for a in atoms] or [[]]).astype(np.int32),
            positions=np.concatenate([a.positions for a in atoms] or [np.empty((0, 3))]).astype(np.float64),
            cells=np.array([a.cell.array for a in atoms], dtype=np.float64).reshape(-1, 3, 3),
            pbc=np.array([a.pbc for a in atoms], dtype=bool).reshape(-1, 3),
            charge=np.array([a.info.get("charge", 0) for a in atoms], dtype=np.int64),
            spin=np.array([a.info.get("spin", 0) for a in atoms], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def offsets(self) -> np.ndarray:
        """(s + 1,) int64: the rows of structure i are `offsets[i]:offsets[i + 1]`."""
        return np.concatenate([[0], np.cumsum(self.num_atoms)])

    @property
    def structure_index(self) -> np.ndarray:
        """(n,) int32, non-decreasing: the structure of each atom."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.num_atoms)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the list of content hashes: what makes two inputs the same."""
        return hashlib.sha256("\n".join(self.hashes).encode()).hexdigest()

    def atoms(self, i: int) -> Atoms:
        """Structure i as ASE atoms; its charge and spin multiplicity, where given, are in their `info`."""
        from ase import Atoms

        rows = slice(self.offsets[i], self.offsets[i + 1])
        given = {"charge": int(self.charge[i]), "spin": int(self.spin[i])}
        info = {name: value for name, value in given.items() if value}
        return Atoms(self.species[rows], positions=self.positions[rows], cell=self.cells[i], pbc=self.pbc[i], info=info)

    def wrapped_atoms(self, i: int) -> Atoms:
        """Structure i as `atoms` gives it, for models and neighbour searches: `wrapped`."""
        return wrapped(self.atoms(i))

    def rows(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """(m,) int64: the rows of some structures, in the order of `index`."""
        spans = [np.arange(int(self.offsets[i]), int(self.offsets[i + 1])) for i in index]
        return np.concatenate(spans) if spans else np.empty(0, dtype=np.int64)

    def select(self, which: np.ndarray | slice | Sequence[int]) -> Structures:
        """The structures chosen by a boolean mask, a slice or indices, in that order."""
        index = np.arange(len(self))[which]
        rows = self.rows(index)
        return Structures(
            ids=[self.ids[i] for i in index],
            hashes=[self.hashes[i] for i in index],
            num_atoms=self.num_atoms[index],
            formulas=[self.formulas[i] for i in index],
            species=self.species[rows],
            positions=self.positions[rows],
            cells=self.cells[index],
            pbc=self.pbc[index],
            charge=self.charge[index],
            spin=self.spin[index],
        )


def content_hash(atoms: Atoms) -> str:
    """Compute what makes two structures the same: a hex SHA-256, in atom order.

    It covers species, positions, cell and pbc as little-endian float64 (−0.0 counts as 0.0), then charge and spin
    multiplicity in the same form, these two only where the charge is not 0 or the multiplicity not 1. A multiplicity
    that is not given counts as 1.
    """
    charge, spin = atoms.info.get("charge", 0), atoms.info.get("spin", 0) or 1
    state = [charge, spin] if charge or spin != 1 else []
    numbers = np.concatenate([atoms.numbers, atoms.positions.ravel(), atoms.cell.array.ravel(), atoms.pbc, state])
    return hashlib.sha256((numbers.astype("<f8") + 0.0).tobytes()).hexdigest()


def content_hashes(structures: Structures) -> list[str]:
    """The `content_hash` of every structure, from the arrays: quicker than one by one."""
    counts, charge, spin = structures.num_atoms, structures.charge, np.maximum(structures.spin, 1)
    has_state = (charge != 0) | (spin != 1)
    # Numbers of each structure, and where its own begin: species, positions, cell, pbc, charge and spin.
    ends = np.cumsum(4 * counts + 12 + 2 * has_state)
    starts = ends - (4 * counts + 12 + 2 * has_state)
    numbers = np.empty(ends[-1] if len(ends) else 0, dtype="<f8")
    atom = np.arange(len(structures.species)) - np.repeat(structures.offsets[:-1], counts)
    numbers[np.repeat(starts, counts) + atom] = structures.species
    numbers[(np.repeat(starts + counts, counts) + 3 * atom)[:, None] + np.arange(3)] = structures.positions
    rest = starts + 4 * counts
    numbers[rest[:, None] + np.arange(9)] = structures.cells.reshape(-1, 9)
    numbers[rest[:, None] + np.arange(9, 12)] = structures.pbc
    numbers[rest[has_state, None] + np.arange(12, 14)] = np.stack([charge, spin], axis=1)[has_state]
    data = memoryview((numbers + 0.0).tobytes())
    return [
        hashlib.sha256(data[a:b]).hexdigest() for a, b in zip((8 * starts).tolist(), (8 * ends).tolist(), strict=True)
    ]


def turned(atoms: Atoms, turn: np.ndarray) -> Atoms:
    """A copy, cell and positions turned (or reflected) by an orthogonal (3, 3) matrix."""
    copy = atoms.copy()
    copy.set_cell(copy.cell.array @ turn.T)
    copy.positions = copy.positions @ turn.T
    return copy


def boxed(atoms: Atoms, cutoff: float) -> Atoms:
    """Put atoms into a fully periodic cell with the same neighbourhoods, by a vacuum wider than the cutoff.

    Args:
        atoms: with any periodicity.
        cutoff: Å.
    """
    if atoms.pbc.all():
        return atoms
    from ase.geometry import complete_cell

    free = ~atoms.pbc
    cell = complete_cell(np.where(free[:, None], 0.0, atoms.cell.array))  # unit vectors, orthogonal to the rest
    cell[free] *= (np.ptp(atoms.positions @ cell[free].T, axis=0) + cutoff + 1)[:, None]
    box = atoms.copy()
    box.set_cell(cell)
    box.pbc = True
    return box


def wrapped(atoms: Atoms) -> Atoms:
    """Move atoms that lie more than one cell outside the cell back into it, along periodic directions.

    It is the same crystal, but neighbour searches take memory in proportion to the distance, and single precision loses
    digits to it. Positions of the other atoms keep every bit.
    """
    from ase.geometry import complete_cell

    if not atoms.pbc.any():
        return atoms
    cell = complete_cell(np.where(atoms.pbc[:, None], atoms.cell.array, 0.0))
    cells_away = np.floor(atoms.positions @ np.linalg.inv(cell)) * atoms.pbc
    far = np.abs(cells_away).max(axis=1, initial=0) > 1
    if not far.any():
        return atoms
    copy = atoms.copy()
    copy.positions[far] -= cells_away[far] @ cell
    return copy


def _unique(ids: Sequence[str]) -> list[str]:
    taken, result = set(ids), []
    seen: dict[str, int] = {}
    for id_ in ids:
        count = seen[id_] = seen.get(id_, -1) + 1
        name = id_
        while count and (name := f"{id_}:{count}") in taken:
            count += 1
        seen[id_] = count
        taken.add(name)
        result.append(name)
    return result
