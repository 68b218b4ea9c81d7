"""At every export: does the model move where it must not?

A few small structures are rattled and embedded in one batch; then rotated, reflected, translated, shuffled, repeated to
supercells, embedded one by one, and embedded again as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from platonic_adapters.protocol import Adapter
from platonic_adapters.structures import Structures, turned

if TYPE_CHECKING:
    from ase import Atoms

NUM_STRUCTURES, NUM_ATOMS = 4, 8
RATTLE = 0.02  # Å


def run(adapter: Adapter, structures: Structures) -> dict[str, Any]:
    """Measure how far the default layer departs from the symmetries that the physics has.

    Args:
        adapter: a loaded model that knows every element of `structures`.
        structures: the input; the four nearest to eight atoms are used, rattled by 0.02 Å, off their symmetries.

    Returns:
        `rotation`, `reflection`, `translation`, `permutation`, `supercell`, `batch_vs_single`, `repeatability`: for
        each, the largest over atoms of ‖x − x′‖ / ‖x‖, or None where no structure is periodic and so none has a
        supercell; and `structures`, the ids used.
    """
    rng = np.random.default_rng(0)
    chosen = sorted(np.argsort(np.abs(structures.num_atoms - NUM_ATOMS), kind="stable")[:NUM_STRUCTURES])
    plain = [structures.atoms(i) for i in chosen]
    for atoms in plain:
        atoms.positions += RATTLE * rng.standard_normal(atoms.positions.shape)
    orders = [rng.permutation(len(atoms)) for atoms in plain]
    turn = _rotation(rng)
    reference = _embed(adapter, plain)
    other = {
        "rotation": _embed(adapter, [turned(a, turn) for a in plain]),
        "reflection": _embed(adapter, [turned(a, np.diag([-1.0, 1.0, 1.0]) @ turn) for a in plain]),
        "translation": _embed(adapter, [_shifted(a, rng.uniform(-2, 2, 3)) for a in plain]),
        "permutation": _embed(adapter, [a[order] for a, order in zip(plain, orders, strict=True)]),
        "batch_vs_single": np.concatenate([_embed(adapter, [a]) for a in plain]),
        "repeatability": _embed(adapter, plain),
    }
    offsets = np.cumsum([0, *map(len, plain)])[:-1]
    rows = [np.arange(len(a)) + offset for a, offset in zip(plain, offsets, strict=True)]
    shuffled = np.concatenate([row[order] for row, order in zip(rows, orders, strict=True)])
    deviations: dict[str, float | None] = {
        name: _deviation(reference[shuffled] if name == "permutation" else reference, x) for name, x in other.items()
    }
    periodic = [i for i, atoms in enumerate(plain) if atoms.pbc.any()]
    if periodic:
        doubled = _embed(adapter, [_doubled(plain[i]) for i in periodic])
        deviations["supercell"] = _deviation(
            reference[np.concatenate([np.tile(rows[i], 2) for i in periodic])], doubled
        )
    else:
        deviations["supercell"] = None
    return {**deviations, "structures": [structures.ids[i] for i in chosen]}


def _embed(adapter: Adapter, atoms: list[Atoms]) -> np.ndarray:
    return adapter.embed([adapter.prepare(a) for a in atoms])[0][adapter.default_layer]


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
