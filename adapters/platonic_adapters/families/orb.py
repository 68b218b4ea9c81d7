"""Orb-v3 (Rhodes et al., arXiv:2504.06231): messages along directed edges, without any constraint of symmetry.

Layers: `layer0` … `layer4`, the node features behind each message-passing step. The default `layer4` is what the
library calls `node_features` and every head reads. Invariance under rotation is learnt, not built in, so every layer
turns with the structure to some degree.

Both generations of the library are served: 0.5 (Python 3.11), whose models know how to build their graphs, and 0.7
(Python ≥ 3.12), whose loaders return a model and an adapter for atoms.

A file of one's own may hold smaller networks: widths and depths are those of its arrays; the name that goes with it
says the rest, forces and neighbours.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from ase.stress import voigt_6_to_full_3x3_stress
from cached_path import cached_path  # pyright: ignore[reportMissingImports]
from orb_models.forcefield import pretrained  # pyright: ignore[reportMissingImports]

from platonic_adapters import processes
from platonic_adapters.errors import DownloadError, UserError, first_line
from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

CUTOFF = 6.0  # Å, of the v3 models: how wide the vacuum of a slab must be at least


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Orb:
    """Load an Orb model."""
    return Orb(spec, device, threads)


class Orb:
    """One Orb; see `families.Adapter`."""

    elements = MATERIALS_PROJECT

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        if spec.seed is None:
            path = spec.path or _download(spec)
            self.model, self._graph, self._batch = _load(spec, path, self._device)
            self.checkpoint = _torch.checkpoint(path, self.model, None)
        else:
            with processes.temporary("platonic-") as folder:
                self.model, self._graph, self._batch = _load(spec, _draw(spec, folder), self._device)
            self.checkpoint = _torch.checkpoint(spec.model.checkpoint, self.model, spec.seed)

        self._outputs: dict[str, Any] = {}
        self.layers: dict[str, dict[str, Any]] = {}
        for i, step in enumerate(self.model.model.gnn_stacks):
            what = f"node features behind message-passing step {i + 1}"
            self.layers[f"layer{i}"] = {
                "width": step.latent_dim,
                "what": what,
                "irreps": "none: not invariant under rotation",
            }
            step.register_forward_hook(
                lambda _module, _args, out, name=f"layer{i}": self._outputs.update({name: out[0]})
            )
        self.default_layer = list(self.layers)[-1]
        self.layers[self.default_layer]["what"] += ", the library's `node_features`, which every head reads"

    def prepare(self, atoms: Atoms) -> Any:
        """Build the graph of one structure; a molecule stays one, since the heads treat it in its own way."""
        return self._graph(boxed(atoms, CUTOFF) if atoms.pbc.any() else atoms, device=torch.device("cpu"))

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; without properties the heads stay out of it."""
        batch = self._batch(list(prepared)).to(self._device)
        if properties:
            out = self.model.predict(batch)
        else:
            out = {}
            with torch.no_grad():
                self.model.model(batch)
        layers = {name: _torch.to_numpy(x) for name, x in self._outputs.items()}
        self._outputs.clear()
        # The names of what is differentiated, in a conservative model, begin with `grad_`.
        outputs = {name: _torch.to_numpy(out.get(f"grad_{name}", out.get(name))) for name in properties}
        if "energy" in outputs:
            outputs["energy"] = outputs["energy"].reshape(-1)
        if "stress" in outputs:
            outputs["stress"] = voigt_6_to_full_3x3_stress(outputs["stress"].reshape(-1, 6)).reshape(-1, 3, 3)
        return layers, outputs


def _load(spec: ModelSpec, path: Path, device: str) -> tuple[Any, Any, Any]:
    """Through the library's own loader: a model, a function from atoms to a graph, and one from graphs to a batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _sized(spec):
                loaded = _loader(spec)(
                    weights_path=str(path), device=device, precision="float32-highest", compile=False
                )
        except Exception as error:  # noqa: BLE001 - a file that is no checkpoint breaks the loader in any way it likes
            reason = f"does not hold the weights of {spec.model.checkpoint} ({first_line(error)})"
            raise UserError(f"`{path}` {reason}.") from error
    if isinstance(loaded, tuple):
        model, adapter = loaded
        return model, adapter.from_ase_atoms, adapter.batch
    from orb_models.forcefield import atomic_system, base  # pyright: ignore[reportMissingImports]

    return (
        loaded,
        partial(atomic_system.ase_atoms_to_atom_graphs, system_config=loaded.system_config),
        base.batch_graphs,
    )


def _loader(spec: ModelSpec) -> Any:
    return pretrained.ORB_PRETRAINED_MODELS[spec.model.checkpoint]


def _architecture(spec: ModelSpec) -> str:
    """The name of the library's function that builds the network."""
    forces = "conservative" if "-conservative-" in spec.model.checkpoint else "direct"
    return f"orb_v3_{forces}_architecture"


@contextmanager
def _sized(spec: ModelSpec) -> Iterator[None]:
    """Inside, the library builds networks of the sizes in the user's file; its loaders know the published ones."""
    name = _architecture(spec)
    published = getattr(pretrained, name)
    setattr(pretrained, name, partial(published, **_sizes(spec)))
    try:
        yield
    finally:
        setattr(pretrained, name, published)


def _sizes(spec: ModelSpec) -> dict[str, int]:
    """Widths and depths of the network in the user's file, if there is one, from the shapes of its arrays."""
    arrays = torch.load(spec.path, map_location="cpu", weights_only=True) if spec.path else {}
    base, head = "model._encoder._node_fn.mlp.NN-", "heads.energy.mlp.NN-"
    if f"{base}0.weight" not in arrays or f"{head}0.weight" not in arrays:
        return {}  # of another layout: the library's loader knows some, and says what is wrong with the rest
    steps = {name.split(".")[2] for name in arrays if name.startswith("model.gnn_stacks.")}
    depth = lambda mlp: sum(name.startswith(mlp) and name.endswith(".weight") for name in arrays) - 1
    return {
        "latent_dim": arrays[f"{base}0.weight"].shape[1],
        "base_mlp_hidden_dim": arrays[f"{base}0.weight"].shape[0],
        "base_mlp_depth": depth(base),
        "head_mlp_hidden_dim": arrays[f"{head}0.weight"].shape[0],
        "head_mlp_depth": depth(head),
        "num_message_passing_steps": len(steps),
    }


def _draw(spec: ModelSpec, folder: Path) -> Path:
    """A file of weights as the library draws them, for its loader, so that the graphs are those of this very model."""
    with _torch.seeded(spec.seed or 0):
        model = getattr(pretrained, _architecture(spec))(device="cpu", **_sizes(spec))
    path = folder / f"{spec.model.checkpoint}.ckpt"
    torch.save(model.state_dict(), path)
    return path


def _download(spec: ModelSpec) -> Path:
    """The published file, from the library's cache or fetched into it."""
    address = inspect.signature(_loader(spec)).parameters["weights_path"].default
    try:
        return Path(cached_path(address, quiet=True))
    except Exception as error:  # noqa: BLE001 - whatever keeps the network away
        file = address.rsplit("/", 1)[-1]
        raise DownloadError(
            spec.name, file, f"Orbital Materials at {address}", f"orb:{spec.model.checkpoint}@PATH", error
        ) from error
