"""Nequix (Koker et al., arXiv:2508.16067): a small NequIP in JAX, with a norm in each layer.

Layers: `layer0` … `layer3`, the scalar (l = 0) channels behind the gate of each convolution. The last one is scalar
alone, so the default `layer3` is the whole of what the energy readout sees. The library gives no layers, so its
functions are run one by one, as `Nequix.node_energies` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import e3nn_jax as e3nn  # pyright: ignore[reportMissingImports]
import equinox as eqx  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np
from matscipy.neighbours import neighbour_list  # pyright: ignore[reportMissingImports]
from nequix.calculator import NequixCalculator, from_pretrained  # pyright: ignore[reportMissingImports]
from nequix.data import atomic_numbers_to_indices  # pyright: ignore[reportMissingImports]
from nequix.model import Nequix as Network  # pyright: ignore[reportMissingImports]
from nequix.model import bessel_basis, polynomial_cutoff  # pyright: ignore[reportMissingImports]

from platonic_adapters import caches
from platonic_adapters.errors import DownloadError, UserError
from platonic_adapters.families._common import MATERIALS_PROJECT, file_checkpoint, random_checkpoint, readable
from platonic_adapters.processes import num_cores
from platonic_adapters.readout import Readout, by_number
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from ase import Atoms

# Rows and edges are padded to powers of two, at least these: each shape compiles anew, for several seconds.
MIN_ATOMS, MIN_EDGES = 128, 2048
BATCH_ATOMS = {"cpu": 64, "gpu": 1024}

# From the published training files (github.com/atomicarchitects/nequix, `configs`).
COMMON = {
    "cutoff": 6.0,
    "hidden_irreps": "128x0e + 64x1o + 32x2e + 32x3o",
    "lmax": 3,
    "n_layers": 4,
    "radial_basis_size": 8,
    "radial_mlp_size": 64,
    "radial_mlp_layers": 2,
    "radial_polynomial_p": 6.0,
    "mlp_init_scale": 4.0,
    "index_weights": False,
    "layer_norm": True,
    "atomic_numbers": sorted(MATERIALS_PROJECT),
}
HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "nequix-mp-1": {
        **COMMON,
        "avg_n_neighbors": 57.413687022442645,
        "scale": 0.8066479563713074,
        "shift": 0.16502578765761478,
    },
    "nequix-omat-1": {
        **COMMON,
        "avg_n_neighbors": 39.200199127197266,
        "scale": 0.8080419898033142,
        "shift": -3.5134828090667725,
    },
    "nequix-oam-1": {
        **COMMON,
        "avg_n_neighbors": 39.200198903821516,
        "scale": 0.8080419656942678,
        "shift": -4.3250839528546265,
    },
}


def load(spec: ModelSpec, *, device: str, threads: int | None) -> Nequix:
    """Load a Nequix model."""
    return Nequix(spec, device, threads)


@dataclass(frozen=True)
class Graph:
    """One structure: species index (n,), senders and receivers (e,), receiver → sender (e, 3) Å, volume Å³."""

    species: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    displacements: np.ndarray
    volume: float


class Nequix:
    """One Nequix; see `families.Adapter`."""

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device = _set_up(device, threads)
        self.batch_atoms = BATCH_ATOMS[self._device.platform]
        with jax.default_device(self._device):
            if spec.seed is None:
                path = spec.path or _download(spec)
                self.model, config = _read(path)
                self.checkpoint = file_checkpoint(path)
            else:
                config = _read(spec.path)[1] if spec.path else HYPERPARAMETERS[spec.model.name]
                self.model = _build(config, jax.random.key(spec.seed))
                weights = jax.tree.leaves(eqx.filter(self.model, eqx.is_array))
                arrays = (np.asarray(array).tobytes() for array in weights)
                self.checkpoint = random_checkpoint(spec.model.checkpoint, spec.seed, arrays)
        self.elements = frozenset(config["atomic_numbers"])
        self.cutoff = float(config["cutoff"])
        self._index = atomic_numbers_to_indices(config["atomic_numbers"])
        self.layers = {}
        for i, layer in enumerate(self.model.layers):
            scalars, others = layer.output_irreps.count("0e"), layer.output_irreps
            self.layers[f"layer{i}"] = {
                "width": scalars,
                "what": f"scalars of convolution {i}, post-activation (behind the gate)",
                "irreps": f"{scalars}x0e of {others}",
            }
        self.default_layer = list(self.layers)[-1]

    def prepare(self, atoms: Atoms) -> Graph:
        """Build the graph of one structure, with its distances in float64."""
        box = boxed(atoms, self.cutoff)
        receivers, senders, displacements = neighbour_list("ijD", atoms=box, cutoff=self.cutoff)
        species = np.array([self._index[z] for z in box.numbers], np.int32)
        return Graph(species, senders, receivers, displacements, box.get_volume())

    def embed(
        self, prepared: Sequence[Graph], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; forces and stress are differentiated, through the distances, only when asked for."""
        sizes = [len(graph.species) for graph in prepared]
        starts = np.cumsum([0, *sizes])
        species = np.concatenate([graph.species for graph in prepared])
        senders, receivers = (
            np.concatenate([getattr(graph, name) + start for graph, start in zip(prepared, starts, strict=False)])
            for name in ("senders", "receivers")
        )
        displacements = np.concatenate([graph.displacements for graph in prepared])
        n, e = len(species), len(senders)
        atoms, edges = _padded(n + 1, MIN_ATOMS), _padded(e, MIN_EDGES)
        # The padding is one more atom, or many, that have only themselves for neighbours.
        arguments = jax.device_put(
            (
                np.pad(displacements.astype(np.float32), [[0, edges - e], [0, 0]]),
                np.pad(species, (0, atoms - n)),
                *(np.pad(index.astype(np.int32), (0, edges - e), constant_values=n) for index in (senders, receivers)),
            ),
            self._device,
        )
        layers, energies, gradient = jax.device_get(
            _run(self.model, *arguments, differentiate=bool({"forces", "stress"} & set(properties)))
        )
        layers = {name: x[:n] for name, x in zip(self.layers, layers, strict=True)}
        outputs: dict[str, np.ndarray] = {"energy": np.add.reduceat(energies[:n].astype(np.float64), starts[:-1])}
        if gradient is not None:
            gradient = gradient[:e].astype(np.float64)
            outputs["forces"] = np.zeros((n, 3))
            np.add.at(outputs["forces"], receivers, gradient)
            np.subtract.at(outputs["forces"], senders, gradient)
            virial = np.zeros((len(prepared), 3, 3))
            structure = np.repeat(np.arange(len(prepared)), [len(graph.senders) for graph in prepared])
            np.add.at(virial, structure, displacements[:, :, None] * gradient[:, None, :])
            volume = np.array([graph.volume for graph in prepared])[:, None, None]
            outputs["stress"] = (virial + virial.transpose(0, 2, 1)) / (2 * volume)
        return layers, {name: outputs[name].astype(np.float32) for name in properties}

    def readout(self) -> Readout:
        """A linear map, then the model's scale and shift, and the energy of each isolated atom."""
        width = self.layers[self.default_layer]["width"]
        rows = e3nn.IrrepsArray(f"{width}x0e", jnp.concatenate([jnp.zeros((1, width)), jnp.eye(width)]))
        outputs = np.asarray(self.model.readout(rows).array)
        numbers = list(self._index)
        energies = np.asarray(self.model.atom_energies)[[self._index[z] for z in numbers]]
        return Readout(
            layer=self.default_layer,
            weights=[outputs[1:] - outputs[:1]],
            biases=[outputs[0]],
            activation="identity",
            scale=by_number(numbers, float(self.model.scale)),
            shift=by_number(numbers, energies + float(self.model.shift)),
        )


