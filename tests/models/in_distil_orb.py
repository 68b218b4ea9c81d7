"""Runs in Orb's environment: a small Orb is fitted to labels, stopped, and goes on; prints what it saw as JSON."""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from orb_models.forcefield import base
from platonic_adapters import store
from platonic_adapters.structures import turned
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
import distil_orb


class Stopped(Exception):
    """In the middle of training."""


def main(folder: Path) -> None:
    labels = folder / "labels.zarr"
    with contextlib.redirect_stdout(io.StringIO()):
        fit(labels, folder / "whole.ckpt")
        turn, steps = distil_orb._turned, []

        def stopping(batch, seed):
            steps.append(seed)
            if len(steps) == 3:
                raise Stopped
            return turn(batch, seed)

        distil_orb._turned, distil_orb.SAVE_EVERY = stopping, -1
        with contextlib.suppress(Stopped):
            fit(labels, folder / "stopped.ckpt")
        distil_orb._turned = turn
        fit(labels, folder / "stopped.ckpt")
    whole, stopped = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("whole", "stopped"))
    record = json.loads((folder / "whole.json").read_text())
    print(  # noqa: T201
        json.dumps(
            {
                "steps before it stopped": len(steps) - 1,
                "same": all(torch.equal(whole[name], stopped[name]) for name in whole),
                "record": record,
                "turned": turned_by_hand(labels),
            }
        )
    )


def fit(labels: Path, output: Path) -> None:
    distil_orb.train(
        argparse.Namespace(labels=labels, output=output, augment=True, steps=4, batch=2, rate=1e-3, seed=0)
    )


def turned_by_hand(path: Path) -> dict[str, float]:
    """How far a batch that was turned is from the turned structures' own graphs and labels."""
    labels = store.load(path)
    graphs = distil_orb._graphs(labels)
    batch = distil_orb._turned(base.batch_graphs(graphs), [5])
    turns = Rotation.random(len(graphs), np.random.default_rng([5])).as_matrix()
    structures = [turned(labels.structures.atoms(i), turn) for i, turn in enumerate(turns)]
    by_hand = distil_orb._graphs(
        argparse.Namespace(
            structures=type(labels.structures).from_atoms(structures, labels.structures.ids),
            property=lambda name: {
                "energy": labels.property("energy"),
                "forces": np.einsum(
                    "nij,nj->ni", np.repeat(turns, labels.structures.num_atoms, axis=0), labels.property("forces")
                ).astype(np.float32),
                "stress": turns @ labels.property("stress") @ turns.transpose(0, 2, 1),
            }[name],
        )
    )
    ordered = lambda vectors: np.sort(np.linalg.norm(vectors.numpy() - [0.3, 1.1, -0.7], axis=1))
    expected = base.batch_graphs(by_hand)
    return {
        "edges": float(
            np.abs(ordered(batch.edge_features["vectors"]) - ordered(expected.edge_features["vectors"])).max()
        ),
        "forces": float((batch.node_targets["forces"] - expected.node_targets["forces"]).abs().max()),
        "stress": float((batch.system_targets["stress"] - expected.system_targets["stress"]).abs().max()),
        "size of stress": float(expected.system_targets["stress"].abs().max()),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
