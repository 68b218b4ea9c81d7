"""SevenNet (Park et al., J. Chem. Theory Comput. 2024, doi:10.1021/acs.jctc.4c00190): equivariant, after NequIP.

Layers: `layer0` … `layer4`, the scalar (l = 0) channels behind the gate of each interaction block, and `hidden`, the
linear reduction before the energy. The last block is scalar alone, so the default `layer4` is the whole of what the
readout sees. Of a multi-fidelity model, the modality chosen (`?modality=`) enters every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sevenn._keys as KEY  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
from sevenn._const import CHECKPOINT_DOWNLOAD_LINKS, SEVENNET_omat  # pyright: ignore[reportMissingImports]
from sevenn.atom_graph_data import AtomGraphData  # pyright: ignore[reportMissingImports]
from sevenn.model_build import build_E3_equivariant_model  # pyright: ignore[reportMissingImports]
from sevenn.train.dataload import unlabeled_atoms_to_graph  # pyright: ignore[reportMissingImports]
from sevenn.util import load_checkpoint  # pyright: ignore[reportMissingImports]
from torch_geometric.loader.dataloader import Collater  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import DownloadError, UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import readable, silence
from platonic_adapters.readout import Readout, by_number
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

_torch.read_arrays_of_numpy()  # in the settings of its checkpoints
FETCHED = {"7net-omat": SEVENNET_omat}
GEOMETRY, HIDDEN = "edge_embedding", "reduce_input_to_hidden"
ENERGY, RESCALE = "reduce_hidden_to_energy", "rescale_atomic_energy"


def load(spec: ModelSpec, *, device: str, threads: int | None) -> SevenNet:
    """Load a SevenNet model."""
    return SevenNet(spec, device, threads)


class SevenNet:
    """One SevenNet; see `families.Adapter`."""

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        file = _read(spec)
        self.model = file.build_model()
        self._modality = _modality(spec, self.model)
        if spec.seed is not None:
            _torch.redraw(self.model, lambda: build_E3_equivariant_model(file.config), spec.seed)
        self.checkpoint = _torch.checkpoint(file.checkpoint_path, self.model, spec.seed)
        self.model.set_is_batch_data(True)
        self.model.key_grad = None
        self.model.eval().to(self._device)
        # The cutoff's polynomial is a small difference of large numbers: in float32, rotating a crystal would move its
        # rows by 2e-5. So the geometry is in float64, the network itself in float32.
        self.model._modules[GEOMETRY].double()
        self.hardware["precision"] += ", geometry in float64"
        self.elements = frozenset(int(z) for z in self.model.type_map)
        self.cutoff = float(self.model.cutoff)
        self._collate = Collater([], None, None)

        self._gates, self.layers = {}, {}
        for name, module in self.model._modules.items():
            if name.endswith("equivariant_gate"):
                irreps = module.gate.irreps_out
                layer = f"layer{name.split('_')[0]}"
                scalars = _torch.leading_scalars(irreps, layer)
                self._gates[name] = (layer, scalars)
                self.layers[layer] = {
                    "width": scalars,
                    "what": f"scalars of interaction block {layer[5:]}, post-activation (behind the gate)",
                    "irreps": f"{scalars}x0e of {irreps}",
                }
        self.default_layer = list(self.layers)[-1]
        width = self.model._modules[HIDDEN].linear.irreps_out.dim
        self.layers["hidden"] = {
            "width": width,
            "what": "linear reduction of the last block, before the energy",
            "irreps": f"{width}x0e",
        }

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure."""
        arrays = unlabeled_atoms_to_graph(boxed(atoms, self.cutoff), self.cutoff)
        vectors = torch.from_numpy(arrays[KEY.EDGE_VEC])
        graph = AtomGraphData.from_numpy_dict(arrays)
        graph[KEY.EDGE_VEC] = vectors
        if self._modality is not None:
            graph[KEY.DATA_MODALITY] = self._modality
        return graph

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch. The modules overwrite the entry `x` of one dictionary, so they are run one by one."""
        data = self.model._preprocess(self._collate(list(prepared)).to(self._device))
        layers = {}
        with torch.set_grad_enabled(bool(properties)):
            if properties:
                data[KEY.EDGE_VEC].requires_grad_()
            for name, module in self.model._modules.items():
                data = module(data)
                if name == GEOMETRY:
                    for key in (KEY.EDGE_EMBEDDING, KEY.EDGE_ATTR):
                        data[key] = data[key].float()
                elif name in self._gates:
                    layer, scalars = self._gates[name]
                    layers[layer] = _torch.to_numpy(data[KEY.NODE_FEATURE][:, :scalars])
                elif name == HIDDEN:
                    layers["hidden"] = _torch.to_numpy(data[KEY.NODE_FEATURE])
                    if not properties:
                        return layers, {}
        outputs = {
            "energy": _torch.to_numpy(data[KEY.PRED_TOTAL_ENERGY]).reshape(-1),
            "forces": _torch.to_numpy(data[KEY.PRED_FORCE]),
            "stress": _torch.symmetric(-data[KEY.PRED_STRESS]),
        }
        return layers, {name: outputs[name] for name in properties}

    def readout(self) -> Readout:
        """Two linear maps, of which a modality may shift the first, then a scale and a shift for each element."""
        modules, modal = self.model._modules, self.model.modal_map
        modality = None if self._modality is None else modal[self._modality]
        dense = [_dense(modules[name], modality) for name in (HIDDEN, ENERGY)]
        numbers, types = zip(*self.model.type_map.items(), strict=True)
        index = torch.tensor(types, device=self._device)
        state = {KEY.ATOM_TYPE: index, KEY.BATCH: torch.zeros_like(index)}
        if modality is not None:
            state[KEY.MODAL_TYPE] = torch.tensor([modality], device=self._device)
        shift, whole = (
            _torch.to_numpy(
                modules[RESCALE](
                    state | {KEY.SCALED_ATOMIC_ENERGY: torch.full((len(types), 1), x, device=self._device)}
                )[KEY.ATOMIC_ENERGY]
            )[:, 0]
            for x in (0.0, 1.0)
        )
        return Readout(
            layer=self.default_layer,
            weights=[weights for weights, _ in dense],
            biases=[bias for _, bias in dense],
            activation="identity",
            scale=by_number(numbers, whole - shift),
            shift=by_number(numbers, shift),
        )


def _dense(module: Any, modality: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a linear map of scalars, with what the modality adds, as its last inputs, in the bias."""
    inputs = module.linear.irreps_in.dim
    weights, bias = _torch.dense(module.linear, inputs)
    width = inputs - (module.num_modalities if module.num_modalities > 1 else 0)
    if width < inputs and modality is not None:
        bias = bias + weights[width + modality]
    return weights[:width], bias


def _read(spec: ModelSpec) -> Any:
    """The checkpoint: a local file, one of the package, or one that the library fetches."""
    if spec.path:
        with readable(spec.path, "SevenNet"):
            return _quietly(spec.path)
    name = spec.model.checkpoint
    try:
        return _quietly(name)
    except Exception as error:
        if name not in FETCHED:
            raise
        address = CHECKPOINT_DOWNLOAD_LINKS[FETCHED[name]]
        form = f"sevennet:{name}@PATH"
        raise DownloadError(spec.name, Path(address).name, f"MDIL-SNU at {address}", form, error) from error


def _quietly(checkpoint: Path | str) -> Any:
    """Load by the library without its words on stdout."""
    with silence():
        file = load_checkpoint(checkpoint)
        file.config  # noqa: B018 - now, not later, the file is read
    return file


def _modality(spec: ModelSpec, model: Any) -> str | None:
    """The modality asked for, if the model has any."""
    chosen, known = spec.options["modality"], list(model.modal_map or ["none"])
    if chosen not in known:
        fix = f"write `?modality={known[0]}`"
        raise UserError(f"`modality` of {spec.name} must be {' or '.join(known)}, got `{chosen}`; {fix}.")
    return chosen if model.modal_map else None
