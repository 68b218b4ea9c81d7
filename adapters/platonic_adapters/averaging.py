"""`--orbit-average`: an unconstrained model made invariant under rotation.

Each structure is embedded in every rotation of a fixed set, and an atom's row is the mean over them. The set is laid
along the crystal's own axes (a frame average: Puny et al., ICLR 2022, arXiv:2110.03336), so that turning the crystal
turns the copies with it and changes the mean by rounding alone; and where the set is a group that the crystal has,
atoms that a symmetry of the crystal makes equivalent get equal rows. What the mean still depends on is the choice of
the cell. How far the model itself moves on the orbit is stored for every atom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from platonic_adapters.structures import turned

if TYPE_CHECKING:
    from ase import Atoms

    from platonic_adapters.families import Adapter

__all__ = ["SPREAD", "OrbitAverage", "rotations"]

SPREAD = "orbit_spread"
# Orders of the rotation groups of the tetrahedron, the cube and the icosahedron.
_GROUPS = {12: "T", 24: "O", 60: "I"}


def rotations(number: int) -> np.ndarray:
    """A fixed set of proper rotations, (number, 3, 3).

    Args:
        number: 12, 24 or 60 give the rotation group of the tetrahedron, the cube or the icosahedron; any other number
            gives the identity and random rotations, always the same.
    """
    from scipy.spatial.transform import Rotation

    if number in _GROUPS:
        return Rotation.create_group(_GROUPS[number]).as_matrix()
    drawn = Rotation.random(number - 1, np.random.default_rng(0)).as_matrix()
    return np.concatenate([np.eye(3)[None], drawn])


class OrbitAverage:
    """A model averaged over rotations of its input; see `families.Adapter`, which it wraps and is.

    Besides what the model gives, `embed` gives `orbit_spread` (rows,) on request: the root mean square over the
    rotations of ‖x_g − x̄‖ / ‖x̄‖, of the default layer.
    """

    def __init__(self, adapter: Adapter, number: int) -> None:
        self._adapter, self._rotations = adapter, rotations(number)
        averaged = f"mean over {number} rotations ({_GROUPS.get(number, 'random')}) in the frame of the cell"
        self.layers: Mapping[str, Mapping[str, Any]] = {
            name: {**layer, "what": f"{layer['what']}; {averaged}"} for name, layer in adapter.layers.items()
        }
        self.default_layer, self.elements = adapter.default_layer, adapter.elements
        self.paper_layer = getattr(adapter, "paper_layer", adapter.default_layer)
        self.checkpoint, self.batch_atoms = adapter.checkpoint, max(1, adapter.batch_atoms // number)
        self.hardware, self.charged = adapter.hardware, getattr(adapter, "charged", False)
        self.refusal = getattr(adapter, "refusal", None)

    def prepare(self, atoms: Atoms) -> _Orbit:
        """Build the graph of every rotated copy."""
        turns = self._rotations @ _frame(atoms)
        return _Orbit([self._adapter.prepare(turned(atoms, turn)) for turn in turns], turns, len(atoms))

    def embed(
        self, prepared: Sequence[_Orbit], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed every copy and average; forces and stresses are rotated back first."""
        asked = [name for name in properties if name != SPREAD]
        number = len(self._rotations)
        rows, outputs = self._adapter.embed([orbit.copies[g] for g in range(number) for orbit in prepared], asked)
        rows, outputs = (
            {name: x.reshape(number, -1, *x.shape[1:]).astype(np.float64) for name, x in arrays.items()}
            for arrays in (rows, outputs)
        )
        turns = np.stack([orbit.turns for orbit in prepared], axis=1)  # (number, b, 3, 3)
        if "forces" in outputs:
            of_atoms = np.repeat(turns, [orbit.num_atoms for orbit in prepared], axis=1)
            outputs["forces"] = np.einsum("gai,gaij->gaj", outputs["forces"], of_atoms)
        if "stress" in outputs:
            outputs["stress"] = turns.swapaxes(-1, -2) @ outputs["stress"] @ turns
        layers, values = (
            {name: x.mean(axis=0).astype(np.float32) for name, x in arrays.items()} for arrays in (rows, outputs)
        )
        if SPREAD in properties:
            values[SPREAD] = _spread(rows[self.default_layer])
        return layers, values


class _Orbit(NamedTuple):
    """The graphs of all rotated copies of a structure, the rotations (number, 3, 3), and its number of atoms."""

    copies: list[Any]
    turns: np.ndarray
    num_atoms: int


def _frame(atoms: Atoms) -> np.ndarray:
    """The proper rotation that lays the first cell vector along x and the second into the xy plane.

    Where these do not span a plane, as in a molecule without a cell, there is no frame, and nothing is turned.
    """
    first, second, _ = atoms.cell.array
    normal = np.cross(first, second)
    if np.linalg.norm(normal) < 1e-8:
        return np.eye(3)
    x, z = first / np.linalg.norm(first), normal / np.linalg.norm(normal)
    return np.stack([x, np.cross(z, x), z])


def _spread(copies: np.ndarray) -> np.ndarray:
    """(rows,) float32, from (g, rows, width)."""
    mean = copies.mean(axis=0)
    variance = np.mean(np.sum((copies - mean) ** 2, axis=2), axis=0)
    length = np.maximum(np.linalg.norm(mean, axis=1), np.finfo(float).tiny)
    return (np.sqrt(variance) / length).astype(np.float32)
