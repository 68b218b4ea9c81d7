"""Run in Chemeleon-DNG's environment by `test_chemeleon.py`: measures, and prints them as one line of JSON."""

import contextlib
import json
import sys
from pathlib import Path

import pytorch_lightning
import torch
from ase import Atoms
from chemeleon_dng.script_util import create_diffusion_module
from in_common import load, offline, refusal, relative
from platonic_adapters import caches, reading, selftest
from platonic_adapters.families import chemeleon


def checkpoint(path):
    """A published-size checkpoint with random weights, in the form that Lightning writes."""
    optimizer = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0, "scheduler": "constant"}
    torch.manual_seed(1)
    module = create_diffusion_module(
        task="dng",
        model_configs={k: v for k, v in chemeleon.ARCHITECTURE.items() if k != "task"},
        optimizer_configs={**optimizer, "patience": 1, "early_stopping": 1},
        num_timesteps=chemeleon.NUM_TIMESTEPS,
        beta_schedule_ddpm="cosine",
        beta_schedule_d3pm="reciprocal",
        max_atoms=100,
        d3pm_hybrid_coeff=0.1,
        sigma_begin=0.005,
        sigma_end=0.5,
    )
    trainer = pytorch_lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path, weights_only=True)
    return module


def rows(adapter, atoms):
    return adapter.embed([adapter.prepare(a) for a in atoms])[0][adapter.default_layer]


def main(folder):
    path = folder / "dng.ckpt"
    chemeleon.ensure_checkpoints_downloaded, caches.directory = offline, lambda: folder
    module = checkpoint(path)
    some, _ = reading.read("prototypes?max_atoms=8", limit=12)
    atoms = [some.atoms(i) for i in range(len(some))]
    adapter, later = load(f"chemeleon:{path}"), load(f"chemeleon:{path}?t=100")
    ours = rows(adapter, atoms)
    one = atoms[3]
    with torch.no_grad():
        theirs = module.eval().model(
            atom_types=torch.tensor(one.numbers),
            lattices=torch.tensor(one.cell.array, dtype=torch.float32)[None],
            frac_coords=torch.tensor(one.get_scaled_positions(), dtype=torch.float32),
            num_atoms=torch.tensor([len(one)]),
            batch_idx=torch.zeros(len(one), dtype=torch.long),
            t=torch.zeros(1, dtype=torch.long),
        )
    return {
        "layers": {name: layer["width"] for name, layer in adapter.layers.items()},
        "time": [a.layers[a.default_layer]["diffusion_time"] for a in (adapter, later)],
        "library": relative(theirs.node_features.numpy(), rows(adapter, [one])),
        "self_test": selftest.run(adapter, some),
        "time_moves": relative(ours, rows(later, atoms)),
        "supercell_moves": relative(rows(adapter, [one]), rows(adapter, [one * (2, 1, 1)])[: len(one)]),
        "repeatable": load("random:chemeleon-dng-mp20").checkpoint
        == load("random:chemeleon-dng-mp20?seed=0").checkpoint,
        "redrawn": load(f"random:chemeleon:{path}?seed=2").checkpoint["name"],
        "properties": refusal(lambda: adapter.embed([adapter.prepare(one)], ["energy", "forces"])),
        "too_late": refusal(load, f"chemeleon:{path}?t=257"),
        "offline": refusal(load, "chemeleon-dng-mp20"),
        "molecule": refusal(lambda: adapter.prepare(Atoms("H2", [[0, 0, 0], [0, 0, 1]]))),
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = main(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(found) + "\n")
