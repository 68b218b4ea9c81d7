"""Run in fairchem's environment by `test_fairchem.py`: measures, and prints them as one line of JSON."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk
from fairchem.core.datasets.atomic_data import AtomicData, atomicdata_list_to_batch
from fairchem.core.units.mlip_unit import load_predict_unit
from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint
from hydra.utils import instantiate
from in_common import load, offline, refusal
from platonic_adapters import selftest
from platonic_adapters.families import fairchem
from platonic_adapters.structures import Structures


def checkpoint(path, name, **backbone):
    """A checkpoint with random weights, in the form that the library's predict unit reads."""
    model, tasks = fairchem.architecture(name)
    model["backbone"] |= backbone
    torch.manual_seed(1)
    averaged = torch.optim.swa_utils.AveragedModel(instantiate(model))
    weights = averaged.module.state_dict()
    torch.save(MLIPInferenceCheckpoint(model, weights, averaged.state_dict(), tasks), path)


def against_library(path, task, atoms):
    """Largest differences from the library's own predict unit, on one batch."""
    adapter = load(f"fairchem:{path}")
    wanted = ["energy", "forces", *(["stress"] if "uma" in path.name else [])]
    layers, values = adapter.embed([adapter.prepare(a) for a in atoms], wanted)
    unit = load_predict_unit(str(path), fairchem.SETTINGS, device="cpu")
    for a in atoms:
        unit.validate_atoms_data(a, task)
    data = [AtomicData.from_ase(a, task_name=task, r_data_keys=["spin", "charge"]) for a in atoms]
    theirs = unit.predict(atomicdata_list_to_batch(data))
    away = {
        name: float(np.abs(theirs[name].detach().numpy().reshape(values[name].shape) - values[name]).max())
        for name in wanted
    }
    batch = atomicdata_list_to_batch(data)
    embedding = unit.model.module.backbone(batch)["node_embedding"][:, 0].detach().numpy()
    away["rows"] = float(np.abs(embedding - layers["node_embedding"]).max())
    return adapter, away, float(np.abs(values["forces"]).max())


def main(folder):
    atoms = [bulk("Cu"), bulk("GaAs", "zincblende", 5.65), bulk("Ti"), bulk("NaCl", "rocksalt", 5.6)]
    for a in atoms:
        a.rattle(0.05)
    some = Structures.from_atoms(atoms, ["Cu", "GaAs", "Ti", "NaCl"])
    esen, uma = folder / "esen.pt", folder / "uma.pt"
    checkpoint(esen, "esen-sm-conserving-all-omol")
    checkpoint(uma, "uma-s-1p2p1", num_experts=2)
    ions = [a.copy() for a in atoms]
    for a, state in zip(ions, ((1, 2), (-1, 2), (0, 3), (2, 1)), strict=True):
        a.info.update(charge=state[0], spin=state[1])
    small, esen_away, esen_force = against_library(esen, "omol", ions)
    neutral, charged = (
        small.embed([small.prepare(a) for a in some_atoms])[0]["node_embedding"] for some_atoms in (atoms, ions)
    )
    mixed, uma_away, uma_force = against_library(uma, "omat", atoms)
    rows = [mixed.embed([mixed.prepare(a) for a in atoms])[0] for _ in range(2)]
    other = load(f"fairchem:{uma}?task=omc")
    turned = other.embed([other.prepare(a) for a in atoms])[0]["node_embedding"]
    (folder / "broken.pt").write_bytes(b"no")

    fairchem.pretrained_mlip.pretrained_checkpoint_path_from_name = offline
    redrawn = load("random:esen-sm-direct-all-omol?seed=3")
    return {
        "layers": {name: layer["width"] for name, layer in small.layers.items()},
        "tasks": [a.layers["layer0"]["task"] for a in (small, mixed, other)],
        "parameters": sum(p.numel() for p in small.model.parameters()),
        "away": {"esen": esen_away, "uma": uma_away},
        "largest_force": min(esen_force, uma_force),
        "self_test": {"esen": selftest.run(small, some), "uma": selftest.run(mixed, some)},
        "charge_moves": float(np.linalg.norm(charged - neutral) / np.linalg.norm(neutral)),
        "charged": [small.charged, mixed.charged],
        "same_bits": all(np.array_equal(rows[0][name], rows[1][name]) for name in mixed.layers),
        "task_moves": float(np.linalg.norm(turned - rows[0]["node_embedding"]) / np.linalg.norm(turned)),
        "redrawn": [redrawn.checkpoint["name"], redrawn.layers["node_embedding"]["width"]],
        "no_stress": refusal(lambda: redrawn.embed([redrawn.prepare(atoms[0])], ["stress"])),
        "no_task": refusal(load, f"fairchem:{esen}?task=omat"),
        "broken": refusal(load, f"fairchem:{folder / 'broken.pt'}"),
        "offline": refusal(load, "uma-s-1p2p1"),
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = main(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(found) + "\n")
