"""The contract that every family's module keeps, and what several of them share.

A family's module has one function, `load(spec, *, device, threads) -> Adapter`, and alone imports the model's library.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from platonic_adapters import trust
from platonic_adapters.averaging import OrbitAverage
from platonic_adapters.errors import ExportError
from platonic_adapters.registry import ModelSpec

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Adapter", "Readout", "boxed", "by_number", "file_checkpoint", "load", "num_cores"]

NUMBERS = 119  # Atomic numbers from 0 to 118, the index of what depends on the element.


class Readout(NamedTuple):
    """A model's energy readout as arrays: the energy head applied to one layer's embeddings.

    The energy of an atom of element z is scale_z f(x) + shift_z, in eV, with f dense layers from the layer's width to
    one number and the activation between them; that of a structure is the sum over its atoms.

    Attributes:
        layer: the layer whose rows x are.
        weights: of each dense layer (inputs, outputs), float32.
        biases: of each dense layer (outputs,), float32.
        activation: `identity`, `silu`, `gelu`, `relu` or `tanh`.
        scale: (119,) float32, by atomic number; NaN where the model does not know the element.
        shift: (119,) float32, eV, the same.
    """

    layer: str
    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    activation: str
    scale: np.ndarray
    shift: np.ndarray


class Adapter(Protocol):
    """A loaded model, seen by the export loop.

    It may also have `readout() -> Readout`, where its energy is a sum over atoms of what dense layers make of the rows
    of one layer; and `charged = True`, where it takes a structure's charge and spin multiplicity, which are in
    `atoms.info` where they are given and not those of a neutral singlet.

    Attributes:
        layers: layer → `{"width": int, "what": str, "irreps": str, …}`, in the order of the network.
        default_layer: the last per-atom features before the energy read-out: the model's own summary of an atom.
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


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Adapter:
    """Load a model through its family's module; of a file that is not trusted, torch reads arrays alone.

    Args:
        spec: which.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; as many as this process may use if None.

    Raises:
        ExportError: weights that are not the ones of this name.
    """
    # Before the library arrives: threads that spin while they wait make an export on a busy machine ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with trust.arrays_alone(active=spec.path is not None and not spec.trusted):
        adapter = importlib.import_module(spec.family.module).load(spec, device=device, threads=threads)
    known, digest = spec.model.sha256, adapter.checkpoint["sha256"]
    if known not in (None, digest) and not spec.random_weights:
        raise ExportError(
            f"`{adapter.checkpoint['name']}` is not the checkpoint of {spec.name}: its sha256 is {digest}, not {known};"
            " remove the file and try again."
        )
    return OrbitAverage(adapter, spec.orbit_average) if spec.orbit_average else adapter


def by_number(numbers: Sequence[int], values: Any) -> np.ndarray:
    """(119,) float32, values by atomic number, NaN for all others.

    Args:
        numbers: atomic numbers.
        values: one for each of them, or one for all.
    """
    array = np.full(NUMBERS, np.nan, np.float32)
    array[list(numbers)] = values
    return array


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_checkpoint(path: Path) -> dict[str, str]:
    """`Adapter.checkpoint` of a file."""
    with path.open("rb") as file:
        return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def boxed(atoms: Atoms, cutoff: float) -> Atoms:
    """The same neighbourhoods in a fully periodic cell: along the other directions, a vacuum wider than the cutoff.

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
