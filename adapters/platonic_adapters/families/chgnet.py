"""CHGNet (Deng et al., Nat. Mach. Intell. 2023, doi:10.1038/s42256-023-00716-3): messages on atoms, bonds, angles.

Layers: `layer0`, `layer1`, then `atom_fea`, the output of the third of four convolutions, which the library returns
under this name and reads magnetic moments from; `layer3`, the last convolution; and the default `readout`, its
normalised form, the input of the energy readout. Without a norm (0.2.0) the last two are one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from chgnet.model import CHGNet as Network  # pyright: ignore[reportMissingImports]
from chgnet.model import model as network_module  # pyright: ignore[reportMissingImports]
from pymatgen.core import Structure

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


class CHGNet:
    """One CHGNet; see `families.Adapter`."""

    # The table has 94 rows, but no training structure holds Po, At, Rn, Fr or Ra: their rows were never trained.
    elements = MATERIALS_PROJECT
    default_layer = "readout"

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        self.hardware["precision"] += ", geometry in float64"
        warnings.filterwarnings("ignore", "No Pauling electronegativity")  # pymatgen, for each noble gas it counts
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
        # An atom without neighbours is an atom without messages: the network is defined there.
        self.model.graph_converter.set_isolated_atom_response("ignore")
        # The arc cosine of a float32 loses half its digits where three atoms are in line: rotating a crystal would move
        # its rows by 2e-5. So the geometry is in float64, the network itself in float32.
        self.model.bond_basis_expansion.double().register_forward_hook(
            lambda _module, _args, out: (out[0].float(), out[1].float(), out[2])
        )
        self.model.angle_basis_expansion.double().register_forward_hook(lambda _module, _args, out: out.float())
        self.cutoff = float(self.model.graph_converter.atom_graph_cutoff)

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

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure, with its geometry in float64."""
        box = boxed(atoms, self.cutoff)
        structure = Structure(box.cell.array, list(box.numbers), box.positions, coords_are_cartesian=True)
        graph = self.model.graph_converter(structure)
        graph.lattice = torch.tensor(structure.lattice.matrix, dtype=torch.float64, requires_grad=True)
        graph.atom_frac_coord = torch.tensor(structure.frac_coords, dtype=torch.float64, requires_grad=True)
        graph.neighbor_image = graph.neighbor_image.double()
        return graph

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; hooks catch the layers."""
        if self._biased and len({len(graph.bond_graph) == 0 for graph in prepared}) == 2:
            # A structure without angles skips the bond layers, whose biases would act on it in a batch: each alone.
            alone = [self.embed([graph], properties) for graph in prepared]
            layers, values = ({k: np.concatenate([d[i][k] for d in alone]) for k in alone[0][i]} for i in (0, 1))
            return layers, values
        task = "efs" if {"forces", "stress"} & set(properties) else "e"
        with torch.set_grad_enabled(task == "efs"):
            out = self.model([graph.to(self._device) for graph in prepared], task=task)
        layers = {name: _torch.to_numpy(self._outputs[name]) for name in self.layers}
        self._outputs.clear()
        outputs = {"energy": _torch.to_numpy(out["e"] * out["atoms_per_graph"])}
        if task == "efs":
            outputs["forces"] = np.concatenate([_torch.to_numpy(f) for f in out["f"]])
            outputs["stress"] = np.stack([_torch.to_numpy(s) for s in out["s"]]) / GPA
        return layers, {name: outputs[name] for name in properties}

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


def _checkpoint_file(version: str) -> Path:
    return next((Path(network_module.__file__).parents[1] / "pretrained" / version).glob("*.pth.tar"))


def _read(path: Path) -> Any:
    """A network as CHGNet's trainer saves it, by the safe unpickler."""
    with readable(path, "CHGNet"):
        return Network.from_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
