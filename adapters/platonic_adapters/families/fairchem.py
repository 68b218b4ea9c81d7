"""fairchem's eSEN (Fu et al. 2025, arXiv:2502.12147) and UMA (Wood et al. 2025, arXiv:2506.23971), equivariant.

UMA is one network for several levels of theory: its embedding depends on the *task*, `omat` (inorganic crystals) by
default and asked for as `NAME?task=omc`. Its mixture of linear experts is mixed by the composition of the whole
structure, so an atom's row knows the formula of its crystal.

Layers: `layer0`, `layer1`, …, the scalar (l = 0) channels behind each block, and the default `node_embedding`, those
behind the final norm: what every readout sees. Channels with l > 0 turn with the structure and are never exported.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from fairchem.core.calculate import pretrained_mlip  # pyright: ignore[reportMissingImports]
from fairchem.core.datasets.atomic_data import (  # pyright: ignore[reportMissingImports]
    AtomicData,
    atomicdata_list_to_batch,
)
from fairchem.core.units.mlip_unit import InferenceSettings, load_predict_unit  # pyright: ignore[reportMissingImports]
from hydra.utils import instantiate  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import DownloadError, UserError
from platonic_adapters.families import _torch
from platonic_adapters.families._common import MATERIALS_PROJECT, readable
from platonic_adapters.registry import ModelSpec
from platonic_adapters.structures import boxed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

# Full precision; experts not merged, which would tie the model to one composition; graphs built where the model runs.
SETTINGS = InferenceSettings(tf32=False, activation_checkpointing=False, merge_mole=False, compile=False)
DEFAULT_TASK = "omat"
# OMol25 ends at Bi. The other sets hold the elements of OMat24, or some of them; UMA has seen them all in one network.
MOLECULAR = frozenset(range(1, 84))
MODELS = "fairchem.core.models.uma"
MODEL_IDS = (("1p2p1", "UMA-S-1.2.1"), ("1p2", "UMA-S-1.2"), ("1p1", "UMA-1.1"))

# Published training configurations (`configs/uma` in the library's repository). They give UMA-S-1.1 146
# million parameters, as documented (145). The eSEN models have no configuration there: theirs are taken to be the same
# network without experts.
BACKBONE = {
    "model": "fairchem.core.models.uma.escn_moe.eSCNMDMoeBackbone",
    "num_experts": 0,
    "moe_layer_type": "pytorch",
    "use_composition_embedding": True,
    "max_num_elements": 100,
    "sphere_channels": 128,
    "lmax": 2,
    "mmax": 2,
    "otf_graph": True,
    "cutoff": 6.0,
    "edge_channels": 128,
    "distance_function": "gaussian",
    "num_distance_basis": 64,
    "regress_forces": True,
    "num_layers": 4,
    "hidden_channels": 128,
    "norm_type": "rms_norm_sh",
    "act_type": "gate",
    "ff_type": "spectral",
    "always_use_pbc": False,
}
# Medium: ten blocks and l up to 4 after the name of its configuration (K10L4), which is not public; the rest is taken
# from the small ones. That gives 51 million parameters an expert, where about 50 are documented.
MEDIUM = {"num_layers": 10, "lmax": 4}
UMA_1P1 = {"num_experts": 32, "dataset_emb_grad": True}
UMA_1P2 = {
    "num_experts": 64,
    "num_distance_basis": 32,
    "chg_spin_emb_type": "rand_emb",
    "cs_emb_grad": True,
    "dataset_emb_grad": True,
    "charge_balanced_channels": [0, 1, 2],
}
SETS_1P1 = ("oc20", "omol", "omat", "odac", "omc")
SETS_1P2 = (*SETS_1P1, "oc22", "oc25")


def load(spec: ModelSpec, *, device: str, threads: int | None) -> FairChem:
    """Load a fairchem model."""
    return FairChem(spec, device, threads)


class FairChem:
    """One eSEN or UMA; see `families.Adapter`."""

    default_layer = "node_embedding"

    def __init__(self, spec: ModelSpec, device: str, threads: int | None) -> None:
        self.hardware, self._device, self.batch_atoms = _torch.set_up(device, threads)
        self._name = spec.name
        if spec.seed is None:
            path = spec.path or _download(spec)
            with _quiet():
                self.model = _read(path, self._device)
        else:
            path = Path(spec.model.checkpoint)
            model, tasks = _saved_architecture(spec.path) if spec.path else architecture(spec.model.name)
            with _quiet(), _torch.seeded(spec.seed):
                self.model = instantiate(model)
                self.model.setup_tasks(tasks)
        self.model.eval().requires_grad_(requires_grad=False).to(self._device)
        self.checkpoint = _torch.checkpoint(path, self.model, spec.seed)

        backbone = self.model.backbone
        self.cutoff = float(backbone.cutoff)
        self._direct = bool(backbone.regress_config.direct_forces)
        known = list(self.model.dataset_to_tasks)
        self.task = _chosen_task(spec, known)
        self.elements = MOLECULAR if known == ["omol"] else MATERIALS_PROJECT
        self.charged = self.task == "omol"

        self._outputs: dict[str, Any] = {}
        self.layers: dict[str, dict[str, Any]] = {}
        width, irreps = (
            backbone.sphere_channels,
            " + ".join(f"{backbone.sphere_channels}x{l}" for l in range(backbone.lmax + 1)),
        )
        # Seen by what comes next: between two blocks a model may still balance its charge channels.
        for i, following in enumerate([*backbone.blocks[1:], backbone.norm]):
            name = f"layer{i}"
            self.layers[name] = {
                "width": width,
                "what": f"scalars behind block {i}",
                "irreps": f"{width}x0 of {irreps}",
                "task": self.task,
            }
            following.register_forward_pre_hook(lambda _module, args, name=name: self._outputs.update({name: args[0]}))
        self.layers["node_embedding"] = {
            "width": width,
            "what": "scalars behind the final norm, the input of every readout",
            "irreps": f"{width}x0 of {irreps}",
            "task": self.task,
        }
        backbone.norm.register_forward_hook(lambda _module, _args, out: self._outputs.update({"node_embedding": out}))

    def prepare(self, atoms: Atoms) -> Any:
        """The input of one structure; its graph is built on the device.

        Molecules have a charge and a spin multiplicity, those of a neutral singlet where none are given; crystals none.
        """
        box = boxed(atoms, self.cutoff).copy()
        box.info = {"charge": 0, "spin": 0}
        if self.charged:
            box.info = {"charge": atoms.info.get("charge", 0), "spin": atoms.info.get("spin", 0) or 1}
        return AtomicData.from_ase(box, task_name=self.task, r_edges=False, r_data_keys=["spin", "charge"])

    def embed(
        self, prepared: Sequence[Any], properties: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Embed a batch; hooks catch the layers. Gradients are taken only when asked for."""
        tasks = {task.property: task for task in self.model.dataset_to_tasks[self.task]}
        if missing := [name for name in properties if name not in tasks]:
            raise UserError(f"{self._name} gives no {' and no '.join(missing)}; leave it out of `--properties`.")
        stress = "stress" in properties and not self._direct
        forces = (stress or "forces" in properties) and not self._direct
        regress = self.model.backbone.regress_config
        if not self._direct:
            regress.forces, regress.stress = forces, stress
        # Each edge's frame is rolled at random, which changes the rounding alone: one seed, and a batch repeats.
        with _torch.seeded(0), torch.set_grad_enabled(forces):
            data = atomicdata_list_to_batch([one.clone() for one in prepared]).to(self._device)
            out = self.model(data) if properties else self.model.backbone(data)
        layers = {name: _torch.to_numpy(self._outputs[name][:, 0]) for name in self.layers}
        self._outputs.clear()
        return layers, {name: self._property(tasks[name], out, data) for name in properties}

    def _property(self, task: Any, out: dict[str, Any], data: Any) -> np.ndarray:
        """Return the prediction of a head, in the units of its task."""
        value = task.normalizer.to(self._device).denorm(out[task.name][task.property].detach())
        if task.element_references is not None:
            value = task.element_references.to(self._device).undo_refs(data, value)
        shape = {"energy": (-1,), "forces": (-1, 3), "stress": (-1, 3, 3)}[task.property]
        return _torch.to_numpy(value.reshape(shape).float())


