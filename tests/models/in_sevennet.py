"""Runs in SevenNet's environment on a store: its calculator, its read-out on our rows, re-drawn weights; as JSON."""

import json
import sys

import torch
from in_common import alone, read_out, redrawn
from platonic_adapters import loading, registry, store
from sevenn.calculator import SevenNetCalculator


def main(name: str, path: str) -> None:
    found = store.open(path)
    adapter = loading.load(registry.resolve(name), device="cpu", threads=1)
    calculator = SevenNetCalculator(name, device="cpu")
    structures = [found.structures.atoms(i) for i in range(4)]
    seen = {"energy": [], "forces": [], "stress": [], "from_last": [], "from_hidden": [], "from_readout": []}
    modules = list(adapter.model._modules.items())
    names = [module for module, _ in modules]
    for i, atoms in enumerate(structures):
        atoms.calc = calculator
        seen["energy"].append(atoms.get_potential_energy())
        seen["forces"].append(atoms.get_forces().tolist())
        seen["stress"].append(atoms.get_stress(voigt=False).tolist())
        data = adapter.model._preprocess(adapter._collate([adapter.prepare(atoms)]))
        data["atom_type"] = data["x"]
        rows = slice(found.structures.offsets[i], found.structures.offsets[i + 1])
        for key, layer, start in (
            ("from_last", found.default_layer, "reduce_input_to_hidden"),
            ("from_hidden", "hidden", "reduce_hidden_to_energy"),
        ):
            state = data.clone()
            state["x"] = torch.from_numpy(found.layer(layer, rows))
            with torch.no_grad():
                for module in names[names.index(start) : names.index("force_output")]:
                    state = adapter.model._modules[module](state)
            seen[key].append(float(state["inferred_total_energy"]))
        seen["from_readout"].append(read_out(adapter, found.layer(rows=rows), atoms.numbers))
    seen["alone"] = alone(found, structures, adapter)
    seen["random"] = redrawn(name, structures, adapter)
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