@eqx.filter_jit
def _run(
    model: Any,
    displacements: jax.Array,
    species: jax.Array,
    senders: jax.Array,
    receivers: jax.Array,
    *,
    differentiate: bool,
) -> tuple[list[jax.Array], jax.Array, jax.Array | None]:
    """The scalars behind each layer, the energy of each atom, and the gradient of their sum."""

    def energy(displacements: jax.Array) -> tuple[jax.Array, tuple[list[jax.Array], jax.Array]]:
        square = jnp.sum(displacements**2, axis=-1)
        distance = jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))
        radial = bessel_basis(distance, model.radial_basis_size, model.cutoff)
        radial *= polynomial_cutoff(distance, model.cutoff, model.radial_polynomial_p)[:, None]
        angular = e3nn.spherical_harmonics(
            e3nn.s2_irreps(model.lmax), displacements, normalize=True, normalization="component"
        )
        x = e3nn.IrrepsArray(f"{model.n_species}x0e", jax.nn.one_hot(species, model.n_species))
        scalars = []
        for layer in model.layers:
            x = layer(x, species, angular, radial, senders, receivers)
            scalars.append(x.filter("0e").array)
        energies = model.readout(x).array[:, 0] * model.scale + model.shift + model.atom_energies[species]
        return energies.sum(), (scalars, energies)

    if not differentiate:
        return *energy(displacements)[1], None
    gradient, (scalars, energies) = jax.grad(energy, has_aux=True)(displacements)
    return scalars, energies, gradient


