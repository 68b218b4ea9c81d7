"""Runs in Orb's environment: real architectures, random weights, checkpoint files; prints what it saw as JSON."""

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from in_common import deviation, load, offline, refusal, relative
from orb_models.forcefield import pretrained
from platonic_adapters import averaging, loading, registry, selftest
from platonic_adapters.families import orb
from platonic_adapters.structures import Structures, turned
from scipy.spatial.transform import Rotation

DIRECT, CONSERVATIVE = "orb-v3-direct-inf-omat", "orb-v3-conservative-inf-omat"


def main(folder: Path) -> None:
    seen = {"settings": {name: settings(name) for name in pretrained.ORB_PRETRAINED_MODELS if known(name)}}
    for name in (DIRECT, CONSERVATIVE):
        drawn = load(f"random:{name}?seed=1")
        path = folder / f"{name}.ckpt"
        torch.save(drawn.model.state_dict(), path)
        spec = registry.resolve(f"orb:{name}@{path}")
        loaded = loading.load(spec, device="cpu", threads=1)
        graphs = [loaded.prepare(a) for a in crystals()]
        layers, _ = loaded.embed(graphs)
        drawn_layers, _ = drawn.embed(graphs)
        seen[name] = {
            "name": spec.name,
            "checkpoint": loaded.checkpoint,
            "layers": {k: v["width"] for k, v in loaded.layers.items()},
            "saved": max(deviation(x, drawn_layers[k]) for k, x in layers.items()),
            "distinct": min(deviation(layers[f"layer{i}"], layers[f"layer{i + 1}"]) for i in range(4)),
            "node_features": deviation(node_features(loaded, graphs), layers["layer4"]),
            "self_test": selftest.run(loaded, Structures.from_atoms(crystals(), ["Cu", "GaAs", "Ti", "NaCl"])),
            **against_calculator(loaded),
        }
    seen["small"] = small(folder)
    seen["orbit"] = orbit(f"orb:{DIRECT}@{folder / DIRECT}.ckpt")
    seen["molecule"] = {k: v.shape for k, v in loaded.embed([loaded.prepare(molecule("H2O"))])[0].items()}
    (folder / "broken.ckpt").write_bytes(b"no checkpoint")
    seen["broken"] = refusal(load, f"orb:{DIRECT}@{folder / 'broken.ckpt'}")
    orb.cached_path = offline
    seen["offline"] = refusal(load, CONSERVATIVE)
    print(json.dumps(seen))  # noqa: T201


def known(name: str) -> bool:
    return name in {spec.name for spec in registry.models()}


def settings(name: str) -> str:
    """The published file of a model, from the library's own table."""
    return inspect.signature(pretrained.ORB_PRETRAINED_MODELS[name]).parameters["weights_path"].default


def crystals() -> list:
    """Small, of several elements and symmetries, one off its sites."""
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    return [bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]


def orbit(name: str) -> dict[str, float]:
    """How far the rows of cubic BaCeO3 move when it turns, at random and by a quarter, plain and averaged."""
    cell = Atoms("BaCeO3", [[0.5] * 3, [0] * 3, [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]], pbc=True)
    cell.set_cell([1, 1, 1])
    cell.set_cell([4.47] * 3, scale_atoms=True)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turns = {"random": Rotation.random(None, np.random.default_rng(3)).as_matrix(), "quarter": quarter}
    seen = {}
    for which, adapter in (("plain", load(name)), ("averaged", load(f"{name}?orbit_average=24"))):
        wanted = [averaging.SPREAD] if which == "averaged" else []
        rows, values = adapter.embed([adapter.prepare(cell)], wanted)
        for turn, matrix in turns.items():
            moved, _ = adapter.embed([adapter.prepare(turned(cell, matrix))])
            seen[f"{which}, {turn}"] = relative(rows["layer4"], moved["layer4"])
        if wanted:
            seen["spread"] = float(values[averaging.SPREAD].max())
            oxygens = rows["layer4"][2:]
            seen["oxygens"] = relative(oxygens[:1].repeat(3, 0), oxygens)
    return seen


def small(folder: Path) -> dict:
    """Networks of other sizes than the published ones: how far what is loaded is from what was saved."""
    sizes = {"latent_dim": 16, "base_mlp_hidden_dim": 24, "head_mlp_hidden_dim": 20, "num_message_passing_steps": 3}
    found = {}
    for name, forces, depths in ((DIRECT, "direct", (1, 2)), (CONSERVATIVE, "conservative", (2, 1))):
        torch.manual_seed(0)
        build = getattr(pretrained, f"orb_v3_{forces}_architecture")
        model = build(**sizes, base_mlp_depth=depths[0], head_mlp_depth=depths[1], device="cpu").eval()
        path = folder / f"small-{forces}.ckpt"
        torch.save(model.state_dict(), path)
        loaded = load(f"orb:{name}@{path}")
        graphs = [loaded.prepare(atoms) for atoms in crystals()]
        layers, values = loaded.embed(graphs, ("forces",))
        own = model.predict(loaded._batch(graphs))
        redrawn = load(f"random:orb:{name}@{path}?seed=1")
        found[name] = {
            "layers": {layer: rows.shape[1] for layer, rows in layers.items()},
            "redrawn": {layer: entry["width"] for layer, entry in redrawn.layers.items()},
            "forces": deviation(own.get("grad_forces", own.get("forces")).detach().numpy(), values["forces"]),
            "size": float(np.abs(values["forces"]).max()),
            "published": load(f"random:{name}?seed=0").layers["layer4"]["width"],
        }
    return found


def node_features(adapter, graphs: list) -> np.ndarray:
    """What the library's network returns under this name."""
    with torch.no_grad():
        return adapter.model.model(adapter._batch(graphs))["node_features"].numpy()


def against_calculator(adapter) -> dict[str, float]:
    """Deviations from the library's own calculator."""
    atoms = crystals()[-1]
    found = {k: v for k, v in adapter.embed([adapter.prepare(atoms)], ("energy", "forces", "stress"))[1].items()}
    atoms.calc = calculator(adapter)
    return {
        "energy": abs(float(found["energy"][0]) - float(atoms.get_potential_energy())),
        "forces": float(np.abs(found["forces"] - atoms.get_forces()).max()),
        "stress": float(np.abs(found["stress"][0] - atoms.get_stress(voigt=False)).max()),
        "largest_force": float(np.abs(found["forces"]).max()),
    }


def calculator(adapter):
    try:
        from orb_models.forcefield.inference.calculator import ORBCalculator
    except ImportError:
        from orb_models.forcefield.calculator import ORBCalculator

        return ORBCalculator(adapter.model, device="cpu")
    return ORBCalculator(adapter.model, adapter._graph.__self__, device="cpu")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
