"""At every export: does the model move where it must not?

A few small structures are rattled, embedded in one batch, then rotated, translated, shuffled, and embedded one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from platonic_adapters.protocol import Adapter
from platonic_adapters.structures import Structures

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
        `rotation`, `translation`, `permutation`, `batch_vs_single`: for each, the largest over atoms of ‖x − x′‖ / ‖x‖;
        and `structures`, the ids used.
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
        "rotation": _embed(adapter, [_moved(a, turn=turn) for a in plain]),
        "translation": _embed(adapter, [_moved(a, shift=rng.uniform(-2, 2, 3)) for a in plain]),
        "permutation": _embed(adapter, [a[order] for a, order in zip(plain, orders, strict=True)]),
        "batch_vs_single": np.concatenate([_embed(adapter, [a]) for a in plain]),
    }
    offsets = np.cumsum([0, *map(len, plain)])[:-1]
    shuffled = np.concatenate([order + offset for order, offset in zip(orders, offsets, strict=True)])
    deviations = {
        name: _deviation(reference[shuffled] if name == "permutation" else reference, x) for name, x in other.items()
    }
    return {**deviations, "structures": [structures.ids[i] for i in chosen]}


def _embed(adapter: Adapter, atoms: list[Atoms]) -> np.ndarray:
    return adapter.embed([adapter.prepare(a) for a in atoms])[0][adapter.default_layer]


def _moved(atoms: Atoms, *, turn: np.ndarray | None = None, shift: np.ndarray | None = None) -> Atoms:
    moved = atoms.copy()
    if turn is not None:
        moved.set_cell(moved.cell.array @ turn.T)
        moved.positions = moved.positions @ turn.T
    if shift is not None:
        moved.positions = moved.positions + shift
    return moved


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """A proper rotation, (3, 3), uniformly drawn."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def _deviation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float((np.linalg.norm(x - y, axis=1) / np.maximum(np.linalg.norm(x, axis=1), np.finfo(float).tiny)).max())
