"""A module for each family of models, and the contract that all of them keep.

A family's module has one function, `load(spec, *, device, threads) -> Adapter`, and alone imports the model's library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Adapter"]


class Adapter(Protocol):
    """A loaded model, as the export loop uses it.

    It may also have `readout() -> Readout`, where its energy is a sum over atoms of what dense layers make of the rows
    of one layer; `check(atoms) -> float`, what `Model.energies` lists of a model that gives no energy, or not in eV per
    atom; `refusal(atoms) -> str | None`, the reason why it does not take a structure of elements that it knows, or
    None; `paper_layer`, the layer that Li and Walsh (arXiv:2512.05349) read, if it is not the default one; and
    `charged = True`, where it takes a structure's charge and spin multiplicity, which are in `atoms.info` where they
    are given and not those of a neutral singlet.

    Attributes:
        layers: layer → `{"width": int, "what": str, "irreps": str, …}`, in the order of the network.
        default_layer: the invariant per-atom features that feed the energy readout, of every block that has one.
        elements: atomic numbers that the model was trained on.
        checkpoint: `{"name", "sha256"}` of the weights in use.
        hardware: `{"device", "dtype", "precision", "threads"}`.
        batch_atoms: a batch size in atoms that suits the device.
    """

    layers: Mapping[str, Mapping[str, Any]]
    default_layer: str
    elements: frozenset[int]
    checkpoint: Mapping[str, str]
    hardware: Mapping[str, Any]
    batch_atoms: int

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure on the CPU. Called from a background thread; must not change `atoms`."""
        ...

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch, atoms in the order given.

        Returns:
            Layer → (rows, width) float32; and, of those asked for, energy (b,) eV, forces (rows, 3) eV/Å, stress
            (b, 3, 3) eV/Å³ (positive = tension).
        """
        ...
