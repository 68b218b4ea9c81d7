"""Fine-tuning, naively or with replay of what the model said before: all that does not depend on the family.

Naively, every weight follows the new energies and forces, and nothing else. With replay, each step also takes some
structures of other chemistry, of which the model is to say what it said before the first step; and, if asked to, to
place their atoms where it placed them: labels leave directions free in which the rows before the read-out may move.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms

LARGEST_FORCE = 30.0  # eV/Å; atoms pressed together harder than that are no chemistry.

Labels = dict[str, torch.Tensor]
Sample = tuple[Any, Labels]


@dataclass(frozen=True)
class Network:
    """A model, as the recipe needs it.

    Attributes:
        module: what has weights.
        graph: from a structure to what the network reads.
        predict: of a list of graphs the labels, `energy` in eV/atom and `forces` in eV/Å and what else the model tells,
            structures or atoms one after another; and `rows`, the input of the read-out.
        save: writes a checkpoint that `platonic embed` reads.
    """

    module: torch.nn.Module
    graph: Callable[[Atoms], Any]
    predict: Callable[[list[Any]], Labels]
    save: Callable[[Path], None]


def main(load: Callable[[str], Network], description: str, *, model: str) -> None:
    """Fine-tune by the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("structures", help="the file to learn from, with energies and forces")
    parser.add_argument("output", type=Path, help="the checkpoint to write")
    parser.add_argument("--model", default=model, help="what to start from (default: %(default)s)")
    parser.add_argument("--replay", metavar="FILE", help="structures that are to stay as they were (default: none)")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=16, help="structures to learn from in a step")
    parser.add_argument("--replay-batch", type=int, default=8, help="structures to replay in a step")
    parser.add_argument("--replay-weight", type=float, default=1.0, help="of the old labels beside the new ones")
    parser.add_argument("--row-weight", type=float, default=0.0, help="of the rows of what is replayed (default: free)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the structures")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    network = load(args.model)
    new = [
        labelled(network, atoms)
        for atoms in ase.io.iread(args.structures)
        if abs(atoms.get_forces()).max() < LARGEST_FORCE
    ]
    old = [as_before(network, atoms) for atoms in ase.io.iread(args.replay)] if args.replay else []
    rng = np.random.default_rng(args.seed)
    news, olds = batches(new, args.batch, rng), batches(old, args.replay_batch, rng)

    network.module.train()
    weights = [weight for weight in network.module.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=args.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    for step in range(args.steps):
        optimizer.zero_grad()
        on_new = loss(network, next(news))
        on_new.backward()
        said = f"step {step}: loss {on_new.item():.5f}"
        if old:
            on_old = loss(network, next(olds), row_weight=args.row_weight)
            (args.replay_weight * on_old).backward()
            said += f", on what is replayed {on_old.item():.5f}"
        optimizer.step()
        schedule.step()
        if step % 10 == 0 or step == args.steps - 1:
            print(said, flush=True)
    network.module.eval()
    network.save(args.output)


def labelled(network: Network, atoms: Atoms) -> Sample:
    """A structure with the energy and forces of its file."""
    energy = [atoms.get_potential_energy() / len(atoms)]
    return network.graph(atoms), {
        "energy": torch.tensor(energy).float(),
        "forces": torch.tensor(atoms.get_forces()).float(),
    }


def as_before(network: Network, atoms: Atoms) -> Sample:
    """A structure with all that the model says of it now."""
    network.module.eval()
    graph = network.graph(atoms)
    return graph, {name: label.detach() for name, label in network.predict([graph]).items()}


def batches(samples: list[Sample], size: int, rng: np.random.Generator) -> Iterator[list[Sample]]:
    """Batches without end, every epoch in another order."""
    while samples:
        order = rng.permutation(len(samples))
        for start in range(0, len(order), size):
            yield [samples[i] for i in order[start : start + size]]


def loss(network: Network, batch: list[Sample], *, row_weight: float = 0.0) -> torch.Tensor:
    """Sum over the labels of the Huber loss, which a few steep structures do not dominate, and the change of rows."""
    graphs, labels = zip(*batch, strict=True)
    found = network.predict(list(graphs))
    known = {name: torch.cat([of[name] for of in labels]) for name in labels[0]}
    huber = torch.nn.HuberLoss(delta=0.1)
    total = sum(huber(found[name], label) for name, label in known.items() if name != "rows")
    if row_weight:
        total = total + row_weight * (found["rows"] - known["rows"]).square().sum() / known["rows"].square().sum()
    return total
