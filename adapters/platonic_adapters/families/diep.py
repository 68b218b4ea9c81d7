"""DIEP (Tawfik et al., Digital Discovery 2024; github.com/materialsalchemist/diep): M3GNet on integrals of potentials.

Layers: `layer0` … `layer2`, the atoms behind each block, of which the default `layer2` is the input of the energy
readout. Instead of radial and angular functions, the network sees the potential of two atoms, or of three, times their
density on a grid of points in their plane. Three atoms are laid on the grid by the order of their distances, and where
distances are equal by that of their elements. The library decides in float32 what is equal to 1e-6 Å, which turning a
crystal changes; so the geometry is in float64 here. It integrates each triplet twice, for either edge that it acts on;
here, once.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from diep.graph.compute import DIEPData  # pyright: ignore[reportMissingImports]
from diep.layers._diep_core import DIEPGrid, _canonicalize_triplets_batch  # pyright: ignore[reportMissingImports]
from diep.models import DIEP  # pyright: ignore[reportMissingImports]
from diep.utils.cutoff import polynomial_cutoff  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import readable
from platonic_adapters.families._potentials import Batch, Potential, Saved, read
from platonic_adapters.registry import ModelSpec

PUBLISHED = Path(inspect.getfile(DIEP)).parents[1] / "pretrained_models"
# Å; distances that differ by less are equal. Not the library's 1e-6: coordinates are multiples of such numbers, and
# rounding would decide about differences of just as much.
EQUAL = 1.0123e-6


def load(spec: ModelSpec, *, device: str, threads: int | None) -> DIEPPotential:
    """Load a DIEP model."""
    path = spec.path or PUBLISHED / spec.model.checkpoint
    return DIEPPotential(spec, read(path, "DIEP"), path, device, threads)


class DIEPPotential(Potential):
    """One DIEP; see `families.Adapter`."""

    def __init__(self, spec: ModelSpec, saved: Saved, path: Path, device: str, threads: int | None) -> None:
        with readable(path, "DIEP"), _torch.seeded(spec.seed or 0):
            network = DIEP(**saved.arguments)
        super().__init__(spec, network, saved, device, threads)
        self.checkpoint = _torch.checkpoint(path, network, spec.seed, spec.family.folder)
        integral = network.diep_integrator
        if (integral.mode, integral.triplet_frame, network.use_triplets) != ("grid", "canonical", True):
            raise UserError(f"`{path}` must hold a DIEP of triplets in canonical frames on a grid, as diep_fold1 is.")
        self._grid = DIEPGrid(integral.grid_half_length, integral.base_spacing, torch.device(self._device))
        self._name_blocks()

    def run(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        """Run the network."""
        network, edges, lengths = self.network, batch.edges, batch.lengths
        ends = torch.stack([-lengths / 2, lengths / 2], dim=1)
        line = torch.stack([ends, torch.zeros_like(ends)], dim=2)
        potential = self._integrated(line, batch.numbers[edges.T])
        radial = potential * polynomial_cutoff(lengths, network.cutoff).float()[:, None]
        nodes, bonds, _ = network.embedding(batch.types, radial, None)
        graph = DIEPData(
            edge_index=edges, triple_index=torch.cat([batch.pairs, batch.pairs.flip(0)], dim=1), rbf=radial
        )
        angular = self._triplets(batch)
        envelope = polynomial_cutoff(lengths, network.threebody_cutoff).float()
        layers = {}
        blocks = zip(network.three_body_interactions, network.graph_layers, strict=True)
        for i, (triplets_to_bonds, block) in enumerate(blocks):
            bonds = triplets_to_bonds(graph, angular, envelope, nodes, bonds)
            bonds, nodes, _ = block(graph, bonds, nodes, None)
            layers[f"layer{i}"] = nodes
        return layers, network.final_layer.gated(nodes)[:, 0]

    def _triplets(self, batch: Batch) -> Any:
        """The features of each triplet, for its first edge and then once more for its second: (2 p, points)."""
        left, right = batch.pairs
        corners = torch.stack([batch.vectors[left], torch.zeros_like(batch.vectors[left]), batch.vectors[right]], dim=1)
        centres, neighbours = batch.edges
        numbers = batch.numbers[torch.stack([neighbours[left], centres[left], neighbours[right]], dim=1)]
        features = self._integrated(*_canonicalize_triplets_batch(corners, numbers, EQUAL))
        return features.repeat(2, 1)

    def _integrated(self, plane: Any, numbers: Any) -> Any:
        """Density times potential at the grid's points: (t, k, 2) Å in a plane, (t, k) elements → (t, points)."""
        integral, grid = self.network.diep_integrator, self._grid
        squares = (plane.float()[:, :, None] - grid.points).square().sum(dim=-1)
        charges = numbers.float().sqrt() if integral.use_effective_charge else numbers.float()
        softened = torch.sqrt(squares + integral.softening_epsilon**2)
        return integral._integrate(squares, softened, charges, grid.delta_area)
