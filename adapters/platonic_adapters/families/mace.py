"""MACE (Batatia et al., NeurIPS 2022, arXiv:2206.07697; models arXiv:2401.00096): equivariant many-body messages.

Layers: `layer0` and `layer1`, the invariant (l = 0, even) channels behind each interaction block, and `invariants`,
those of all blocks side by side. The default is `invariants`, since the energy has a readout at every block (of a model
that has one alone, the last layer). Li and Walsh (arXiv:2512.05349) read `layer0`, an atom and its neighbours within
the cutoff. Channels with l > 0 turn with the structure and are never exported.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import numpy as np

# MACE before e3nn: it lets torch load the constants that e3nn 0.4.4 ships as a pickle.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mace import modules  # pyright: ignore[reportMissingImports]
    from mace.calculators.foundations_models import download_mace_mp_checkpoint  # pyright: ignore[reportMissingImports]
    from mace.data import AtomicData, config_from_atoms  # pyright: ignore[reportMissingImports]
    from mace.tools import AtomicNumberTable  # pyright: ignore[reportMissingImports]
    from mace.tools.scripts_utils import extract_config_mace_model  # pyright: ignore[reportMissingImports]
    from mace.tools.torch_geometric.batch import Batch  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
from e3nn import o3  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import DownloadError, UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT, readable, silence
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

# Checkpoints are addresses, most of them relative to this one.
RELEASES = "https://github.com/ACEsuit/mace-mp/releases/download/"
# From the published training scripts (github.com/ACEsuit/mace-foundations). The mean number of neighbours is that of
# MPtrj, as in the checkpoints; the density blocks do without it.
COMMON = {
    "r_max": 6.0,
    "num_bessel": 10,
    "num_polynomial_cutoff": 5,
    "max_ell": 3,
    "num_interactions": 2,
    "correlation": 3,
    "MLP_irreps": "16x0e",
    "avg_num_neighbors": 61.964672446250916,
}
RESIDUAL = {
    "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "atomic_inter_scale": 0.8041538754478097,
    "atomic_inter_shift": 0.16409696359187365,
}
DENSITY = {
    "interaction_cls_first": "RealAgnosticDensityInteractionBlock",
    "interaction_cls": "RealAgnosticDensityResidualInteractionBlock",
    "atomic_inter_scale": 1.0,
    "atomic_inter_shift": 0.0,
    "pair_repulsion": True,
    "distance_transform": "Agnesi",
}
# From the checkpoints.
SOLVENTS = {
    **COMMON,
    "r_max": 4.0,
    "num_bessel": 8,
    "max_ell": 2,
    "correlation": 2,
    "interaction_cls_first": "RealAgnosticInteractionBlock",
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "atomic_inter_shift": 0.0,
    "atomic_numbers": [1, 6, 8],
}
HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "mace-mp-0-small": {**COMMON, **RESIDUAL, "hidden_irreps": "128x0e"},
    "mace-mp-0-medium": {**COMMON, **RESIDUAL, "hidden_irreps": "128x0e + 128x1o"},
    "mace-mp-0-large": {**COMMON, **RESIDUAL, "hidden_irreps": "128x0e + 128x1o + 128x2e"},
    "mace-omat-0": {**COMMON, **DENSITY, "hidden_irreps": "128x0e + 128x1o"},
    "mace-mpa-0": {**COMMON, **DENSITY, "hidden_irreps": "128x0e + 128x1o"},
    **{
        f"mace-solvents-{name}": {
            **SOLVENTS,
            "hidden_irreps": f"{channels}x0e",
            "avg_num_neighbors": neighbours,
            "atomic_inter_scale": scale,
        }
        for name, channels, neighbours, scale in (
            ("01", 32, 9.86205556634933, 2.17754502),
            ("02-com1", 16, 10.241610738255034, 2.23681395),
            ("02-com2", 16, 9.862068965517242, 1.81986932),
            ("02-com3", 16, 9.848019401778496, 1.81574038),
            ("02-com1-gen1", 16, 9.794285714285714, 2.11290174),
        )
    },
}


def load(spec: ModelSpec, *, device: str, threads: int | None) -> MACE:
    """Load a MACE model."""
    return MACE(spec, device, threads)


class MACE:
    """One MACE; see `families.Adapter`."""

    paper_layer = "layer0"

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        if spec.seed is not None:
            self.model = _random(spec)
            self.checkpoint = _torch.checkpoint(spec.model.checkpoint, self.model, spec.seed)
        else:
            path = spec.path or _download(spec)
            self.model = _read(path)
            self.checkpoint = _torch.checkpoint(path, self.model, None)
        self.model = self.model.float().eval().requires_grad_(requires_grad=False).to(self._device)
        self.elements = frozenset(self.model.atomic_numbers.tolist())
        self.cutoff = float(self.model.r_max)
        self._table = AtomicNumberTable(sorted(self.elements))
        heads = list(getattr(self.model, "heads", ["Default"]))
        self._heads = heads
        # The head of the energies, as MACE's own calculator chooses it; embeddings lie before the heads.
        self._head = heads[0] if len(heads) == 1 else next((head for head in heads if head.lower() == "default"), None)

        self._columns, self.layers, start = [], {}, 0
        for i, product in enumerate(self.model.products):
            irreps = product.linear.irreps_out
            scalars = [
                start + c
                for s, (_, ir) in zip(irreps.slices(), irreps, strict=True)
                if (ir.l, ir.p) == (0, 1)
                for c in range(s.start, s.stop)
            ]
            self._columns.append(torch.tensor(scalars, device=self._device))
            self.layers[f"layer{i}"] = {
                "width": len(scalars),
                "what": f"invariants behind interaction block {i + 1}",
                "irreps": f"{len(scalars)}x0e of {irreps}",
            }
            start += irreps.dim
        width = sum(len(columns) for columns in self._columns)
        self.layers["invariants"] = {
            "width": width,
            "what": "invariants behind every interaction block, side by side",
            "irreps": f"{width}x0e",
        }
        last = f"layer{len(self.model.products) - 1}"
        self.default_layer = last if len(self.model.readouts) == 1 else "invariants"

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure."""
        config = config_from_atoms(boxed(atoms, self.cutoff), head_name=self._head or self._heads[0])
        return AtomicData.from_config(config, z_table=self._table, cutoff=self.cutoff, heads=self._heads)

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; forces and stress are differentiated only when asked for."""
        if properties and self._head is None:
            raise UserError(
                f"`--properties` needs a model with one head or one called default, got {', '.join(self._heads)}."
            )
        stress = "stress" in properties
        forces = stress or "forces" in properties
        data = Batch.from_data_list(list(prepared)).to(self._device).to_dict()
        with torch.set_grad_enabled(forces):
            out = self.model(data, compute_force=forces, compute_stress=stress)
        invariants = [_torch.to_numpy(out["node_feats"][:, columns]) for columns in self._columns]
        layers = {f"layer{i}": x for i, x in enumerate(invariants)} | {"invariants": np.concatenate(invariants, axis=1)}
        return layers, {name: _torch.to_numpy(out[name]) for name in properties}


def _random(spec: ModelSpec) -> Any:
    """The architecture with weights as MACE draws them; energies of isolated atoms are data, and zero here."""
    if spec.path is not None:
        config = extract_config_mace_model(_read(spec.path))
        if "error" in config:
            raise UserError(f"{spec.name}: weights can be re-drawn for a ScaleShiftMACE only; {config['error']}.")
    else:
        config = dict(HYPERPARAMETERS[spec.model.name])
        for name in ("interaction_cls_first", "interaction_cls"):
            config[name] = modules.interaction_classes[config[name]]
        for name in ("hidden_irreps", "MLP_irreps"):
            config[name] = o3.Irreps(config[name])
        numbers = config.setdefault("atomic_numbers", sorted(MATERIALS_PROJECT))
        config |= {
            "num_elements": len(numbers),
            "atomic_energies": np.zeros(len(numbers)),
            "gate": torch.nn.functional.silu,
        }
    with _torch.seeded(spec.seed or 0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return modules.ScaleShiftMACE(**config)


def _download(spec: ModelSpec) -> Path:
    """The published file, from MACE's cache or fetched into it; by address, as the alias `large` is another file."""
    address = urljoin(RELEASES, spec.model.checkpoint)
    try:
        with silence():
            return Path(download_mace_mp_checkpoint(address))
    except Exception as error:  # noqa: BLE001 - whatever keeps the network away
        publisher, file = address.split("/")[3], address.rsplit("/", 1)[-1]
        raise DownloadError(spec.name, file, f"{publisher} at {address}", "mace:PATH", error) from error


def _read(path: Path) -> Any:
    """A model as MACE saves it, whole and pickled: as trustworthy as whoever wrote the file."""
    with readable(path, "MACE"):
        model = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(model, modules.MACE):
        raise UserError(
            f"`{path}` must hold a whole MACE model, as `mace_run_train` saves it, got {type(model).__name__}."
        )
    return model
