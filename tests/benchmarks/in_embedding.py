"""Runs in a family's environment: seconds and peak memory of one way to embed structures, as JSON.

Ways: `ours`, the export loop; `forward`, the model's own forward on the library's own graphs, in batches of as many
structures; `usual`, one structure at a time as each library documents it.
"""

import json
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from platonic_adapters import export, loading, processes, reading, registry, store

BATCH = 6  # structures: about the 64 atoms of our batches


def ours(name):
    adapter = loading.load(registry.resolve(name), device="cpu", threads=None)

    def embed(some):
        with tempfile.TemporaryDirectory() as folder:
            writer = store.create(
                Path(folder) / "o.zarr",
                some,
                layers={adapter.default_layer: adapter.layers[adapter.default_layer]},
                default_layer=adapter.default_layer,
                provenance={"model": name, "created": ""},
            )
            blocks, nothing = writer.pending(), lambda _structures, _atoms: None
            export.fill(writer, adapter, blocks, batch_atoms=adapter.batch_atoms, advance=nothing)

    return embed


def batches(found):
    """By size, as ours are: what differs is the loop, not the order."""
    order = sorted(range(len(found)), key=lambda i: found.num_atoms[i])
    return [[found.atoms(i) for i in order[start : start + BATCH]] for start in range(0, len(found), BATCH)]


def chgnet(_name, way):
    from chgnet.model.model import CHGNet
    from pymatgen.io.ase import AseAtomsAdaptor

    model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    read = AseAtomsAdaptor.get_structure
    if way == "usual":
        return lambda atoms: model.predict_structure(read(atoms), return_atom_feas=True)
    return lambda batch: model.predict_graph(
        [model.graph_converter(read(a)) for a in batch], task="e", batch_size=BATCH
    )


def sevennet(name, way):
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.calculator import SevenNetCalculator
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    from torch_geometric.loader.dataloader import Collater

    calculator = SevenNetCalculator(name, device="cpu")
    if way == "usual":

        def energy(atoms):
            atoms.calc = calculator
            return atoms.get_potential_energy()

        return energy
    model, collate = calculator.model, Collater([], None, None)
    model.set_is_batch_data(True)
    cutoff = float(model.cutoff)
    return lambda batch: model(
        collate([AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(a, cutoff)) for a in batch])
    )


def mace(name, way):
    from mace.calculators import MACECalculator
    from mace.data import AtomicData, config_from_atoms
    from mace.tools.torch_geometric import Batch
    from mace.tools.utils import AtomicNumberTable

    model = loading.load(registry.resolve(name), device="cpu", threads=None).model
    if way == "usual":
        calculator = MACECalculator(models=model, device="cpu", default_dtype="float32")
        return lambda atoms: calculator.get_descriptors(atoms, num_layers=1)
    table, cutoff = AtomicNumberTable(model.atomic_numbers.tolist()), float(model.r_max)

    def forward(batch):
        data = [AtomicData.from_config(config_from_atoms(a), z_table=table, cutoff=cutoff) for a in batch]
        return model(Batch.from_data_list(data).to_dict(), compute_force=False)

    return forward


FAMILIES = {"chgnet": chgnet, "sevennet": sevennet, "mace": mace}


def main(name, way, source):
    warnings.simplefilter("ignore")
    torch.set_num_threads(processes.num_cores())
    found, _ = reading.read(source)
    spec = registry.resolve(name)
    if way == "ours":
        embed = ours(name)
        work, warm = (lambda: embed(found)), (lambda: embed(found.select(slice(12))))
    else:
        call = FAMILIES[spec.family.name](name, way)
        inputs = batches(found) if way == "forward" else [found.atoms(i) for i in range(len(found))]
        torch.set_grad_enabled(way == "usual" or spec.family.name == "sevennet")  # whose model always differentiates

        def work():
            for one in inputs:
                call(one)

        def warm():
            for one in inputs[:2]:
                call(one)

    warm()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "atoms": int(found.num_atoms.sum())}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
