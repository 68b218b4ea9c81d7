"""Runs in CHGNet's environment on a store: its own prediction, its read-out on our rows, re-drawn weights; as JSON."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from chgnet.model import CHGNet
from in_common import alone, read_out, redrawn
from platonic_adapters import loading, registry, store
from platonic_adapters.errors import UserError
from platonic_adapters.structures import boxed
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
    seen["as_the_library"] = as_the_library(adapter, [*structures, *odd()])
    seen["local"] = local(name, model, structures[0])
    print(json.dumps(seen))  # noqa: T201


def odd() -> list[Atoms]:
    """Many images of one atom, a bond longer than those with angles, a molecule, an atom alone, equal neighbours."""
    thin = Atoms("C", cell=[1.3, 1.4, 9], pbc=True)
    return [thin, bulk("Cs"), molecule("H2O"), Atoms("Xe"), bulk("NaCl", "rocksalt", a=5.6, cubic=True)]


def as_the_library(adapter, structures: list[Atoms]) -> dict:
    """Are graphs, and rows, energies, forces and stresses of a batch, the library's own bit for bit?"""
    converter, library = adapter.model.graph_converter, []
    converter.set_isolated_atom_response("ignore")
    for atoms in structures:
        box = boxed(atoms, adapter.cutoff)
        structure = Structure(box.cell.array, list(box.numbers), box.positions, coords_are_cartesian=True)
        library.append(converter(structure))
        library[-1].lattice = torch.tensor(structure.lattice.matrix, requires_grad=True)
        library[-1].atom_frac_coord = torch.tensor(structure.frac_coords, requires_grad=True)
        library[-1].neighbor_image = library[-1].neighbor_image.double()
    ours = [adapter.prepare(atoms) for atoms in structures]
    same = {"graphs": True, "one_way": refuses_one_way(adapter)}
    for graph, own in zip(library, ours, strict=True):
        pairs = [
            (graph.atom_graph.reshape(-1, 2), own.edges),
            (graph.neighbor_image.reshape(-1, 3), own.images),
            (graph.directed2undirected, own.bonds),
            (graph.undirected2directed, own.first),
            (graph.bond_graph.reshape(-1, 5), own.angles),
            (graph.lattice.detach(), own.cell),
            (graph.atom_frac_coord.detach(), own.fractions),
        ]
        same["graphs"] &= all(np.array_equal(x.numpy(), y) for x, y in pairs)
    rows, values = adapter.embed(ours, ("energy", "forces", "stress"))
    adapter._device = torch.device("cpu")  # which is not "cpu": bonds are expanded all at once, as for a GPU
    same["at_once"] = all(np.allclose(x, rows[name], rtol=0, atol=1e-5) for name, x in adapter.embed(ours)[0].items())
    adapter._device = "cpu"
    same["plain"] = all(np.array_equal(x, rows[name]) for name, x in adapter.embed(ours)[0].items())
    bases = (adapter.model.bond_basis_expansion, adapter.model.angle_basis_expansion)
    hooks = [
        bases[0].register_forward_hook(lambda _module, _args, out: (out[0].float(), out[1].float(), out[2])),
        bases[1].register_forward_hook(lambda _module, _args, out: out.float()),
    ]
    out = adapter.model(library, task="efs")
    for hook in hooks:
        hook.remove()
    energy = (out["e"] * out["atoms_per_graph"]).detach().numpy()
    forces = torch.cat(out["f"]).detach().numpy()
    stress = torch.stack(out["s"]).detach().numpy() / 160.21766208
    for name, own in (("energy", energy), ("forces", forces), ("stress", stress)):
        same[name] = bool(np.array_equal(own, values[name]))
    same["rows"] = all(np.array_equal(adapter._outputs[name].detach().numpy(), rows[name]) for name in rows)
    adapter._outputs.clear()
    return same


def refuses_one_way(adapter) -> bool:
    """Is a neighbour in one direction only refused?"""
    module = sys.modules[type(adapter).__module__]
    try:
        module._bonds(np.array([[0, 1], [1, 0], [0, 1]]), np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0]]))
    except ValueError as error:
        return "in one direction only" in str(error)
    return False


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