def _padded(size: int, least: int) -> int:
    """The power of two that holds `size`, and `least`."""
    return max(least, 1 << (size - 1).bit_length())


def _set_up(device: str, threads: int | None) -> tuple[dict[str, Any], Any]:
    """Choose the device and the precision, and say what they are, as `Adapter.hardware` wants it."""
    threads = threads or num_cores()
    os.environ["PJRT_NPROC"] = str(threads)  # read when JAX first meets the CPU
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        chosen = jax.devices({"auto": None, "cuda": "gpu"}.get(device.split(":")[0], device))[0]
    except RuntimeError as error:
        raise UserError(
            f"`--device {device}` needs a device that this build of jax ({jax.__version__}) can use; choose"
            " `--device cpu`."
        ) from error
    name = "cpu" if chosen.platform == "cpu" else chosen.device_kind
    return {"device": name, "dtype": "float32", "precision": "highest (no TF32)", "threads": threads}, chosen


@eqx.filter_jit
def _build(config: dict[str, Any], key: jax.Array) -> Any:
    """The architecture with weights as the library draws them; energies of isolated atoms are data, and zero here."""
    names = [name for name in (*COMMON, "avg_n_neighbors", "scale", "shift") if name != "atomic_numbers"]
    return Network(key, n_species=len(config["atomic_numbers"]), **{name: config[name] for name in names})


def _download(spec: ModelSpec) -> Path:
    """The published file, from the library's cache or fetched into it."""
    path = caches.weights_path(spec)
    if not path.exists():
        try:
            from_pretrained(spec.model.checkpoint, use_kernel=False)
        except OSError as error:
            path.unlink(missing_ok=True)  # what came would pass for the whole next time
            address = NequixCalculator.URLS[spec.model.checkpoint]
            form = f"nequix:{spec.model.checkpoint}@PATH"
            raise DownloadError(spec.name, path.name, f"its authors at {address}", form, error) from error
    return path


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    """A model and its settings, JSON and plain arrays; as the library does, without drawing weights to overwrite."""
    with readable(path, "Nequix"), path.open("rb") as file:
        config = json.loads(file.readline())
        shapes = eqx.filter_eval_shape(_build, config, jax.random.key(0))
        return eqx.tree_deserialise_leaves(file, shapes), config
