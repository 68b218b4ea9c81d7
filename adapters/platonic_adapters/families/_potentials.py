"""Shared by matgl and DIEP, which descends from it: their files, graphs of neighbours, energies and derivatives.

Their own loaders make an object of any class that a file names, which is to run code: here, a file chooses among the
networks of the family alone. Their own graphs and forward passes are in float32: here, the geometry is in float64, the
network in float32, and what a network does with the geometry is the family's `run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from ase.data import atomic_numbers
from pymatgen.optimization.neighbors import find_points_in_spheres

from platonic_adapters.errors import UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import readable
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms


class Saved(NamedTuple):
    """Content of a folder: a network and its weights.

    Attributes:
        network: name of the network's class.
        module: where the class was when the file was written.
        version: of the class.
        arguments: with which it is made.
        state: name → tensor, of the network (`model.…`) and of the scale and shift of its energies.
    """

    network: str
    module: str
    version: int
    arguments: dict[str, Any]
    state: dict[str, Any]


def read(folder: Path, library: str) -> Saved:
    """Read `model.pt` and `state.pt` of a folder, as arrays and plain settings alone."""
    with readable(folder, library):
        settings, state = (
            torch.load(folder / name, map_location="cpu", weights_only=True) for name in ("model.pt", "state.pt")
        )
        network, module, version, arguments = (
            settings["model"][key] for key in ("@class", "@module", "@model_version", "init_args")
        )
    return Saved(network, module, version, arguments, state)


class Graph(NamedTuple):
    """Neighbours of one structure of n atoms: e edges, p pairs of edges.

    Attributes:
        numbers: (n,) int64, atomic numbers.
        edges: (2, e) int64, an atom, ascending, and its neighbour.
        vectors: (e, 3) float64, Å, from the atom to the neighbour.
        pairs: (2, p) int64, every two short edges of one atom, once.
        volume: Å³.
    """

    numbers: np.ndarray
    edges: np.ndarray
    vectors: np.ndarray
    pairs: np.ndarray
    volume: float


class Batch(NamedTuple):
    """Graphs joined on the device: n atoms, e edges, p pairs.

    Attributes:
        types: (n,) int64, index of the element in the network.
        numbers: (n,) int64.
        edges: (2, e) int64.
        vectors: (e, 3) float64, Å.
        lengths: (e,) float64, Å.
        pairs: (2, p) int64.
    """

    types: Any
    numbers: Any
    edges: Any
    vectors: Any
    lengths: Any
    pairs: Any


class Potential(ABC):
    """A network whose energy is a sum over atoms; see `families.Adapter`.

    Attributes:
        network: the library's, on the device.
        cutoff: of an edge, Å.
        short: longest edge of a pair, Å; 0 for no pairs.
    """

    layers: dict[str, dict[str, Any]]
    default_layer: str

    def __init__(self, spec: ModelSpec, network: Any, saved: Saved | None, device: str, threads: int | None) -> None:
        """Take a network as the library makes it, with drawn weights, and give it those of a file.

        Args:
            spec: which.
            network: the library's.
            saved: the file; None for the published architecture with drawn weights.
            device: `auto`, `cpu` or `cuda`.
            threads: CPU threads; as many as this process may use if None.
        """
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        self.hardware["precision"] += ", geometry in float64"
        self.network, numbers = network, [atomic_numbers[symbol] for symbol in network.element_types]
        if network.is_intensive or network.include_state:
            raise UserError(f"`{spec.path}` must hold a potential; its output is no sum over atoms.")
        state = {} if saved is None else saved.state
        if spec.seed is None:
            weights = {name.removeprefix("model."): x for name, x in state.items() if name.startswith("model.")}
            with readable(spec.path or Path(spec.name), spec.family.library):
                if absent := sorted(set(dict(network.named_parameters())) - set(weights)):
                    raise KeyError(f"it lacks the weights `{absent[0]}`")
                network.load_state_dict(weights, strict=False)  # also buffers that are now derived, or of no use
        self._mean, self._std = (float(state.get(f"data_{name}", x)) for name, x in (("mean", 0), ("std", 1)))
        shift = state.get("element_refs.property_offset", torch.zeros(len(numbers)))
        self._shift = shift.double().flatten().to(self._device)
        self.network.eval().to(self._device)
        self.elements = frozenset(numbers)
        self._types = np.zeros(119, np.int64)
        self._types[numbers] = np.arange(len(numbers))
        self.cutoff, self.short = float(network.cutoff), float(getattr(network, "threebody_cutoff", 0))

    def _name_blocks(self) -> None:
        """Name the layers of a network whose energies are read from the atoms behind its last block."""
        width = self.network.embedding.dim_node_embedding
        self.layers = {
            f"layer{i}": {"width": width, "what": f"atoms behind block {i}", "irreps": f"{width}x0e"}
            for i in range(self.network.n_blocks)
        }
        self.default_layer = list(self.layers)[-1]
        self.layers[self.default_layer]["what"] += ", the input of the energy readout"

    @abstractmethod
    def run(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        """Run the network: layer → (n, width) and (n,), the energies of the atoms before scale and shift."""

    def prepare(self, atoms: Atoms) -> Graph:
        """Build the graph of one structure."""
        box = boxed(atoms, self.cutoff)
        cell, positions = box.cell.array, box.positions
        centre, neighbour, images, lengths = find_points_in_spheres(
            positions, positions, r=self.cutoff, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
        )
        kept = np.flatnonzero((centre != neighbour) | (lengths > 1e-8))
        kept = kept[np.argsort(centre[kept], kind="stable")]
        edges = np.stack([centre, neighbour])[:, kept].astype(np.int64)
        vectors = positions[edges[1]] + images[kept] @ cell - positions[edges[0]]
        short = np.flatnonzero(lengths[kept] <= self.short)
        pairs = short[_pairs(edges[0, short])]
        return Graph(box.numbers.astype(np.int64), edges, vectors, pairs, box.get_volume())

    def embed(
        self, prepared: Sequence[Graph], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; forces and stress are differentiated, through the edges, only when asked for."""
        differentiated = bool({"forces", "stress"} & set(properties))
        sizes = np.array([(len(g.numbers), len(g.vectors)) for g in prepared])
        first = np.cumsum(sizes, axis=0) - sizes
        atoms, edges = (self._moved(np.repeat(np.arange(len(prepared)), sizes[:, i])) for i in (0, 1))
        numbers, vectors = (np.concatenate([getattr(g, name) for g in prepared]) for name in ("numbers", "vectors"))
        with torch.set_grad_enabled(differentiated):
            vectors = self._moved(vectors).requires_grad_(differentiated)
            batch = Batch(
                types=self._moved(self._types[numbers]),
                numbers=self._moved(numbers),
                edges=self._joined((g.edges for g in prepared), first[:, 0]),
                vectors=vectors,
                lengths=torch.linalg.vector_norm(vectors, dim=1),
                pairs=self._joined((g.pairs for g in prepared), first[:, 1]),
            )
            layers, energies = self.run(batch)
            energies = self._std * energies.double() + self._shift[batch.types]
            energy = torch.full((len(prepared),), self._mean, dtype=torch.float64, device=self._device)
            outputs = {"energy": energy.index_add(0, atoms, energies)}
        if differentiated:
            gradient = torch.autograd.grad(outputs["energy"].sum(), vectors)[0]
            forces = torch.zeros((len(numbers), 3), dtype=torch.float64, device=self._device)
            outputs["forces"] = forces.index_add(0, batch.edges[0], gradient).index_add(0, batch.edges[1], -gradient)
            virial = torch.zeros((len(prepared), 3, 3), dtype=torch.float64, device=self._device)
            virial = virial.index_add(0, edges, vectors.detach()[:, :, None] * gradient[:, None, :])
            volume = self._moved(np.array([g.volume for g in prepared]))[:, None, None]
            outputs["stress"] = (virial + virial.mT) / (2 * volume)
        return (
            {name: _torch.to_numpy(x) for name, x in layers.items()},
            {name: _torch.to_numpy(outputs[name]).astype(np.float32) for name in properties},
        )

    def _moved(self, array: np.ndarray) -> Any:
        return torch.from_numpy(array).to(self._device)

    def _joined(self, indices: Iterable[np.ndarray], first: np.ndarray) -> Any:
        """Indices into the structures, as indices into the batch."""
        return self._moved(np.concatenate([i + start for i, start in zip(indices, first, strict=True)], axis=1))


def _pairs(group: np.ndarray) -> np.ndarray:
    """Pair the members of each group: (m,) groups, ascending → (2, p) indices, the first smaller than the second."""
    members = np.arange(len(group))
    following = np.searchsorted(group, group, side="right") - 1 - members
    left = np.repeat(members, following)
    return np.stack([left, left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(following) - following, following)])
