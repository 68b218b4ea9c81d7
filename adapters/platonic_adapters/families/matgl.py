"""The models of matgl (Ko et al., npj Comput. Mater. 2025, doi:10.1038/s41524-025-01742-y): TensorNet and M3GNet.

TensorNet (Simeon and de Fabritiis, NeurIPS 2023, arXiv:2306.06482) has a tensor for each channel of an atom: layers
`embedding`, `layer0` and `layer1`, the squared norms of its isotropic, skew and symmetric parts behind the embedding of
the neighbours and each interaction; and the default `readout`, which the model makes of the last ones and reads
energies from. M3GNet (Chen and Ong, Nat. Comput. Sci. 2022, doi:10.1038/s43588-022-00349-3) is invariant, with angles:
`layer0` … `layer2`, the atoms behind each block, of which the default `layer2` is the input of the energy readout.

Since 3.0 the library sums messages at the first atom of an edge, where earlier ones summed them at the second. It loads
weights of either kind without a word, and gives compounds wrong embeddings with the earlier kind. Those weights are
used as they were trained by running the network on reversed edges, with the weights of first and second atom
exchanged, which leaves the library as it is. The convention is the option `convention`: `3` or `2`, or `dgl`, as `2`
with an old flaw: the interactions of TensorNet handed each atom its own features instead of its neighbours', so these
weights see no neighbours of neighbours.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")  # it imports matplotlib
import torch  # pyright: ignore[reportMissingImports]
from matgl.models import M3GNet, TensorNet  # pyright: ignore[reportMissingImports]
from matgl.utils.cutoff import polynomial_cutoff  # pyright: ignore[reportMissingImports]
from matgl.utils.maths import decompose_tensor, tensor_norm  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import published, readable
from platonic_adapters.families._potentials import Batch, Potential, Saved, read
from platonic_adapters.registry import ModelSpec

# The last version that reads these files as they are meant.
ADDRESS = "https://github.com/materialyzeai/matgl/raw/v2.0.4/pretrained_models"
# The architectures of the published models, for random weights.
COMMON = {"is_intensive": False, "rbf_type": "SphericalBessel", "cutoff": 5.0, "max_n": 3, "max_l": 3}
TENSORNET = {**COMMON, "units": 128, "nblocks": 2, "use_smooth": True}
M3GNET = {**COMMON, "units": 128, "nblocks": 3, "use_smooth": True, "threebody_cutoff": 4.0}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "tensornet-matpes-pbe": ("TensorNet", TENSORNET),
    "tensornet-matpes-r2scan": ("TensorNet", TENSORNET),
    "tensornetdgl-matpes-pbe": ("TensorNet", TENSORNET),
    "m3gnet-mp-2021.2.8": ("M3GNet", {**M3GNET, "units": 64, "use_smooth": False}),
    "m3gnet-matpes-pbe": ("M3GNet", M3GNET),
    "m3gnet-matpes-r2scan": ("M3GNet", M3GNET),
}


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Potential:
    """Load a model of matgl."""
    address = f"{ADDRESS}/{spec.model.checkpoint}"
    path = spec.path or (None if spec.random_weights else published(spec, address, "matgl:PATH"))
    saved = None if path is None else read(path, "matgl")
    kind, settings = ARCHITECTURES[spec.model.name] if saved is None else (saved.network, saved.arguments)
    kinds = {"TensorNet": (TensorNet, TensorNetPotential), "M3GNet": (M3GNet, M3GNetPotential)}
    if kind not in kinds:
        raise UserError(f"`{path}` must hold a {' or '.join(kinds)}, got {kind}.")
    build, potential = kinds[kind]
    with readable(path or Path(spec.name), "matgl"), _torch.seeded(spec.seed or 0):
        network = build(**settings)
    adapter = potential(spec, network, saved, device, threads)
    adapter.checkpoint = _torch.checkpoint(path or spec.model.checkpoint, network, spec.seed, spec.family.folder)
    adapter.follow(_convention(spec, saved))
    return adapter


class TensorNetPotential(Potential):
    """One TensorNet; see `families.Adapter`."""

    default_layer = "readout"

    def follow(self, convention: str) -> None:
        """Say which of its atoms an edge goes to, and prepare the layers."""
        units, blocks = self.network.units, len(self.network.layers)
        self._reversed, self._own = convention in ("2", "dgl"), convention == "dgl"
        if self._reversed:
            _exchange(self.network.tensor_embedding.emb2, units)
        self.network.bond_expansion.double()
        norms = {"width": 3 * units, "irreps": f"{3 * units}x0e of {units}x(0e + 1e + 2e)"}
        what = "squared norms of the isotropic, skew and symmetric parts behind"
        self.layers = {
            "embedding": {"what": f"{what} the embedding of the neighbours", **norms},
            **{f"layer{i}": {"what": f"{what} interaction block {i}", **norms} for i in range(blocks)},
            "readout": {"width": units, "what": "input of the energy readout", "irreps": f"{units}x0e"},
        }

    def run(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        """Run the network, which sums messages at the first atom of an edge."""
        network, edges, lengths = self.network, batch.edges, batch.lengths.float()
        radial = network.bond_expansion(batch.lengths).float()
        directed = edges.flip(0) if self._reversed else edges
        vectors = (batch.vectors / batch.lengths[:, None]).float()
        x, _ = network.tensor_embedding(batch.types, directed, radial, lengths, vectors)
        layers = {"embedding": _norms(x)}
        for i, layer in enumerate(network.layers):
            x = layer(edges[[1, 1]] if self._own else edges, lengths, radial, x)
            layers[f"layer{i}"] = _norms(x)
        layers["readout"] = network.linear(network.out_norm(_norms(x)))
        return layers, network.final_layer(layers["readout"])[:, 0]


class M3GNetPotential(Potential):
    """One M3GNet; see `families.Adapter`."""

    def follow(self, convention: str) -> None:
        """Say which of its atoms an edge goes to, and prepare the layers."""
        self._reversed = convention != "3"
        width = self.network.embedding.dim_node_embedding
        if self._reversed:
            for block in self.network.graph_layers:
                for update in (block.conv.edge_update_func, block.conv.node_update_func):
                    _exchange(update.layers[0], width)
                    _exchange(update.gates[0], width)
        self.network.bond_expansion.double()
        self.network.basis_expansion.double()
        self._name_blocks()

    def run(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        """Run the network; its angles are at the first atom of an edge by either convention."""
        network, edges, lengths = self.network, batch.edges, batch.lengths
        radial = network.bond_expansion(lengths).float()
        directed = edges.flip(0) if self._reversed else edges
        angles = torch.cat([batch.pairs, batch.pairs.flip(0)], dim=1)
        left, right = (batch.vectors[angles[i]] / lengths[angles[i], None] for i in (0, 1))
        cosine = (left * right).sum(dim=1).clamp(-1 + 1e-7, 1 - 1e-7)
        angular = network.basis_expansion(lengths[angles[1]], cosine, torch.zeros_like(cosine)).float()
        envelope = polynomial_cutoff(lengths, network.threebody_cutoff).float()
        nodes, bonds, _ = network.embedding(batch.types, radial, None)
        n, e, layers = len(nodes), len(bonds), {}
        blocks = zip(network.three_body_interactions, network.graph_layers, strict=True)
        for i, (angles_to_bonds, block) in enumerate(blocks):
            if angles.numel():
                bonds = angles_to_bonds(edges[1], angles, None, e, angular, envelope, nodes, bonds)
            bonds, nodes, _ = block(directed, bonds, nodes, None, radial, None, None, n, 1)
            layers[f"layer{i}"] = nodes
        return layers, network.final_layer(nodes)[:, 0]


def _norms(x: Any) -> Any:
    """Invariants of tensors (n, units, 3, 3), as the model itself takes them: (n, 3 units)."""
    return torch.cat([tensor_norm(part) for part in decompose_tensor(x)], dim=-1)


def _exchange(linear: Any, width: int) -> None:
    """Exchange the weights of the first and of the second `width` inputs."""
    with torch.no_grad():
        linear.weight[:, : 2 * width] = linear.weight[:, : 2 * width].roll(width, dims=1)


def _convention(spec: ModelSpec, saved: Saved | None) -> str:
    """The convention asked for; by default that of the file, if it tells."""
    known, chosen = ("2", "3", "dgl"), spec.options["convention"]
    if chosen in known:
        return chosen
    if chosen != "auto":
        raise UserError(f"`convention` of {spec.name} must be auto, {', '.join(known[:-1])} or dgl, got `{chosen}`.")
    if saved is None:
        return "2"  # of the published files
    if saved.network == "TensorNet":
        return "dgl" if saved.module.endswith("_dgl") else "2" if saved.version < 2 else "3"
    raise UserError(
        f"`{spec.path}` does not tell which version of matgl its {saved.network} was trained with; write"
        f" `matgl:{spec.path}?convention=3`, or `?convention=2` if it was earlier than 3.0."
    )
