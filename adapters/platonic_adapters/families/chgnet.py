"""CHGNet (Deng et al., Nat. Mach. Intell. 2023, doi:10.1038/s42256-023-00716-3): messages on atoms, bonds, angles.

Layers: `layer0`, `layer1`, then `atom_fea`, the output of the third of four convolutions, which the library returns
under this name and reads magnetic moments from; `layer3`, the last convolution; and the default `readout`, its
normalised form, the input of the energy readout. Without a norm (0.2.0) the last two are one.

The library makes an object of every bond and expands the geometry of each structure by itself: a GPU would wait for
the CPU. Here, graphs are arrays, and the geometry of a batch is expanded at once; the order of everything is the
library's, so that every bit of what it computes is too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from chgnet.model import CHGNet as Network  # pyright: ignore[reportMissingImports]
from chgnet.model import model as network_module  # pyright: ignore[reportMissingImports]
from chgnet.model.model import BatchedGraph  # pyright: ignore[reportMissingImports]
from pymatgen.optimization.neighbors import find_points_in_spheres

from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT, readable, silence
from platonic_adapters.readout import Readout, by_number
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

GPA = 160.21766208  # GPa in an eV/Å³, the library's own figure


def load(spec: ModelSpec, *, device: str, threads: int | None) -> CHGNet:
    """Load a CHGNet model."""
    return CHGNet(spec, device, threads)


class _Graph(NamedTuple):
    """The graph of a structure, on the CPU. A bond has an edge from either end; n atoms, b bonds, e edges, a angles.

    Attributes:
        atomic_number: (n,) int32; the composition model reads it by this name.
        cell: (3, 3) float64, Å.
        fractions: (n, 3) float64, fractional coordinates.
        edges: (e, 2) int64, the atoms at the two ends.
        images: (e, 3) float64, the cell of the second one.
        bonds: (e,) int64, the bond of each edge.
        first: (b,) int64, one edge of each bond.
        angles: (a, 5) int64, of `_angles`.
    """

    atomic_number: Any
    cell: np.ndarray
    fractions: np.ndarray
    edges: np.ndarray
    images: np.ndarray
    bonds: np.ndarray
    first: np.ndarray
    angles: np.ndarray


class CHGNet:
    """One CHGNet; see `families.Adapter`."""

    # The table has 94 rows, but no training structure holds Po, At, Rn, Fr or Ra: their rows were never trained.
    elements = MATERIALS_PROJECT
    default_layer = "readout"

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        self.hardware["precision"] += ", geometry in float64"
        with silence():  # it greets on stdout
            if spec.path is None:
                self.model = Network.load(model_name=spec.model.checkpoint, use_device=self._device, verbose=False)
            else:
                self.model = _read(spec.path).to(self._device)
            if spec.seed is not None:
                with _torch.seeded(spec.seed):
                    self.model = Network(**self.model.model_args).to(self._device)
        file = spec.path or _checkpoint_file(spec.model.checkpoint)
        self.checkpoint = _torch.checkpoint(file, self.model, spec.seed)
        self.model.eval()
        # The arc cosine of a float32 loses half its digits where three atoms are in line: rotating a crystal would move
        # its rows by 2e-5. So the geometry is in float64, the network itself in float32.
        self.model.bond_basis_expansion.double()
        self.model.angle_basis_expansion.double()
        self.cutoff = float(self.model.graph_converter.atom_graph_cutoff)
        self._bond_cutoff = float(self.model.graph_converter.bond_graph_cutoff)

        bond_parameters = dict(self.model.bond_conv_layers.named_parameters())
        self._biased = any("mlp_out" in name and name.endswith("bias") for name in bond_parameters)
        self._outputs: dict[str, Any] = {}
        width, last = self.model.atom_fea_dim, len(self.model.atom_conv_layers) - 1
        self.layers: dict[str, dict[str, Any]] = {}
        for i, convolution in enumerate(self.model.atom_conv_layers):
            name, note = (f"layer{i}", "") if i != last - 1 else ("atom_fea", ", the library's official atom features")
            if i == last and self.model.readout_norm is None:
                break
            self.layers[name] = {
                "width": width,
                "what": f"output of atom convolution {i}{note}",
                "irreps": f"{width}x0e",
            }
            convolution.register_forward_hook(lambda _module, _args, out, name=name: self._outputs.update({name: out}))
        self.layers["readout"] = {
            "width": width,
            "what": "input of the energy readout, behind the last convolution and its norm",
            "irreps": f"{width}x0e",
        }
        self.model.mlp.register_forward_pre_hook(lambda _module, args: self._outputs.update({"readout": args[0]}))

    def prepare(self, atoms: Atoms) -> _Graph:
        """Build the graph of one structure, with its geometry in float64."""
        box = boxed(atoms, self.cutoff)
        cell = box.cell.array
        inverse = np.linalg.inv(cell)
        # Row by row, as pymatgen multiplies: another shape of the product may round otherwise.
        fractions = np.array([position @ inverse for position in box.positions])
        positions = np.array([fraction @ cell for fraction in fractions])
        centre, neighbour, images, lengths = find_points_in_spheres(
            positions, positions, r=self.cutoff, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
        )
        others = (centre != neighbour) | (lengths > 1e-8)
        edges, images = np.stack([centre, neighbour], axis=1)[others], images[others]
        bonds, first, reverse = _bonds(edges, images.astype(np.int64))
        return _Graph(
            atomic_number=torch.tensor(box.numbers, dtype=torch.int32),
            cell=cell,
            fractions=fractions,
            images=images.astype(np.float64),
            edges=edges,
            bonds=bonds,
            first=first,
            angles=_angles(edges, bonds, first, reverse, lengths[others], self._bond_cutoff),
        )

    def embed(
        self, prepared: Sequence[_Graph], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; hooks catch the layers."""
        if self._biased and len({len(graph.angles) == 0 for graph in prepared}) == 2:
            # A structure without angles skips the bond layers, whose biases would act on it in a batch: each alone.
            alone = [self.embed([graph], properties) for graph in prepared]
            layers, values = ({k: np.concatenate([d[i][k] for d in alone]) for k in alone[0][i]} for i in (0, 1))
            return layers, values
        strained = bool({"forces", "stress"} & set(properties))
        with torch.set_grad_enabled(strained):
            batch = self._batch(prepared, strained=strained)
            out = self.model._compute(batch, compute_force=strained, compute_stress=strained)
            energy, composition = out["e"], self.model.composition_model
            if composition is not None and "energy" in properties:
                energy = energy + composition._get_energy(composition._assemble_graphs(prepared).to(self._device))
        layers = {name: _torch.to_numpy(self._outputs[name]) for name in self.layers}
        self._outputs.clear()
        outputs = {"energy": _torch.to_numpy(energy * out["atoms_per_graph"])}
        if strained:
            outputs["forces"] = np.concatenate([_torch.to_numpy(f) for f in out["f"]])
            outputs["stress"] = np.stack([_torch.to_numpy(s) for s in out["s"]]) / GPA
        return layers, {name: outputs[name] for name in properties}

    def _batch(self, graphs: Sequence[_Graph], *, strained: bool) -> Any:
        """Move graphs to the device as one, and expand its bonds and angles."""
        counts = np.array([(len(graph.atomic_number), len(graph.first), len(graph.edges)) for graph in graphs])
        atom, bond, edge = (np.cumsum(counts, axis=0) - counts).T

        def moved(array: np.ndarray) -> Any:
            return torch.from_numpy(array).to(self._device)

        def joined(arrays: Iterable[np.ndarray], starts: np.ndarray) -> Any:
            shifted = [array + start for array, start in zip(arrays, starts, strict=True)]
            return moved(np.concatenate(shifted).astype(np.int32))

        pairs, first = joined((g.edges for g in graphs), atom), joined((g.first for g in graphs), edge)
        angles = joined((g.angles for g in graphs), np.stack([atom, bond, edge, bond, edge], axis=1))
        cells = moved(np.stack([g.cell for g in graphs])).unbind()
        strains = [cell.new_zeros([3, 3], requires_grad=True) for cell in cells] if strained else []
        if strained:
            unit = torch.eye(3, device=self._device)
            cells = [cell @ (unit + strain) for cell, strain in zip(cells, strains, strict=True)]
        fractions = moved(np.concatenate([g.fractions for g in graphs])).split(counts[:, 0].tolist())
        images = moved(np.concatenate([g.images for g in graphs])).split(counts[:, 2].tolist())
        positions = [x @ cell for x, cell in zip(fractions, cells, strict=True)]
        shifts = torch.cat([x @ cell for x, cell in zip(images, cells, strict=True)])

        x = torch.cat(positions)
        vectors = x[pairs[:, 0]] - (x[pairs[:, 1]] + shifts)
        lengths = torch.norm(vectors, dim=1)
        vectors = vectors / lengths[:, None]
        left, right = (vectors.index_select(0, angles[:, column]) for column in (2, 4))
        # A CPU takes powers of the last few numbers of an array by other instructions, with another last bit: one
        # structure after the other, the values of a bond do not depend on the batch.
        sizes = counts[:, 1].tolist() if self._device == "cpu" else [len(first)]
        lengths = lengths.index_select(0, first).split(sizes)
        expansion = self.model.bond_basis_expansion

        def expanded(basis: Any) -> Any:
            return torch.cat([basis(part) for part in lengths]).float()

        return BatchedGraph(
            atomic_numbers=torch.cat([g.atomic_number for g in graphs]).to(self._device),
            bond_bases_ag=expanded(expansion.rbf_expansion_ag),
            bond_bases_bg=expanded(expansion.rbf_expansion_bg),
            angle_bases=self.model.angle_basis_expansion(left, right).float(),
            batched_atom_graph=pairs,
            batched_bond_graph=angles[:, [0, 1, 3]],
            atom_owners=moved(np.repeat(np.arange(len(graphs), dtype=np.int32), counts[:, 0])),
            directed2undirected=joined((g.bonds for g in graphs), bond),
            atom_positions=positions,
            strains=strains,
            volumes=torch.stack([_volume(*cell) for cell in cells]).float() if strained else [],
        )

    def readout(self) -> Readout | None:
        """The dense layers of the energy, and the energies of the composition model; none of other architectures."""
        layers = list(getattr(self.model.mlp, "layers", ()))
        dense = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
        between = {type(layer).__name__.lower() for layer in layers} - {"linear", "dropout"}
        if not (self.model.mlp_first and self.model.is_intensive and dense and len(between) <= 1):
            return None
        composition, numbers = self.model.composition_model, sorted(self.elements)
        shift = 0.0 if composition is None else _torch.to_numpy(composition.fc.weight)[0][[z - 1 for z in numbers]]
        return Readout(
            layer=self.default_layer,
            weights=[_torch.to_numpy(layer.weight).T.copy() for layer in dense],
            biases=[_torch.to_numpy(layer.bias) for layer in dense],
            activation=between.pop() if between else "identity",
            scale=by_number(numbers, 1.0),
            shift=by_number(numbers, shift),
        )


