"""CGCNN (Xie and Grossman, Phys. Rev. Lett. 2018, doi:10.1103/PhysRevLett.120.145301): one property of a crystal.

The same network trained without any label by Crystal Twins (Magar et al., npj Comput. Mater. 2022,
doi:10.1038/s41524-022-00921-5) is of this family, too: the final weights, and those of four epochs on the way.

Layers: `embedding`, a linear map of the features of the element; `layer0`, `layer1`, …, behind each convolution. The
default is the last one, of which the readout takes the mean over the atoms of a crystal.

An atom's neighbours are the 12 nearest within 8 Å. Where the twelfth is one of several at the same distance (to
0.001 Å), the original takes those that come first in its list, which depends on the choice of cell and the order of the
atoms. Here all of them count, each by the same part of the places left: the mean of the original over all orders. The
original pads an atom with fewer than 12 neighbours by copies of the first atom at 9 Å, or leaves the places empty, by
its version; here they stay empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from matscipy.neighbours import neighbour_list  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.functional import linear, softplus  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT, published, readable
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

CUTOFF, NUM_NEIGHBOURS, SAME_DISTANCE = 8.0, 12, 1e-3  # Å; neighbours; Å
CENTRES, WIDTH = 0.2 * np.arange(41), 0.2  # Å, of the Gaussians that describe a distance
FEATURES, NUM_FEATURES = Path(__file__).with_name("cgcnn_elements.txt"), 92
GITHUB = "https://raw.githubusercontent.com"
SUPERVISED = {"convolutions": 4, "hidden": 32, "head": [1]}
SELF_SUPERVISED = {"convolutions": 3, "hidden": 128, "head": [128, 256]}
# The output that `--properties energy` may give; the other published models predict energies of formation and gaps.
ENERGY = "final_energy_per_atom"


def load(spec: ModelSpec, *, device: str, threads: int | None) -> CGCNN:
    """Load a CGCNN."""
    return CGCNN(spec, device, threads)


class Graph(NamedTuple):
    """The graph of a structure: n atoms, e edges from neighbours to a centre.

    Attributes:
        numbers: (n,) int64, atomic numbers.
        edges: (2, e) int64, centre and neighbour, ordered by the centre.
        distances: (e,) float64, Å.
        shares: (e,) float64, the part of a place among the 12 nearest; below 1 in a shell that is not taken whole.
    """

    numbers: np.ndarray
    edges: np.ndarray
    distances: np.ndarray
    shares: np.ndarray


class CGCNN:
    """One CGCNN; see `families.Adapter`."""

    elements = MATERIALS_PROJECT

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        self.hardware["precision"] += ", geometry in float64"
        self._output, self._mean, self._scale = None, 0.0, 1.0
        path = Path(spec.model.checkpoint)
        architecture = SELF_SUPERVISED if spec.model.supervision == "self-supervised" else SUPERVISED
        if spec.seed is None or spec.path:
            path = spec.path or published(spec, f"{GITHUB}/{spec.model.checkpoint}", "cgcnn:PATH")
            with readable(path, "CGCNN"):
                state, self._output, self._mean, self._scale = _read(path)
                architecture = _architecture(state)
                self.model = Network(**architecture)
                self.model.load_state_dict(state)
        if spec.seed is not None:
            with _torch.seeded(spec.seed):
                self.model = Network(**architecture)
        self.checkpoint = _torch.checkpoint(path, self.model, spec.seed)
        self.model.eval().requires_grad_(requires_grad=False).to(self._device)
        width = self.model.embedding.out_features
        whats = ["linear map of the features of the element"]
        whats += [f"atom features behind convolution {i}" for i in range(len(self.model.convs))]
        names = ["embedding", *(f"layer{i}" for i in range(len(self.model.convs)))]
        self.layers: dict[str, dict[str, Any]] = {
            name: {"width": width, "what": what, "irreps": f"{width}x0e"}
            for name, what in zip(names, whats, strict=True)
        }
        self.default_layer = names[-1]
        self._features = torch.from_numpy(_element_features()).to(self._device)

    def prepare(self, atoms: Atoms) -> Graph:
        """Find the 12 nearest neighbours of each atom, with distances in float64."""
        box = boxed(atoms, CUTOFF)
        centre, neighbour, distance = neighbour_list("ijd", atoms=box, cutoff=CUTOFF)
        order = np.lexsort((distance, centre))
        centre, neighbour, distance = centre[order].astype(np.int64), neighbour[order].astype(np.int64), distance[order]
        counts = np.bincount(centre, minlength=len(box))
        starts = np.cumsum(counts) - counts
        # The distance of the twelfth neighbour; infinite where there are fewer.
        last = np.full(len(box), np.inf)
        enough = counts >= NUM_NEIGHBOURS
        last[enough] = distance[starts[enough] + NUM_NEIGHBOURS - 1]
        beyond = distance - last[centre]
        inner, kept = beyond < -SAME_DISTANCE, beyond <= SAME_DISTANCE
        num_inner, num_kept = (np.bincount(centre[part], minlength=len(box)) for part in (inner, kept))
        share = (NUM_NEIGHBOURS - num_inner) / np.maximum(num_kept - num_inner, 1)
        shares = np.where(inner, 1.0, share[centre])[kept]
        return Graph(box.numbers.astype(np.int64), np.stack([centre, neighbour])[:, kept], distance[kept], shares)

    def embed(
        self, prepared: Sequence[Graph], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; of properties, a model of the energy per atom has the energy."""
        if wrong := [name for name in properties if name != "energy" or self._output != ENERGY]:
            raise UserError(
                f"`{self.checkpoint['name']}` predicts {self._output or 'nothing that is stated'}, not {wrong[0]};"
                " leave `--properties` out."
            )
        sizes = np.array([len(graph.numbers) for graph in prepared])
        rows, outputs = self._run(prepared, sizes)
        layers = {name: _torch.to_numpy(x) for name, x in zip(self.layers, rows, strict=True)}
        return layers, {name: outputs * sizes for name in properties}

    def check(self, atoms: Atoms) -> float:
        """Compute what the model predicts: an energy or energy of formation in eV/atom, or a band gap in eV."""
        return float(self._run([self.prepare(atoms)], np.array([len(atoms)]))[1][0])

    def _run(self, graphs: Sequence[Graph], sizes: np.ndarray) -> tuple[list[Any], np.ndarray]:
        """The rows of every layer, and the output for each structure."""
        numbers, edges, distances, shares = (list(arrays) for arrays in zip(*graphs, strict=True))
        starts = np.cumsum(sizes) - sizes
        joined = np.concatenate([e + start for e, start in zip(edges, starts, strict=True)], axis=1)
        gaussians = np.exp(-(((np.concatenate(distances)[:, None] - CENTRES) / WIDTH) ** 2))

        def moved(array: np.ndarray) -> Any:
            return torch.from_numpy(array).to(self._device)

        with torch.no_grad():
            rows = self.model.rows(
                self._features[moved(np.concatenate(numbers))],
                moved(gaussians.astype(np.float32)),
                moved(np.concatenate(shares).astype(np.float32)[:, None]),
                *moved(joined),
            )
            outputs = self.model.readout(rows[-1], moved(sizes))
        return rows, self._mean + self._scale * _torch.to_numpy(outputs).astype(np.float64)


