"""Run in DIEP's environment by `test_diep.py`: measures, and prints them as one line of JSON."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from diep.pretrained import make_calculator
from in_common import load, redrawn, refusal, relative
from platonic_adapters import registry, selftest
from platonic_adapters.families.diep import PUBLISHED
from platonic_adapters.structures import Structures, turned

NAME = "diep-matpes-r2scan"


def main(folder):
    adapter = load(NAME)
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    crystals = [bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]
    found = [Atoms("Cu"), Atoms("O2", [[0, 0, 0], [0, 0, 1.3]]), *crystals]  # the first two have no triplets
    graphs = [adapter.prepare(a) for a in found]
    layers, values = adapter.embed(graphs, ("energy", "forces", "stress"))
    single = np.concatenate([adapter.embed([graph])[0]["layer2"] for graph in graphs])

    rattled.calc, seen = make_calculator(), []
    network = rattled.calc.potential.model
    network.final_layer.register_forward_pre_hook(lambda _module, args: seen.append(args[0].node_feat.detach().numpy()))
    energy = rattled.get_potential_energy()
    away = {
        "rows": relative(seen[0], layers["layer2"][-len(rattled) :]),
        "energy": abs(float(values["energy"][-1]) - energy),
        "forces": float(np.abs(values["forces"][-len(rattled) :] - rattled.get_forces()).max()),
        "stress": float(np.abs(values["stress"][-1] - rattled.get_stress(voigt=False)).max()),
    }

    # The legs differ by the library's tolerance itself: rounding would decide which of the ends is first.
    line = Atoms("PmPdYb", [[0, 0, 0], [2.5, 0, 0], [5.000001, 0, 0]])
    rng = np.random.default_rng(0)
    ways = [turned(line, selftest._rotation(rng)) for _ in range(12)]
    lying = adapter.embed([adapter.prepare(a) for a in ways])[0]["layer2"].reshape(12, 3, -1)

    copied = shutil.copytree(PUBLISHED / "diep_fold1", folder / "copied")
    name = registry.resolve(f"diep:{copied}").name
    settings = torch.load(copied / "model.pt", weights_only=True)
    settings["model"]["init_args"] |= {"triplet_frame": "bond"}
    torch.save(settings, copied / "model.pt")
    return {
        "away": away,
        "largest": {name: float(np.abs(values[name][-1]).max()) for name in ("forces", "stress")},
        "layers": {name: layer["width"] for name, layer in adapter.layers.items()},
        "parameters": sum(x.numel() for x in adapter.network.parameters()),
        "finite": all(bool(np.isfinite(x).all()) for x in layers.values()),
        "alone": relative(layers["layer2"], single),
        "self_test": selftest.run(adapter, Structures.from_atoms(crystals, ["Cu", "GaAs", "Ti", "NaCl"])),
        "turned": max(relative(lying[0], x) for x in lying),
        "name": name,
        "random": redrawn(NAME, crystals, adapter),
        "refused": refusal(load, f"random:diep:{copied}"),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