def architecture(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The configurations of a published network and of its tasks, in the library's form, without data's statistics.

    Args:
        name: of the registry, such as `uma-s-1p1`.

    Returns:
        What `hydra` makes a model from, and what its `setup_tasks` takes: also two entries of a checkpoint.
    """
    uma, direct, late = name.startswith("uma"), "-direct-" in name, "1p2" in name
    sets = (SETS_1P2 if late else SETS_1P1) if uma else (next(s for s in ("omol", "oc25", "odac") if s in name),)
    mapping = {s: s for s in sets}
    backbone = {
        **BACKBONE,
        **((UMA_1P2 if late else UMA_1P1) if uma else {}),
        **(MEDIUM if "-m-" in name or "-md-" in name else {}),
        "max_neighbors": 30 if direct else 300,
        "direct_forces": direct,
        "regress_stress": uma,
        "dataset_mapping": mapping,
    }
    wrapper = {"module": f"{MODELS}.escn_moe.DatasetSpecificSingleHeadWrapper", "dataset_names": list(sets)}
    if late:
        wrapper = {"module": f"{MODELS}.escn_moe.DatasetSpecificMoEWrapper", "dataset_mapping": mapping}
    if direct:
        heads = {
            "energy": {**wrapper, "head_cls": f"{MODELS}.escn_md.MLP_Energy_Head"},
            "forces": {**wrapper, "head_cls": f"{MODELS}.escn_md.Linear_Force_Head"},
        }
    else:
        gradients = {"head_cls": f"{MODELS}.escn_md.MLP_EFS_Head", "head_kwargs": {"wrap_property": False}}
        heads = {"energyandforcehead": {**wrapper, **gradients}}
    model = {
        "_target_": "fairchem.core.models.base.HydraModel",
        "backbone": backbone,
        "heads": heads,
        "pass_through_head_outputs": True,
        "model_id": next((identity for version, identity in MODEL_IDS if version in name), None),
    }
    quantities = {"energy": ("system", [1]), "forces": ("atom", [3]), **({"stress": ("system", [1, 9])} if uma else {})}
    return model, [_task_of(s, quantity, *form) for s in sets for quantity, form in quantities.items()]


def _task_of(dataset: str, quantity: str, level: str, dim: list[int]) -> dict[str, Any]:
    library = "fairchem.core"
    return {
        "_target_": f"{library}.units.mlip_unit.mlip_unit.Task",
        "name": f"{dataset}_{quantity}",
        "level": level,
        "property": quantity,
        "out_spec": {"dim": dim, "dtype": "float32"},
        "normalizer": {
            "_target_": f"{library}.modules.normalization.normalizer.Normalizer",
            "mean": 0.0,
            "rmsd": 1.0,
        },
        "datasets": [dataset],
    }


def _chosen_task(spec: ModelSpec, known: list[str]) -> str:
    """The task that the name asks for; of a local file that names none, the usual one or the file's only one."""
    task = spec.options["task"]
    if task == "auto":
        task = DEFAULT_TASK if DEFAULT_TASK in known or len(known) > 1 else known[0]
    if task not in known:
        raise UserError(
            f"{spec.name} has no task `{task}`; it has {', '.join(sorted(known))}, asked for as `NAME?task=…`."
        )
    return task


def _download(spec: ModelSpec) -> Path:
    """The published file, from the library's cache or fetched into it; gated."""
    name = spec.model.checkpoint
    try:
        return Path(pretrained_mlip.pretrained_checkpoint_path_from_name(name))
    except Exception as error:  # noqa: BLE001 - whatever keeps the network or the gate closed
        source = pretrained_mlip._MODEL_CKPTS.checkpoints[name]
        publisher = f"FAIR at https://huggingface.co/{source.repo_id} (accept its licence, then `hf auth login`)"
        raise DownloadError(spec.name, source.filename, publisher, f"fairchem:{name}@PATH", error) from error


def _read(path: Path, device: str) -> Any:
    """A model through the library's own predict unit, which unpickles the file: as trustworthy as whoever wrote it."""
    with readable(path, "fairchem"):
        return load_predict_unit(str(path), SETTINGS, device=device).model.module


def _saved_architecture(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with readable(path, "fairchem"):
        saved = torch.load(path, map_location="cpu", weights_only=False)
        return saved.model_config, saved.tasks_config


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the library says through the root logger while it loads."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