class Convolution(nn.Module):
    """Messages from the neighbours, gated by both atoms and their distance, added to the atom's own features."""

    def __init__(self, width: int, bases: int) -> None:
        super().__init__()
        self.fc_full = nn.Linear(2 * width + bases, 2 * width)
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.bn2 = nn.BatchNorm1d(width)

    def forward(self, x: Any, bonds: Any, shares: Any, centre: Any, neighbour: Any) -> Any:
        """Return the features of the next layer."""
        # One linear map of (centre, neighbour, bond), the parts of the atoms computed once an atom.
        own, other, bond = self.fc_full.weight.split([x.shape[1], x.shape[1], bonds.shape[1]], dim=1)
        both = linear(x, own, self.fc_full.bias)[centre] + linear(x, other)[neighbour] + linear(bonds, bond)
        gate, core = self.bn1(both).chunk(2, dim=1)
        messages = shares * torch.sigmoid(gate) * softplus(core)
        return softplus(x + self.bn2(torch.zeros_like(x).index_add_(0, centre, messages)))


class Network(nn.Module):
    """The network, with the names of the published weights; `head` has the widths of what follows `conv_to_fc`."""

    def __init__(self, *, convolutions: int, hidden: int, head: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Linear(NUM_FEATURES, width)
        self.convs = nn.ModuleList(Convolution(width, len(CENTRES)) for _ in range(convolutions))
        self.conv_to_fc = nn.Linear(width, hidden)
        if len(head) == 1:
            self.fc_out = nn.Linear(hidden, head[0])
        else:
            self.fc_head = nn.Sequential(nn.Linear(hidden, head[0]), nn.Softplus(), nn.Linear(head[0], head[1]))

    def rows(self, features: Any, bonds: Any, shares: Any, centre: Any, neighbour: Any) -> list[Any]:
        """Return the features of every atom, of each layer."""
        rows = [self.embedding(features)]
        for convolution in self.convs:
            rows.append(convolution(rows[-1], bonds, shares, centre, neighbour))
        return rows

    def readout(self, x: Any, sizes: Any) -> Any:
        """Return the first output for each structure, of the mean over its atoms."""
        structure = torch.arange(len(sizes), device=x.device).repeat_interleave(sizes)
        mean = torch.zeros(len(sizes), x.shape[1], device=x.device).index_add_(0, structure, x) / sizes[:, None]
        hidden = softplus(self.conv_to_fc(softplus(mean)))
        return (self.fc_out if hasattr(self, "fc_out") else self.fc_head)(hidden)[:, 0]


def _element_features() -> np.ndarray:
    """(101, 92) float32: the features of each element, by atomic number."""
    features = np.zeros((101, NUM_FEATURES), np.float32)
    for line in FEATURES.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            number, digits = line.split()
            features[int(number)] = [int(digit) for digit in digits]
    return features


def _read(path: Path) -> tuple[Mapping[str, Any], str | None, float, float]:
    """The weights, the name of the output, its mean and its standard deviation in training; None, 0 and 1 if none."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if "state_dict" not in saved:
        return saved, None, 0.0, 1.0
    options = saved.get("args", {}).get("data_options", [])
    normalizer = saved["normalizer"]
    output = options[2] if len(options) > 2 else None
    return saved["state_dict"], output, float(normalizer["mean"]), float(normalizer["std"])


def _architecture(state: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Network` for these weights."""
    heads = ["fc_out.weight"] if "fc_out.weight" in state else ["fc_head.0.weight", "fc_head.2.weight"]
    return {
        "convolutions": sum(name.endswith("fc_full.weight") for name in state),
        "hidden": len(state["conv_to_fc.weight"]),
        "head": [len(state[name]) for name in heads],
        "width": len(state["embedding.weight"]),
    }
