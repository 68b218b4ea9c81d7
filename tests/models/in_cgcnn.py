"""Run in CGCNN's environment by `test_cgcnn.py`: measures, and prints them as one line of JSON."""

import json
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from in_common import load, offline, redrawn, refusal, relative
from platonic_adapters import loading, registry, selftest
from platonic_adapters.structures import Structures, turned

MODELS = {
    "cgcnn-final-energy": "cgcnn/final-energy-per-atom.pth.tar",
    "cgcnn-formation-energy": "cgcnn/formation-energy-per-atom.pth.tar",
    "cgcnn-band-gap": "cgcnn/band-gap.pth.tar",
    "crystal-twins": "crystal-twins/barlow.pth",
    **{f"crystal-twins-epoch-{n}": f"crystal-twins/barlow-epoch-{n}.pth" for n in (1, 5, 10, 19)},
}


def equal_distances():
    """A body-centred crystal with two elements at random: shells of equal distances, cut after four of six atoms."""
    atoms = bulk("Fe", "bcc", 2.87, cubic=True).repeat(2)
    atoms.numbers[np.random.default_rng(0).permutation(len(atoms))[:7]] = 13
    return atoms


def main(weights, folder):
    magnesia, salt = bulk("MgO", "rocksalt", 4.21), bulk("NaCl", "rocksalt", 5.64)
    rattled = salt.repeat(2)
    rattled.rattle(0.1, seed=0)
    crystals = [
        magnesia,
        rattled,
        bulk("Cu", "fcc", 3.6),
        bulk("GaAs", "zincblende", 5.7),
        bulk("Ti", "hcp", 2.95, 4.7),
    ]
    models = {}
    for name, file in MODELS.items():
        spec = registry.resolve(f"cgcnn:{name}@{weights / file}")
        adapter = loading.load(spec, device="cpu", threads=1)
        models[name] = {
            "name": spec.name,
            "widths": {layer: entry["width"] for layer, entry in adapter.layers.items()},
            "checks": {"MgO": adapter.check(magnesia), "NaCl": adapter.check(salt)},
            "self_test": selftest.run(adapter, Structures.from_atoms(crystals, list("abcde"))),
            "energy": refusal(adapter.embed, [adapter.prepare(magnesia)], ["energy"]),
        }
    adapter = load(f"cgcnn:{weights / MODELS['cgcnn-final-energy']}")
    alike, rng = equal_distances(), np.random.default_rng(1)
    order = rng.permutation(len(alike))
    copies = [alike, turned(alike, selftest._rotation(rng)), alike[order]]
    rows, rotated, shuffled = (adapter.embed([adapter.prepare(a)])[0]["layer3"] for a in copies)
    edges = adapter.prepare(alike).shares
    layers, values = adapter.embed([adapter.prepare(a) for a in (magnesia, rattled)], ["energy"])
    lone = adapter.embed([adapter.prepare(Atoms("Cu"))])[0]["layer3"]
    (folder / "broken.pth").write_bytes(b"no")
    torch.save({"embedding.weight": torch.zeros(64, 92)}, folder / "other.pth")
    os.environ["PLATONIC_CACHE"] = str(folder)
    urllib.request.urlopen = offline
    return {
        "models": models,
        "parameters": [
            sum(p.numel() for p in load(f"random:{name}").model.parameters())
            for name in ("cgcnn-final-energy", "crystal-twins")
        ],
        "equal": {"rotation": relative(rows, rotated), "permutation": relative(rows[order], shuffled)},
        "shares": sorted(set(np.round(edges, 6).tolist())),
        "places": float(edges.sum() / len(alike)),
        "finite": all(bool(np.isfinite(x).all()) for x in (*layers.values(), lone)),
        "energies": [float(x) for x in values["energy"]],
        "random": redrawn("cgcnn-final-energy", crystals, adapter),
        "broken": refusal(load, f"cgcnn:{folder / 'broken.pth'}"),
        "other": refusal(load, f"cgcnn:{folder / 'other.pth'}"),
        "offline": refusal(load, "crystal-twins-epoch-5"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
