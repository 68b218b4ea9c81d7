"""Chemeleon-DNG (Park et al. 2025, doi:10.1038/s41467-025-59636-y): a diffusion model that generates crystals.

It was trained to denoise crystals, without energies: a control for what training on energies and forces contributes.
The network is CSPNet of DiffCSP, fully connected inside the cell. Its view of an atom depends on the diffusion time
`t`, 0 (the crystal itself) by default and asked for as `NAME?t=N`; training draws t from 1 up. It is invariant under
rotations but *not* under the choice of cell: the cell is taken as given (training saw Niggli-reduced ones), and a
supercell of the same crystal is another point of its space.

Layers: `layer0` … `layer5`, the residual stream behind each message-passing layer, and the default `node_features`,
behind the final norm: what every readout sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from chemeleon_dng.diffusion.diffusion_module import DiffusionModule  # pyright: ignore[reportMissingImports]
from chemeleon_dng.download_util import (  # pyright: ignore[reportMissingImports]
    FIGSHARE_URL,
    ensure_checkpoints_downloaded,
)
from chemeleon_dng.script_util import create_model  # pyright: ignore[reportMissingImports]

from platonic_adapters import caches, processes
from platonic_adapters.errors import DownloadError, InputError, UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT, readable, silence
from platonic_adapters.registry import ModelSpec

if TYPE_CHECKING:
    from ase import Atoms

# The network of the published checkpoints: `configs/base.yaml` of the library's repository, with the task `dng`.
ARCHITECTURE = {
    "task": "dng",
    "hidden_dim": 512,
    "time_dim": 256,
    "num_layers": 6,
    "max_atoms": 100,
    "act_fn": "silu",
    "dis_emb": "sin",
    "num_freqs": 128,
    "ln": True,
    "ip": True,
    "smooth": False,
    "cond_dim": 0,
    "pred_atom_types": True,
}
NUM_TIMESTEPS = 256  # `configs/train_diffusion.yaml`


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Chemeleon:
    """Load a Chemeleon-DNG model."""
    return Chemeleon(spec, device, threads)


class Chemeleon:
    """One Chemeleon-DNG; see `families.Adapter`."""

    elements = MATERIALS_PROJECT
    default_layer = "node_features"

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        if spec.seed is None:
            path = spec.path or _download(spec)
            module = _read(path)
            self.model, timesteps = module.model, module.num_timesteps
        else:
            path, timesteps, architecture = Path(spec.model.checkpoint), NUM_TIMESTEPS, ARCHITECTURE
            if spec.path:
                saved = _read(spec.path)
                timesteps = saved.num_timesteps
                architecture = {**saved.hparams["model_configs"], "task": saved.hparams["task"].name}
            with _torch.seeded(spec.seed):
                self.model = create_model(**architecture)
        self.checkpoint = _torch.checkpoint(path, self.model, spec.seed)
        self.model.eval().to(self._device)
        self.time = _time(spec.options["t"], timesteps)

        self._outputs: dict[str, Any] = {}
        width, note = (
            self.model.hidden_dim,
            {"diffusion_time": self.time, "diffusion_times_of_training": [1, timesteps], "cell": "as given"},
        )
        self.layers: dict[str, dict[str, Any]] = {}
        for i in range(self.model.num_layers):
            name = f"layer{i}"
            self.layers[name] = {
                "width": width,
                "what": f"residual stream behind message-passing layer {i}",
                "irreps": f"{width}x0e",
                **note,
            }
            layer = self.model._modules[f"csp_layer_{i}"]
            layer.register_forward_hook(lambda _module, _args, out, name=name: self._outputs.update({name: out}))
        what = "node features behind the final norm, the input of every readout"
        self.layers["node_features"] = {"width": width, "what": what, "irreps": f"{width}x0e", **note}

    def refusal(self, atoms: Atoms) -> str | None:
        """Return why a structure is refused, if it is no crystal."""
        return None if atoms.pbc.all() else "it needs a crystal, periodic in all three directions"

    def prepare(self, atoms: Atoms) -> Any:
        """Element numbers, cell and fractional coordinates of one crystal, the latter taken in double precision."""
        if reason := self.refusal(atoms):
            raise InputError(reason)
        fractions = atoms.get_scaled_positions(wrap=True)
        return (
            torch.from_numpy(atoms.numbers).long(),
            torch.from_numpy(atoms.cell.array).float(),
            torch.from_numpy(fractions).float(),
        )

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; hooks catch the layers."""
        if properties:
            raise UserError(
                f"Chemeleon-DNG generates crystals and has no {' or '.join(properties)}; leave `--properties` out."
            )
        numbers, cells, fractions = zip(*prepared, strict=True)
        num_atoms = torch.tensor([len(z) for z in numbers])
        inputs = {
            "atom_types": torch.cat(numbers),
            "lattices": torch.stack(cells),
            "frac_coords": torch.cat(fractions),
            "num_atoms": num_atoms,
            "batch_idx": torch.arange(len(numbers)).repeat_interleave(num_atoms),
            "t": torch.full((len(numbers),), self.time),
        }
        with torch.no_grad():
            out = self.model(**{name: x.to(self._device) for name, x in inputs.items()})
        self._outputs["node_features"] = out.node_features
        layers = {name: _torch.to_numpy(self._outputs[name]) for name in self.layers}
        self._outputs.clear()
        return layers, {}


def _time(text: str, timesteps: int) -> int:
    if not text.isdigit() or int(text) > timesteps:
        raise UserError(f"the diffusion time `t` must be a whole number from 0 to {timesteps}, got {text}.")
    return int(text)


def _download(spec: ModelSpec) -> Path:
    """The published file, fetched by the library once, in an archive of four, and kept in our cache."""
    path = caches.weights_path(spec)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with processes.temporary(".chemeleon-", path.parent) as folder:
            try:
                with silence():
                    ensure_checkpoints_downloaded(f"{folder}/ckpts")
            except OSError as error:  # requests' errors are of this kind
                publisher = f"its authors in the archive {FIGSHARE_URL}"
                raise DownloadError(spec.name, path.name, publisher, "chemeleon:PATH", error) from error
            (folder / "ckpts" / path.name).replace(path)
    return path


def _read(path: Path) -> Any:
    """A diffusion module as Lightning saves it, pickled: as trustworthy as whoever wrote the file."""
    with readable(path, "Chemeleon-DNG"):
        return DiffusionModule.load_from_checkpoint(path, map_location="cpu", weights_only=False)
