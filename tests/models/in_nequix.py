"""Run in Nequix's environment by `test_nequix.py`: measures, and prints them as one line of JSON."""

import json
import os
import sys
import urllib.request
from pathlib import Path

import e3nn_jax as e3nn
import numpy as np
from ase import Atoms
from ase.build import bulk
from in_common import load, offline, read_out, refusal
from nequix.calculator import NequixCalculator
from platonic_adapters import loading, registry, selftest
from platonic_adapters.structures import Structures


def main(weights, folder):
    spec = registry.resolve(f"nequix:nequix-mp-1@{weights}")
    adapter = loading.load(spec, device="cpu", threads=1)
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    crystals = [bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]
    graphs = [adapter.prepare(a) for a in (Atoms("Cu"), *crystals)]  # the first one has no neighbours
    layers, _ = adapter.embed(graphs)
    also, values = adapter.embed(graphs, ("energy", "forces", "stress"))
    rows = layers["layer3"][-len(rattled) :]

    # The model's own read-out of our rows, against the library's own loader and calculator.
    model, species = adapter.model, graphs[-1].species
    of_atoms = model.readout(e3nn.IrrepsArray("128x0e", rows)).array[:, 0]
    energy = float((of_atoms * model.scale + model.shift + model.atom_energies[species]).sum())
    rattled.calc = NequixCalculator(model_path=weights, use_kernel=False)
    away = {
        "read_out": abs(energy - rattled.get_potential_energy()),
        "arrays": abs(read_out(adapter, rows, rattled.numbers) - rattled.get_potential_energy()),
        "energy": abs(float(values["energy"][-1]) - rattled.get_potential_energy()),
        "forces": float(np.abs(values["forces"][-len(rattled) :] - rattled.get_forces()).max()),
        "stress": float(np.abs(values["stress"][-1] - rattled.get_stress(voigt=False)).max()),
        "layers": max(float(np.abs(also[name] - x).max()) for name, x in layers.items()),
    }

    random = [load(f"random:nequix-mp-1?seed={seed}") for seed in (0, 0, 1)]
    drawn = [a.embed(graphs)[0]["layer3"] for a in random]
    (folder / "broken.nqx").write_bytes(b"no")
    os.environ["HOME"] = str(folder)  # where the library looks for its cache
    urllib.request.urlretrieve = offline
    return {
        "name": spec.name,
        "layers": {name: layer["width"] for name, layer in adapter.layers.items()},
        "finite": all(bool(np.isfinite(x).all()) for x in layers.values()),
        "distinct": float(np.abs(layers["layer2"] - layers["layer3"]).max()),
        "away": away,
        "largest": {name: float(np.abs(values[name]).max()) for name in ("forces", "stress")},
        "self_test": selftest.run(adapter, Structures.from_atoms(crystals, ["Cu", "GaAs", "Ti", "NaCl"])),
        "hashes": [a.checkpoint["sha256"] for a in random],
        "apart": [
            float(np.linalg.norm(drawn[0] - x) / np.linalg.norm(drawn[0])) for x in (*drawn[1:], layers["layer3"])
        ],
        "broken": refusal(load, f"nequix:{folder / 'broken.nqx'}"),
        "offline": refusal(load, "nequix-oam-1"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))) + "\n")
