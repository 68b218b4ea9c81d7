"""Runs in CHGNet's environment on a store: its own prediction, its read-out on our rows, re-drawn weights; as JSON."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from ase import Atoms
from chgnet.model import CHGNet
from in_common import alone, read_out, redrawn
from platonic_adapters import loading, registry, store
from platonic_adapters.errors import UserError
from pymatgen.core import Structure


def main(name: str, path: str) -> None:
    found = store.open(path)
    adapter = loading.load(registry.resolve(name), device="cpu", threads=1)
    model = CHGNet.load(model_name=name.removeprefix("chgnet-"), use_device="cpu", verbose=False)
    structures = [found.structures.atoms(i) for i in range(4)]
    seen = {"energy": [], "forces": [], "stress": [], "from_last": [], "atom_fea": [], "from_readout": []}
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
        seen["from_readout"].append(read_out(adapter, rows.numpy(), atoms.numbers))
    seen["alone"] = alone(found, structures, adapter)
    seen["random"] = redrawn(name, structures, adapter)
    seen["local"] = local(name, model, structures[0])
    print(json.dumps(seen))  # noqa: T201


def local(name: str, model: CHGNet, atoms: Atoms) -> dict:
    """The energy by weights in a file, by the network and by the adapter; and what is said of a file that is none."""
    with tempfile.TemporaryDirectory() as folder:
        file, broken = Path(folder) / "mine.pth.tar", Path(folder) / "broken.pth.tar"
        for weights in model.mlp.parameters():
            weights.data.mul_(1.05)
        torch.save({"model": model.as_dict()}, file)
        broken.write_bytes(b"nothing")
        structure = Structure(atoms.cell.array, list(atoms.numbers), atoms.positions, coords_are_cartesian=True)
        own = float(model.predict_graph(model.graph_converter(structure), task="e")["e"]) * len(atoms)
        read = loading.load(registry.resolve(f"chgnet:{name}@{file}"), device="cpu", threads=1)
        _, found = read.embed([read.prepare(atoms)], ("energy",))
        try:
            loading.load(registry.resolve(f"chgnet:{name}@{broken}"), device="cpu", threads=1)
        except UserError as error:
            return {"own": own, "adapter": float(found["energy"][0]), "refusal": str(error)}
    raise AssertionError("a file that is no checkpoint was taken")


if __name__ == "__main__":
    main(*sys.argv[1:])
