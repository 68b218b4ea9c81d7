"""Run in matgl's environment by `test_matgl.py`: measures, and prints them as one line of JSON."""

import copy
import json
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from in_common import load, offline, redrawn, refusal, relative
from matgl.apps.pes import Potential
from matgl.ext.ase import PESCalculator
from platonic_adapters import registry, selftest
from platonic_adapters.structures import Structures


def crystals():
    """An atom without neighbours, two without angles, and crystals, the last of them rattled."""
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    alone = [Atoms("Cu"), Atoms("O2", [[0, 0, 0], [0, 0, 1.3]])]
    return [*alone, bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]


def measured(adapter):
    found = crystals()
    rows = adapter.embed([adapter.prepare(a) for a in found])[0]
    single = np.concatenate([adapter.embed([adapter.prepare(a)])[0][adapter.default_layer] for a in found])
    return {
        "layers": {name: layer["width"] for name, layer in adapter.layers.items()},
        "default": adapter.default_layer,
        "finite": all(bool(np.isfinite(x).all()) for x in rows.values()),
        "alone": relative(rows[adapter.default_layer], single),
        "self_test": selftest.run(adapter, Structures.from_atoms(found[2:], ["Cu", "GaAs", "Ti", "NaCl"])),
        "parameters": sum(x.numel() for x in adapter.network.parameters()),
    }


def away(folder):
    """Compare weights, used by the library's own convention, with the library."""
    adapter, atoms = load(f"matgl:{folder}?convention=3"), crystals()[-1]
    layers, values = adapter.embed([adapter.prepare(atoms)], ("energy", "forces", "stress"))
    network = copy.deepcopy(adapter.network).float()
    seen = []
    network.final_layer.register_forward_pre_hook(lambda _module, args: seen.append(args[0].detach().numpy()))
    shift = adapter._shift.float()
    atoms.calc = PESCalculator(Potential(network, data_std=adapter._std, element_refs=shift), stress_unit="eV/A3")
    energy = atoms.get_potential_energy()
    return {
        "rows": relative(layers[adapter.default_layer], seen[0]),
        "energy": abs(float(values["energy"][0]) - energy),
        "forces": float(np.abs(values["forces"] - atoms.get_forces()).max()),
        "stress": float(np.abs(values["stress"][0] - atoms.calc.results["stress"]).max()),
        "largest": {name: float(np.abs(values[name]).max()) for name in ("forces", "stress")},
    }


def reach(adapter):
    """How much a row changes with the element two edges away."""
    chains = [Atoms(f"NaCl{end}", [[0, 0, 0], [4, 0, 0], [8, 0, 0]]) for end in ("K", "O")]
    first, second = (adapter.embed([adapter.prepare(a)])[0][adapter.default_layer][:1] for a in chains)
    return relative(first, second)


def other(folder, target, **settings):
    """A copy with weights that hardly differ, and other settings of its network."""
    target.mkdir()
    model, state = (
        torch.load(folder / name, map_location="cpu", weights_only=True) for name in ("model.pt", "state.pt")
    )
    model["model"] |= settings
    torch.save(model, target / "model.pt")
    torch.save(state | {"data_std": state["data_std"] * 1.00001}, target / "state.pt")
    return target


def energy(adapter):
    crystal = bulk("MgO", "rocksalt", 4.21)
    return float(adapter.embed([adapter.prepare(crystal)], ("energy",))[1]["energy"][0])


def main(weights, folder):
    specs = {spec.name: spec for spec in registry.models() if spec.family.name == "matgl"}
    paths = {name: weights / spec.model.checkpoint for name, spec in specs.items()}
    adapters = {name: load(f"matgl:{path}") for name, path in paths.items()}
    tensornet, dgl, m3gnet = "tensornet-matpes-pbe", "tensornetdgl-matpes-pbe", "m3gnet-matpes-pbe"

    own = {}
    for key, name, option in (
        ("tensornet", tensornet, ""),
        ("tensornetdgl", dgl, ""),
        ("m3gnet", m3gnet, "?convention=2"),
    ):
        copied = other(paths[name], folder / key)
        own[key] = abs(energy(load(f"matgl:{copied}{option}")) - energy(adapters[name]))
    own["asked"] = refusal(load, f"matgl:{folder / 'm3gnet'}")
    own["unknown"] = refusal(load, f"matgl:{folder / 'm3gnet'}?convention=4")

    foreign = other(paths[tensornet], folder / "foreign", **{"@class": "Popen", "@module": "subprocess"})
    (folder / "broken").mkdir()
    for name in ("model.pt", "state.pt"):
        (folder / "broken" / name).write_bytes(b"no")
    refusals = {"class": refusal(load, f"matgl:{foreign}"), "broken": refusal(load, f"matgl:{folder / 'broken'}")}
    os.environ["PLATONIC_CACHE"] = str(folder)
    urllib.request.urlopen = offline
    refusals["offline"] = refusal(load, tensornet)
    return {
        "models": {
            name: {**measured(adapter), "energies": sorted(dict(specs[name].model.energies))}
            for name, adapter in adapters.items()
        },
        "reach": {name: reach(adapter) for name, adapter in adapters.items()},
        "library": {name: away(folder / name.split("-")[0]) for name in (tensornet, m3gnet)},
        "forced": {name: refusal(load, f"matgl:{paths[name]}?convention=3") for name in (tensornet, m3gnet)},
        "own": own,
        "by_path": [
            load(f"random:{name}").embed([graph])[0][adapter.default_layer].tolist()
            == load(f"random:matgl:{paths[name]}").embed([graph])[0][adapter.default_layer].tolist()
            for name, adapter in adapters.items()
            for graph in [adapter.prepare(crystals()[-1])]
        ],
        "random": [redrawn(name, crystals()[2:], adapters[name]) for name in (tensornet, "m3gnet-mp-2021.2.8")],
        "refusals": refusals,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
