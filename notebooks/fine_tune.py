"""Fine-tune CHGNet on dimers of one element, naively or with replay of the old model's labels on other chemistry.

It runs in CHGNet's own environment, the one that `platonic embed` makes:

    python fine_tune.py dimers.extxyz naive.pth.tar --element Cu
    python fine_tune.py dimers.extxyz replay.pth.tar --element Cu --replay crystals.extxyz
"""

import argparse
import itertools

import ase.io
import numpy as np
import torch
from ase import Atoms
from chgnet.model import CHGNet
from pymatgen.io.ase import AseAtomsAdaptor

LARGEST_FORCE = 30.0  # eV/Å; atoms closer than that are no chemistry.


def graph_of(model: CHGNet, atoms: Atoms):
    periodic = atoms.copy()
    periodic.pbc = True  # The cells of dimers are far wider than the cutoff.
    return model.graph_converter(AseAtomsAdaptor.get_structure(periodic))


def labelled(model: CHGNet, atoms: Atoms):
    """A graph, with the energy per atom and the forces of the file."""
    energy = torch.tensor(atoms.get_potential_energy() / len(atoms), dtype=torch.float32)
    return graph_of(model, atoms), energy, torch.tensor(atoms.get_forces(), dtype=torch.float32)


def replayed(model: CHGNet, atoms: Atoms):
    """A graph, with the energy per atom and the forces of the model as it is."""
    graph = graph_of(model, atoms)
    found = model([graph], task="ef")
    return graph, found["e"][0].detach(), found["f"][0].detach()


def batches(samples: list, size: int, rng: np.random.Generator):
    """Batches without end, every epoch in another order."""
    while True:
        order = rng.permutation(len(samples))
        for start in range(0, len(order), size):
            yield [samples[i] for i in order[start : start + size]]


def loss_of(model: CHGNet, batch: list) -> torch.Tensor:
    graphs, energies, forces = zip(*batch, strict=True)
    found = model(list(graphs), task="ef")
    huber = torch.nn.HuberLoss(delta=0.1)
    return huber(found["e"], torch.stack(energies)) + huber(torch.cat(found["f"]), torch.cat(forces))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dimers", help="structures with energies and forces")
    parser.add_argument("output", help="the checkpoint to write")
    parser.add_argument("--element", help="only structures of this element alone")
    parser.add_argument("--replay", help="structures that the old model labels")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")

    dimers = [
        labelled(model, atoms)
        for atoms in ase.io.read(args.dimers, ":")
        if (not args.element or set(atoms.symbols) == {args.element}) and abs(atoms.get_forces()).max() < LARGEST_FORCE
    ]
    old = [replayed(model, atoms) for atoms in ase.io.read(args.replay, ":")] if args.replay else []
    optimizer = torch.optim.Adam(model.parameters(), lr=args.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    of_old = batches(old, 8, rng) if old else None
    for step, batch in enumerate(itertools.islice(batches(dimers, 16, rng), args.steps)):
        loss = loss_of(model, batch)
        on_old = loss_of(model, next(of_old)) if of_old else torch.zeros(())
        optimizer.zero_grad()
        (loss + on_old).backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == args.steps - 1:
            print(f"step {step}: loss {loss.item():.4f}, on replay {on_old.item():.4f}", flush=True)
    torch.save({"model": model.as_dict()}, args.output)


if __name__ == "__main__":
    main()
