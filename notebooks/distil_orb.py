"""An unconstrained potential of one's own: Orb-v3's architecture, small, distilled from a model that keeps symmetries.

Orb's features and forces are not bound by rotation, only taught. This program makes rattled crystals, has a teacher
label them with energies, forces and stresses, and fits a small Orb to the labels, as they lie or turned at random:

    python distil_orb.py frames frames.extxyz baceo3.extxyz
    platonic embed 7net-0 frames.extxyz -o labels.zarr --properties energy,forces,stress
    python distil_orb.py train labels.zarr distilled-plain.ckpt
    python distil_orb.py train labels.zarr distilled-turned.ckpt --augment

The result is read as `orb:orb-v3-direct-inf-omat@distilled-plain.ckpt`; the JSON beside it says what it is and how far
its forces are off, on held-out frames as they lie and turned. Training runs in the environment of the orb family, goes
on where it was stopped, and follows from `--seed` alone, however often that happens.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from platonic_adapters import environments, reading, registry, store
from scipy.spatial.transform import Rotation

MODEL = "orb-v3-direct-inf-omat"  # direct forces, all neighbours within 6 Å
SIZES = {
    "latent_dim": 64,
    "base_mlp_hidden_dim": 64,
    "base_mlp_depth": 1,
    "head_mlp_hidden_dim": 64,
    "num_message_passing_steps": 3,
}
ROCK_SALTS = (("MgO", 4.25), ("NaCl", 5.69))  # Å
WEIGHTS = {"energy": 1.0, "forces": 10.0, "stress": 1.0, "confidence": 1.0}
HELD_OUT = 10  # one frame in so many
SAVE_EVERY = 120.0  # s
_FRAME, _ORDER, _TURN, _TEST = range(4)  # streams of random numbers


def frames(args):
    """Write crystals in cells of 8 to 20 atoms, strained by up to 4 %, their atoms rattled by 0.01 to 0.2 Å."""
    from ase.build import bulk
    from ase.io import write

    crystals = [bulk(name, "rocksalt", a, cubic=cubic) for name, a in ROCK_SALTS for cubic in (False, True)]
    for path in args.crystals:
        given, _ = reading.read(path)
        crystals += [given.atoms(i) for i in range(len(given))]
    made = [_rattled(crystals[i % len(crystals)], [args.seed, _FRAME, i]) for i in range(args.number)]
    write(args.output, made)
    print(f"{len(made)} frames, {sum(map(len, made))} atoms")


def _rattled(atoms, seed):
    """A supercell of a crystal, drawn from those of 8 to 20 atoms, strained without turning it, and rattled."""
    draw = np.random.default_rng(seed)
    repeats = [np.array(n) for n in np.ndindex(3, 3, 3)]
    fitting = [n + 1 for n in repeats if 8 <= len(atoms) * np.prod(n + 1) <= 20]
    made = atoms.repeat(fitting[draw.integers(len(fitting))])
    strain = draw.uniform(-0.02, 0.02, (3, 3))
    strain = (strain + strain.T) / 2 + draw.uniform(-0.02, 0.02) * np.eye(3)
    made.set_cell(made.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    made.positions += np.exp(draw.uniform(np.log(0.01), np.log(0.2))) * draw.normal(size=made.positions.shape)
    made.info, made.arrays = {}, {name: made.arrays[name] for name in ("numbers", "positions")}
    return made


def train(args):
    """Fit, write the checkpoint and, beside it, what it is."""
    if importlib.util.find_spec("orb_models") is None:  # Elsewhere: once more, in the family's own environment.
        python = environments.ensure(registry.resolve(MODEL).family)
        variables = {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parents[1])}
        sys.exit(subprocess.run([python, *sys.argv], env=variables, check=False).returncode)
    import torch
    from orb_models.forcefield import pretrained

    torch.set_num_threads(1)
    labels = store.load(args.labels)
    graphs = _graphs(labels)
    held_out, known = graphs[::HELD_OUT], [graph for i, graph in enumerate(graphs) if i % HELD_OUT]
    torch.manual_seed(args.seed)
    model = pretrained.orb_v3_direct_architecture(**SIZES, device="cpu")
    model.loss_weights = WEIGHTS
    _set_zero(model, known)
    spent = _fit(model, known, args)
    torch.save(model.state_dict(), args.output)
    teacher = labels.provenance["model"]
    forces = np.concatenate([graph.node_targets["forces"].numpy() for graph in held_out])
    record = {
        "model": f"Orb-v3 (direct, small), distilled from {teacher}",
        "teacher": teacher,
        "augmented": args.augment,
        "seed": args.seed,
        "steps": args.steps,
        "seconds": round(spent),
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "sizes": SIZES,
        "frames": {"training": len(known), "held out": len(held_out), "atoms held out": len(forces)},
        "mean_force": float(np.linalg.norm(forces, axis=1).mean()),
        "errors": {
            way: _errors(model, held_out, seed=args.seed, turned=way == "turned") for way in ("as is", "turned")
        },
    }
    args.output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def _graphs(labels):
    """The graph of every frame, with the teacher's labels, as the library's losses want them."""
    import torch
    from ase.stress import full_3x3_to_voigt_6_stress
    from orb_models.forcefield.atomic_system import SystemConfig, ase_atoms_to_atom_graphs

    config = SystemConfig(radius=6.0, max_num_neighbors=120)
    energy, forces, stress = (labels.property(name) for name in ("energy", "forces", "stress"))
    found, offsets = [], labels.structures.offsets
    for i in range(len(labels.structures)):
        atoms = labels.structures.atoms(i)
        graph = ase_atoms_to_atom_graphs(atoms, config)
        graph.node_targets["forces"] = torch.tensor(forces[offsets[i] : offsets[i + 1]])
        graph.system_targets["energy"] = torch.tensor(energy[i : i + 1])
        graph.system_targets["stress"] = torch.tensor(full_3x3_to_voigt_6_stress(stress[i]), dtype=torch.float32)[None]
        found.append(graph)
    return found


def _set_zero(model, graphs):
    """The zero of energy of each element, by least squares over the training frames, and the scale of what is left."""
    import torch

    counts = np.stack([np.bincount(graph.atomic_numbers, minlength=118) for graph in graphs]).astype(float)
    energy = np.array([graph.system_targets["energy"].item() for graph in graphs])
    size = counts.sum(axis=1)
    zero = np.linalg.lstsq(counts / size[:, None], energy / size, rcond=None)[0]
    rest = (energy - counts @ zero) / size
    head = model.heads["energy"]
    head.reference.linear.weight.data = torch.tensor(zero, dtype=torch.float32)
    head.normalizer.bn.running_mean.fill_(float(rest.mean()))
    head.normalizer.bn.running_var.fill_(float(rest.var()))


def _fit(model, graphs, args):
    """Adam under a cosine schedule, from where the last run stopped; the seconds spent in all."""
    import torch
    from orb_models.forcefield import base

    optimizer = torch.optim.Adam(model.parameters())
    parts = {"model": model, "optimizer": optimizer}
    unfinished, first, before = args.output.with_suffix(".unfinished"), 0, 0.0
    if unfinished.exists():
        kept = torch.load(unfinished, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        first, before = kept["step"], kept["seconds"]
    start = saved = time.monotonic()
    model.train()
    for step in range(first, args.steps):
        batch = base.batch_graphs([graphs[i] for i in _batch(step, len(graphs), args)])
        if args.augment:
            batch = _turned(batch, [args.seed, _TURN, step])
        found = model.loss(batch)
        optimizer.zero_grad()
        found.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = args.rate * _schedule(step / args.steps)
        optimizer.step()
        if time.monotonic() - saved > SAVE_EVERY or step + 1 == args.steps:
            saved = time.monotonic()
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"step": step + 1, "seconds": before + saved - start}
            partial = unfinished.with_suffix(".partial")
            torch.save(state, partial)
            partial.replace(unfinished)
            off = found.log["forces_mae_raw"].item()
            print(
                f"step {step + 1} of {args.steps}, {state['seconds']:.0f} s, forces off by {off:.3f} eV/Å", flush=True
            )
    model.eval()
    return before + time.monotonic() - start


def _schedule(done):
    """Of the largest rate, after a part `done` of all steps: a ramp over the first fiftieth, then half a cosine."""
    return min(50 * done + 0.01, 0.5 * (1 + math.cos(math.pi * done)))


def _batch(step, number, args):
    """The frames of one step: all of them once in every epoch, in an order that follows from seed and epoch."""
    each = number // args.batch
    order = np.random.default_rng([args.seed, _ORDER, step // each]).permutation(number)
    return order[step % each * args.batch :][: args.batch]


def _turned(batch, seed):
    """Every frame of a batch in a random rotation: edges, forces and stresses."""
    import torch

    turns = Rotation.random(len(batch.n_node), np.random.default_rng(seed)).as_matrix()
    turns = torch.tensor(turns, dtype=torch.float32)
    each = lambda vectors, of: torch.einsum("nij,nj->ni", turns.repeat_interleave(of, dim=0), vectors)
    voigt = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    stress = turns @ batch.system_targets["stress"][:, voigt] @ turns.transpose(1, 2)
    rows, columns = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
    return batch._replace(
        edge_features={**batch.edge_features, "vectors": each(batch.edge_features["vectors"], batch.n_edge)},
        node_targets={"forces": each(batch.node_targets["forces"], batch.n_node)},
        system_targets={**batch.system_targets, "stress": stress[:, rows, columns]},
    )


def _errors(model, graphs, *, seed, turned):
    """Mean absolute errors of components of forces, eV/Å, and of energies, eV an atom."""
    import torch
    from orb_models.forcefield import base

    forces, energies = [], []
    for i in range(0, len(graphs), 16):
        batch = base.batch_graphs(graphs[i : i + 16])
        if turned:
            batch = _turned(batch, [seed, _TEST, i])
        with torch.no_grad():
            found = model.predict(batch)
        forces.append((found["forces"] - batch.node_targets["forces"]).numpy())
        energies.append(((found["energy"] - batch.system_targets["energy"]) / batch.n_node).numpy())
    return {
        "forces": float(np.abs(np.concatenate(forces)).mean()),
        "force_vectors": float(np.linalg.norm(np.concatenate(forces), axis=1).mean()),
        "energy": float(np.abs(np.concatenate(energies)).mean()),
    }


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    commands = parser.add_subparsers(required=True)
    make = commands.add_parser("frames", help="make rattled crystals: MgO, NaCl, and those given")
    make.add_argument("output", type=Path)
    make.add_argument("crystals", nargs="*", help="anything that `platonic embed` takes")
    make.add_argument("--number", type=int, default=1600)
    make.set_defaults(run=frames)
    fit = commands.add_parser("train", help="fit a small Orb to a teacher's labels")
    fit.add_argument("labels", type=Path, help="the teacher's store of the frames")
    fit.add_argument("output", type=Path, help="the checkpoint")
    fit.add_argument("--augment", action="store_true", help="turn every frame at random, anew at every step")
    fit.add_argument("--steps", type=int, default=5000)
    fit.add_argument("--batch", type=int, default=4, help="frames a step")
    fit.add_argument("--rate", type=float, default=2e-3, help="the largest learning rate")
    fit.set_defaults(run=train)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