def _volume(a: Any, b: Any, c: Any) -> Any:
    return torch.dot(a, torch.linalg.cross(b, c)).detach()


def _bonds(edges: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join each edge and its reverse to a bond.

    Args:
        edges: (e, 2), the atoms at the two ends.
        images: (e, 3), the cell of the second one.

    Returns:
        (e,), the bond of each edge; (e / 2,), the first edge of each bond, ascending; (e,), the reverse of each edge.
    """
    number, far = int(edges.max(initial=0)) + 1, int(np.abs(images).max(initial=0))

    def coded(pairs: np.ndarray, cells: np.ndarray) -> np.ndarray:
        code = pairs[:, 0] * number + pairs[:, 1]
        for column in cells.T:
            code = code * (2 * far + 1) + column + far
        return code

    there, back = coded(edges, images), coded(edges[:, ::-1], -images)
    order, index = np.argsort(there), np.arange(len(edges))
    reverse = order[np.minimum(np.searchsorted(there, back, sorter=order), len(order) - 1)]
    if (there[reverse] != back).any():
        raise ValueError("two atoms at the cutoff are neighbours in one direction only")
    is_first = index < reverse
    return (np.cumsum(is_first) - 1)[np.minimum(index, reverse)], np.flatnonzero(is_first), reverse


def _angles(
    edges: np.ndarray, bonds: np.ndarray, first: np.ndarray, reverse: np.ndarray, lengths: np.ndarray, cutoff: float
) -> np.ndarray:
    """Join every two short edges from the same atom to an angle.

    Args:
        edges: (e, 2), the atoms at the two ends.
        bonds: (e,), the bond of each edge.
        first: (e / 2,), the first edge of each bond.
        reverse: (e,), the reverse of each edge.
        lengths: (e,), Å.
        cutoff: of the length of a short edge, Å.

    Returns:
        (a, 5): atom, bond and edge on the left, bond and edge on the right. Left edges go by bond, right edges by when
        their far atom is first met among the neighbours of the near one.
    """
    short = first[lengths[first] <= cutoff]
    left = np.stack([short, reverse[short]], axis=1).ravel()
    number = int(edges.max(initial=0)) + 1
    _, met, pair = np.unique(edges[:, 0] * number + edges[:, 1], return_index=True, return_inverse=True)
    right = np.lexsort((met[pair], edges[:, 0]))
    right = right[lengths[right] < cutoff]
    counts = np.bincount(edges[right, 0], minlength=number)
    choices = counts[edges[left, 0]]
    starts = (np.cumsum(counts) - counts)[edges[left, 0]] - (np.cumsum(choices) - choices)
    right = right[np.repeat(starts, choices) + np.arange(choices.sum())]
    left = np.repeat(left, choices)
    angles = np.stack([edges[left, 0], bonds[left], left, bonds[right], right], axis=1)
    return angles[left != right]


def _checkpoint_file(version: str) -> Path:
    return next((Path(network_module.__file__).parents[1] / "pretrained" / version).glob("*.pth.tar"))


def _read(path: Path) -> Any:
    """A network as CHGNet's trainer saves it, by the safe unpickler."""
    with readable(path, "CHGNet"):
        return Network.from_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
