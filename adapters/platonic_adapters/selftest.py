"""At every export: does the model move where it must not?

A few small structures are rattled and embedded in one batch; then rotated, reflected, translated, shuffled, repeated to
supercells, embedded one by one, and embedded again as they were.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from platonic_adapters import batching
from platonic_adapters.families import Adapter
from platonic_adapters.structures import Structures, turned

if TYPE_CHECKING:
    from ase import Atoms

NUM_STRUCTURES, NUM_ATOMS = 4, 8
RATTLE = 0.02  # Å


def run(adapter: Adapter, structures: Structures, *, batch_atoms: int | None = None) -> dict[str, Any]:
    """Measure how far the default layer departs from the symmetries that the physics has.

    It takes no more memory than the export of the largest structure: batches keep to the same limit, are halved where
    they do not fit, and supercells that are larger than both, or do not fit, are left out.

    Args:
        adapter: a loaded model that knows every element of `structures`.
        structures: the input; the four nearest to eight atoms are used, rattled by 0.02 Å, off their symmetries.
        batch_atoms: atoms a batch at most; what suits the device if None.

    Returns:
        `rotation`, `reflection`, `translation`, `permutation`, `supercell`, `batch_vs_single`, `repeatability`: for
        each, the largest over atoms of ‖x − x′‖ / ‖x‖, or None where no structure is periodic and neutral and so none
        has a supercell, or none small enough; and `structures`, the ids used.

    Raises:
        ExportError: a structure that does not fit, or whose embeddings are not finite; named.
    """
    rng = np.random.default_rng(0)
    batch_atoms = batch_atoms or adapter.batch_atoms
    chosen = sorted(np.argsort(np.abs(structures.num_atoms - NUM_ATOMS), kind="stable")[:NUM_STRUCTURES])
    names = [f"{structures.ids[i]} ({structures.formulas[i]})" for i in chosen]
    plain = [structures.wrapped_atoms(i) for i in chosen]
    for atoms in plain:
        atoms.positions += RATTLE * rng.standard_normal(atoms.positions.shape)
    orders = [rng.permutation(len(atoms)) for atoms in plain]
    turn = _rotation(rng)

    def embed(copies: list[Atoms], names: list[str] = names, limit: int = batch_atoms) -> np.ndarray:
        members = [batching.Member(name, len(atoms)) for name, atoms in zip(names, copies, strict=True)]
        rows = []
        for batch in batching.split(range(len(copies)), [len(atoms) for atoms in copies], limit):
            graphs = [batching.prepare(adapter, copies[i], members[i]) for i in batch]
            rows.append(batching.embed(adapter, graphs, [members[i] for i in batch])[0][adapter.default_layer])
        return np.concatenate(rows)

    reference = embed(plain)
    other = {
        "rotation": embed([turned(a, turn) for a in plain]),
        "reflection": embed([turned(a, np.diag([-1.0, 1.0, 1.0]) @ turn) for a in plain]),
        "translation": embed([_shifted(a, rng.uniform(-2, 2, 3)) for a in plain]),
        "permutation": embed([a[order] for a, order in zip(plain, orders, strict=True)]),
        "batch_vs_single": embed(plain, limit=1),
        "repeatability": embed(plain),
    }
    offsets = np.cumsum([0, *map(len, plain)])[:-1]
    rows = [np.arange(len(a)) + offset for a, offset in zip(plain, offsets, strict=True)]
    shuffled = np.concatenate([row[order] for row, order in zip(rows, orders, strict=True)])
    deviations: dict[str, float | None] = {
        name: _deviation(reference[shuffled] if name == "permutation" else reference, x) for name, x in other.items()
    }
    deviations["supercell"] = None
    largest = max(batch_atoms, int(structures.num_atoms.max()))
    repeatable = [i for i, a in enumerate(plain) if a.pbc.any() and not a.info and 2 * len(a) <= largest]
    if repeatable:
        expected = np.concatenate([np.tile(rows[i], 2) for i in repeatable])
        with suppress(batching.DoesNotFit):
            doubled = embed([_doubled(plain[i]) for i in repeatable], [names[i] for i in repeatable])
            deviations["supercell"] = _deviation(reference[expected], doubled)
    return {**deviations, "structures": [structures.ids[i] for i in chosen]}


def _shifted(atoms: Atoms, shift: np.ndarray) -> Atoms:
    copy = atoms.copy()
    copy.positions = copy.positions + shift
    return copy


def _doubled(atoms: Atoms) -> Atoms:
    """Two cells side by side, along the shortest periodic direction; the second half repeats the atoms of the first."""
    lengths = np.where(atoms.pbc, atoms.cell.lengths(), np.inf)
    return atoms.repeat([2 if axis == np.argmin(lengths) else 1 for axis in range(3)])


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """A proper rotation, (3, 3), uniformly drawn."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def _deviation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float((np.linalg.norm(x - y, axis=1) / np.maximum(np.linalg.norm(x, axis=1), np.finfo(float).tiny)).max())
