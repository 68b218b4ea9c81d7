"""Runs in MACE's environment: real architectures, random weights, checkpoint files; prints what it saw as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.build import bulk, molecule
from mace import modules  # before e3nn, see the adapter

from mace.calculators import MACECalculator  # isort: skip
from e3nn import o3  # isort: skip

from in_common import deviation, load, offline, refusal
from platonic_adapters import loading, registry, selftest
from platonic_adapters.families import mace
from platonic_adapters.structures import Structures


def main(folder: Path, weights: Path) -> None:
    structures = Structures.from_atoms(crystals(), ["Cu", "GaAs", "Ti", "NaCl"])
    small = load("random:mace-mp-0-small?seed=1")
    torch.save(small.model, folder / "small.model")
    seen = {"parameters": sum(p.numel() for p in small.model.parameters())}

    spec = registry.resolve(f"mace:{folder / 'small.model'}")
    loaded = loading.load(spec, device="cpu", threads=1)
    seen |= {
        "name": spec.name,
        "checkpoint": loaded.checkpoint,
        "layers": {k: v["width"] for k, v in loaded.layers.items()},
    }
    graphs = [loaded.prepare(a) for a in crystals()]
    layers, _ = loaded.embed(graphs)
    seen["saved"] = max(deviation(x, small.embed(graphs)[0][name]) for name, x in layers.items())
    seen |= against_calculator(loaded, crystals(), folder / "small.model", ("energy", "forces", "stress"))
    seen["self_test"] = selftest.run(loaded, structures)

    vectors = equivariant()
    torch.save(vectors, folder / "vectors.model")
    loaded = load(f"mace:{folder / 'vectors.model'}")
    seen["vector_layers"] = {k: v["width"] for k, v in loaded.layers.items()}
    seen["vector_self_test"] = selftest.run(loaded, structures)
    torch.save(equivariant(use_last_readout_only=True), folder / "one_readout.model")
    one = load(f"mace:{folder / 'one_readout.model'}")
    seen["default_layers"] = [loaded.default_layer, one.default_layer, one.paper_layer]
    redrawn = registry.resolve(f"random:mace:{folder / 'vectors.model'}?seed=3")
    one, two = (loading.load(redrawn, device="cpu", threads=1) for _ in range(2))
    seen["redrawn"] = [redrawn.name, one.checkpoint["sha256"] == two.checkpoint["sha256"], one.checkpoint["name"]]
    graphs = [loaded.prepare(a) for a in crystals()]
    seen["redrawn_moves"] = deviation(one.embed(graphs)[0]["layer0"], loaded.embed(graphs)[0]["layer0"])

    (folder / "broken.model").write_bytes(b"no checkpoint")
    torch.save({"state": 1}, folder / "state.model")
    seen["broken"], seen["state"] = (refusal(load, f"mace:{folder / name}") for name in ("broken.model", "state.model"))
    mace.download_mace_mp_checkpoint = offline
    seen["offline"] = refusal(load, "mace-mp-0-large")
    seen["offline_elsewhere"] = refusal(load, "mace-solvents-02-com1")
    mace.download_mace_mp_checkpoint = lambda _address: str(folder / "small.model")
    seen["other_weights"] = refusal(load, "mace-mp-0-small")
    seen["solvents"] = {path.name: of_molecules(path) for path in sorted(weights.glob("*.model"))}
    print(json.dumps(seen))  # noqa: T201


def crystals() -> list:
    """Small, of several elements and symmetries, one off its sites."""
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    return [bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]


def equivariant(**options):
    """A small MACE whose messages carry vectors."""
    torch.manual_seed(2)
    interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=1,
        interaction_cls=interaction,
        interaction_cls_first=interaction,
        num_interactions=2,
        num_elements=6,
        hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("4x0e"),
        atomic_energies=np.zeros(6),
        avg_num_neighbors=20.0,
        atomic_numbers=[11, 17, 22, 29, 31, 33],
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        **options,
    )


def of_molecules(path: Path) -> dict[str, Any]:
    """A published model of molecules: deviations from its calculator, its self-test, and its random control."""
    loaded = load(f"mace:{path}")
    molecules = [molecule(name) for name in ("CH3CH2OH", "C6H6", "H2O")]
    for atoms in molecules:
        atoms.rattle(0.05, seed=0)
    random = load(f"random:{registry.resolve(f'mace:{path}').model.name}?seed=0")
    return {
        **against_calculator(loaded, molecules, path, ("energy", "forces")),
        "elements": sorted(loaded.elements),
        "parameters": sum(p.numel() for p in loaded.model.parameters()),
        "self_test": selftest.run(loaded, Structures.from_atoms(molecules, ["ethanol", "benzene", "water"])),
        "random": {name: list(p.shape) for name, p in random.model.named_parameters()}
        == {name: list(p.shape) for name, p in loaded.model.named_parameters()},
    }


def against_calculator(adapter, structures: list, path: Path, properties: tuple) -> dict[str, float]:
    """Deviations from what the library's own calculator gives for the same file."""
    calculator = MACECalculator(model_paths=str(path), device="cpu", default_dtype="float32")
    graphs = [adapter.prepare(atoms) for atoms in structures]
    layers, values = adapter.embed(graphs, properties)
    descriptors = {1: [], -1: []}
    reference = {"energy": [], "forces": [], "stress": []}
    for atoms in structures:
        for number, found in descriptors.items():
            found.append(calculator.get_descriptors(atoms, num_layers=number))
        atoms.calc = calculator
        reference["energy"].append(atoms.get_potential_energy())
        reference["forces"].append(atoms.get_forces())
        if "stress" in properties:
            reference["stress"].append(atoms.get_stress(voigt=False))
    joined = {"energy": np.array, "forces": np.concatenate, "stress": np.stack}
    return {
        "descriptors": deviation(np.concatenate(descriptors[1]), layers["layer0"]),
        "all_descriptors": deviation(np.concatenate(descriptors[-1]), layers["invariants"]),
        **{name: float(np.abs(joined[name](reference[name]) - values[name]).max()) for name in properties},
        "energy_alone": float(np.abs(adapter.embed(graphs, ("energy",))[1]["energy"] - values["energy"]).max()),
        "largest_force": float(np.abs(values["forces"]).max()),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
