"""MatterSim (Yang et al. 2024, arXiv:2405.04967): the released models are M3GNets, invariant messages over triplets.

Layers: `layer0`, `layer1`, …, the atom features behind each block. The default is the last one, which the energy
readout sees as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from ase.units import GPa
from loguru import logger  # pyright: ignore[reportMissingImports]
from mattersim.datasets.utils.convertor import GraphConvertor  # pyright: ignore[reportMissingImports]
from mattersim.forcefield.m3gnet.m3gnet import M3Gnet  # pyright: ignore[reportMissingImports]
from mattersim.forcefield.potential import Potential, batch_to_dict  # pyright: ignore[reportMissingImports]
from mattersim.utils.download_utils import download_checkpoint  # pyright: ignore[reportMissingImports]
from torch_geometric.data import Batch  # pyright: ignore[reportMissingImports]

from platonic_adapters import caches
from platonic_adapters.errors import DownloadError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT, readable
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

PUBLISHER = "Microsoft at https://github.com/microsoft/mattersim/tree/main/pretrained_models"
# Found by the number of parameters: with these, and the library's own defaults for the rest, 890,034 and 4,548,930,
# where the model card says 880 thousand and 4.5 million.
ARCHITECTURES = {
    "mattersim-1m": {"num_blocks": 3, "units": 128},
    "mattersim-5m": {"num_blocks": 4, "units": 256},
}


def load(spec: ModelSpec, *, device: str, threads: int | None) -> MatterSim:
    """Load a MatterSim model."""
    return MatterSim(spec, device, threads)


class MatterSim:
    """One MatterSim; see `families.Adapter`."""

    elements = MATERIALS_PROJECT

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        logger.disable("mattersim")
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        if spec.seed is None:
            path = spec.path or _download(spec)
            self.potential = _read(path, self._device)
        else:
            path = Path(spec.model.checkpoint)
            architecture = _read(spec.path, "cpu").model.model_args if spec.path else ARCHITECTURES[spec.model.name]
            with _torch.seeded(spec.seed):
                self.potential = Potential(M3Gnet(**architecture, device=self._device), device=self._device)
        self.model = self.potential.model.eval().requires_grad_(requires_grad=False)
        self.checkpoint = _torch.checkpoint(path, self.model, spec.seed)
        self.cutoff = float(self.model.model_args["cutoff"])
        three_body = float(self.model.model_args["threebody_cutoff"])
        self._graphs = GraphConvertor("m3gnet", self.cutoff, has_threebody=True, threebody_cutoff=three_body)

        self._outputs: dict[str, Any] = {}
        width = int(self.model.model_args["units"])
        self.layers: dict[str, dict[str, Any]] = {}
        for i, block in enumerate(self.model.graph_conv):
            name = f"layer{i}"
            self.layers[name] = {"width": width, "what": f"atom features behind block {i}", "irreps": f"{width}x0e"}
            block.register_forward_hook(lambda _module, _args, out, name=name: self._outputs.update({name: out[0]}))
        self.default_layer = list(self.layers)[-1]

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure."""
        box = boxed(atoms, self.cutoff)
        box.wrap(eps=0)  # float32 is finest near the origin, and images are counted from there
        return self._graphs.convert(box)

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; hooks catch the layers."""
        stress = "stress" in properties
        forces = stress or "forces" in properties  # the library gives a stress with forces only
        inputs = batch_to_dict(Batch.from_data_list(list(prepared)), device=self._device)
        with torch.set_grad_enabled(forces):
            out = self.potential(inputs, include_forces=forces, include_stresses=stress)
        layers = {name: _torch.to_numpy(self._outputs[name]) for name in self.layers}
        self._outputs.clear()
        outputs = {"energy": _torch.to_numpy(out["total_energy"])}
        if forces:
            outputs["forces"] = _torch.to_numpy(out["forces"])
        if stress:
            outputs["stress"] = _torch.to_numpy(out["stresses"]) * GPa
        return layers, {name: outputs[name] for name in properties}


def _download(spec: ModelSpec) -> Path:
    """The published file, from the library's cache or fetched into it."""
    path = caches.weights_path(spec)
    if not path.exists():
        try:
            download_checkpoint(path.name, save_folder=str(path.parent))
        except OSError as error:  # requests' errors are of this kind
            raise DownloadError(spec.name, path.name, PUBLISHER, "mattersim:PATH", error) from error
    return path


def _read(path: Path, device: str) -> Any:
    """A potential as MatterSim saves it: `torch.load` with its safe unpickler."""
    with readable(path, "MatterSim"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Potential.from_checkpoint(str(path), device=device, load_training_state=False)
