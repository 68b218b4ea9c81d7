"""Run in MatterSim's environment by `test_mattersim.py`: measures, and prints them as one line of JSON."""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from in_common import load, offline, refusal
from mattersim.forcefield.m3gnet.m3gnet import M3Gnet
from mattersim.forcefield.potential import MatterSimCalculator, Potential
from platonic_adapters import reading, selftest
from platonic_adapters.families import mattersim


def main(folder):
    path = folder / "mattersim.pth"
    torch.manual_seed(1)
    Potential(M3Gnet(**mattersim.ARCHITECTURES["mattersim-1m"], device="cpu"), device="cpu").save(str(path))
    some, _ = reading.read("prototypes?max_atoms=6", limit=8)
    atoms = [some.atoms(i) for i in range(len(some))]
    for a in atoms:
        a.rattle(0.05)
    adapter = load(f"mattersim:{path}")
    _, values = adapter.embed([adapter.prepare(a) for a in atoms], ["energy", "forces", "stress"])
    # The energy is the library's own read-out of the default layer.
    rows = adapter.embed([adapter.prepare(atoms[-1])])[0]["layer2"]
    with torch.no_grad():
        numbers = torch.tensor(atoms[-1].numbers)
        energy = adapter.model.normalizer(adapter.model.final(torch.tensor(rows)).view(-1), numbers).sum()
    calculator = MatterSimCalculator(potential=adapter.potential, device="cpu")
    away = {"energy": [], "forces": [], "stress": []}
    start = 0
    for i, a in enumerate(atoms):
        a.calc = calculator
        away["energy"].append(abs(a.get_potential_energy() - values["energy"][i]))
        away["forces"].append(np.abs(a.get_forces() - values["forces"][start : start + len(a)]).max())
        away["stress"].append(np.abs(a.get_stress(voigt=False) - values["stress"][i]).max())
        start += len(a)
    (folder / "broken.pth").write_bytes(b"no")
    mattersim.download_checkpoint, os.environ["HOME"] = offline, str(folder / "empty")
    return {
        "layers": {name: layer["width"] for name, layer in adapter.layers.items()},
        "parameters": [
            sum(p.numel() for p in load(f"random:mattersim-{size}").model.parameters()) for size in ("1m", "5m")
        ],
        "self_test": selftest.run(adapter, some),
        "readout": abs(float(energy) - float(values["energy"][-1])),
        "away": {name: float(max(x)) for name, x in away.items()},
        "largest_force": float(np.abs(values["forces"]).max()),
        "redrawn": load(f"random:mattersim:{path}?seed=2").checkpoint["name"],
        "broken": refusal(load, f"mattersim:{folder / 'broken.pth'}"),
        "offline": refusal(load, "mattersim-5m"),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
