"""Run in WyFormer's environment by `test_wyformer.py`: measures, and prints them as one line of JSON."""

import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from in_common import load, offline, redrawn, refusal, relative
from platonic_adapters import export, loading, reading, registry, selftest
from platonic_adapters.families import wyformer
from platonic_adapters.structures import Structures


def perovskite():
    """One crystal whose A and B are at the positions a and b of its space group, or at b and a."""
    return Atoms(
        "SrTiO3",
        scaled_positions=[[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        cell=[3.9] * 3,
        pbc=True,
    )


def unigram(adapter, crystals):
    """Mean over crystals of the negative log-likelihood of their tokens by the frequencies of each field alone."""
    orbits = [adapter.prepare(atoms).tokens[0] for atoms in crystals]
    total = 0.0
    for field in range(3):
        tokens = np.concatenate([*(each[:, field] for each in orbits), [adapter._vocabulary.stop[field]] * len(orbits)])
        counts = np.bincount(tokens)
        total -= (np.log(counts[tokens] / len(tokens))).sum()
    return total / len(crystals)


def exported(name, folder):
    """What an export leaves out, and why."""
    slab, low = bulk("Cu", cubic=True), bulk("NaCl", "rocksalt", 5.6).repeat(3)
    slab.pbc = [True, True, False]
    low.rattle(0.3, seed=0)
    structures = Structures.from_atoms([bulk("Cu"), slab, low, perovskite()], ["Cu", "slab", "low", "SrTiO3"])
    summary = export.export(
        registry.resolve(name), structures, folder / "out.zarr", source="the tests", device="cpu", threads=1
    )
    return {entry["id"]: entry["reason"] for entry in summary.skipped}, summary.num_structures


def main(shared, folder):
    weights = shared / "weights/wyformer"
    name = f"wyformer:{weights}"
    spec = registry.resolve(name)
    adapter = loading.load(spec, device="cpu", threads=1)
    crystals, _ = reading.read(shared / "data/main/ci_500.extxyz.gz", limit=60)
    crystals = [a for a in map(crystals.atoms, range(len(crystals))) if max(a.numbers) < 84]
    plain = perovskite()
    moved = plain.copy()
    moved.positions += 1.95  # the other origin
    large, rng = plain.repeat((1, 2, 1)), np.random.default_rng(0)
    order = rng.permutation(len(large))
    rows, other, repeated = (adapter.embed([adapter.prepare(a)])[0] for a in (plain, moved, large[order]))
    graph, random = adapter.prepare(plain), load(f"random:wyformer:{weights}?seed=0")
    skipped, kept = exported(name, folder)
    broken, part = folder / "broken", folder / "part"
    for each in (broken, part):
        each.mkdir()
    for file in (wyformer.WEIGHTS, wyformer.VOCABULARY):
        (broken / file).write_bytes(b"no")
    shutil.copy(weights / wyformer.WEIGHTS, part)
    os.environ["PLATONIC_CACHE"] = str(folder / "cache")
    urllib.request.urlopen = offline
    return {
        "name": spec.name,
        "layers": {layer: entry["width"] for layer, entry in adapter.layers.items()},
        "parameters": sum(p.numel() for n, p in adapter.model.named_parameters() if not n.startswith("encoder_layers")),
        "elements": len(adapter.elements),
        "orbits": [graph.tokens.shape[:2], graph.orbits.tolist()],
        "distinct": [len(np.unique(rows[layer].round(5), axis=0)) for layer in rows],
        "origin": max(relative(rows[layer], other[layer]) for layer in rows),
        "supercell": max(relative(np.tile(rows[x], (2, 1))[order], repeated[x]) for x in rows),
        "likelihood": {
            "trained": float(np.mean([adapter.check(a) for a in crystals])),
            "untrained": float(np.mean([random.check(a) for a in crystals])),
            "unigram": unigram(adapter, crystals),
        },
        "self_test": selftest.run(adapter, Structures.from_atoms(crystals[:8], [str(i) for i in range(8)])),
        "random": redrawn(f"wyformer:{weights}", [plain, crystals[0]], adapter),
        "skipped": skipped,
        "kept": kept,
        "energy": refusal(adapter.embed, [graph], ["energy"]),
        "broken": refusal(load, f"wyformer:wyformer-mp-20@{broken}"),
        "part": refusal(load, f"wyformer:wyformer-mp-20@{part}"),
        "file": refusal(load, f"wyformer:wyformer-mp-20@{weights / wyformer.WEIGHTS}"),
        "offline": refusal(load, "wyformer-mp-20"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
