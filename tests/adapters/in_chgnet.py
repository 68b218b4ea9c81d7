"""Runs in CHGNet's environment on a store: its own prediction, its read-out on our rows, re-drawn weights; as JSON."""

import json
import sys

import torch
from chgnet.model import CHGNet
from in_common import alone, redrawn
from platonic_adapters import protocol, registry, store
from pymatgen.core import Structure


def main(name: str, path: str) -> None:
    found = store.open(path)
    adapter = protocol.load(registry.resolve(name), device="cpu", threads=1)
    model = CHGNet.load(model_name=name.removeprefix("chgnet-"), use_device="cpu", verbose=False)
    structures = [found.structures.atoms(i) for i in range(4)]
    seen = {"energy": [], "forces": [], "stress": [], "from_last": [], "atom_fea": []}
    for i, atoms in enumerate(structures):
        structure = Structure(atoms.cell.array, list(atoms.numbers), atoms.positions, coords_are_cartesian=True)
        graph = model.graph_converter(structure)
        own = model.predict_graph(graph, task="efs", return_atom_feas=True)
        seen["energy"].append(float(own["e"]) * len(atoms))
        seen["forces"].append(own["f"].tolist())
        seen["stress"].append((own["s"] / 160.21766208).tolist())
        seen["atom_fea"].append(own["atom_fea"].tolist())
        rows = torch.from_numpy(found.layer(rows=slice(found.structures.offsets[i], found.structures.offsets[i + 1])))
        with torch.no_grad():
            energy = float(model.mlp(rows).sum()) + float(model.composition_model([graph])) * len(atoms)
        seen["from_last"].append(energy)
    seen["alone"] = alone(found, structures, adapter)
    seen["random"] = redrawn(name, structures, adapter)
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
