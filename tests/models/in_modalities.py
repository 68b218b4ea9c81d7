"""Run in SevenNet's environment by `test_sevennet.py`: measures, and prints them as one line of JSON."""

import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import requests
import sevenn._const as const
from ase.build import bulk
from in_common import load, offline, read_out, refusal
from platonic_adapters import registry, selftest
from platonic_adapters.structures import Structures
from sevenn.calculator import SevenNetCalculator


def main(folder):
    rattled = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    rattled.rattle(0.1, seed=0)
    crystals = [bulk("Cu", "fcc", 3.6), bulk("GaAs", "zincblende", 5.7), bulk("Ti", "hcp", 2.95, 4.7), rattled]
    seen, rows, adapters = {}, {}, {}
    for modality in ("PBE", "R2SCAN"):
        adapter = adapters[modality] = load(f"7net-mf-0:{modality}")
        layers, values = adapter.embed([adapter.prepare(a) for a in crystals], ("energy", "forces"))
        rattled.calc = SevenNetCalculator("7net-mf-0", modal=modality, device="cpu")
        rows[modality] = layers["layer4"]
        seen[modality] = {
            "energy": abs(float(values["energy"][-1]) - rattled.get_potential_energy()),
            "forces": float(np.abs(values["forces"][-len(rattled) :] - rattled.get_forces()).max()),
            "read_out": abs(
                read_out(adapter, layers["layer4"][-len(rattled) :], rattled.numbers) - rattled.get_potential_energy()
            ),
            "widths": [layer["width"] for layer in adapter.layers.values()],
            "self_test": selftest.run(adapter, Structures.from_atoms(crystals, ["Cu", "GaAs", "Ti", "NaCl"])),
            "sha256": adapter.checkpoint["sha256"],
        }
    seen["apart"] = float(np.linalg.norm(rows["PBE"] - rows["R2SCAN"]) / np.linalg.norm(rows["PBE"]))

    path = folder / "mine.pth"
    shutil.copy(const.SEVENNET_MF_0, path)
    local = load(f"sevennet:{path}?modality=PBE")
    found, _ = local.embed([local.prepare(a) for a in crystals])
    seen["local"] = float(np.abs(found["layer4"] - rows["PBE"]).max())
    named = registry.resolve(f"sevennet:7net-mf-0:R2SCAN@{path}")
    seen["named"] = [named.name, named.options["modality"]]
    drawn = [load(f"random:7net-mf-0:{modality}?seed=1").checkpoint["sha256"] for modality in ("PBE", "R2SCAN")]
    seen["drawn_alike"] = drawn[0] == drawn[1] != seen["PBE"]["sha256"]

    (folder / "broken.pth").write_bytes(b"no")
    requests.get = offline
    seen["refusals"] = {
        name: refusal(load, name.replace("FOLDER", str(folder)))
        for name in ("sevennet:FOLDER/broken.pth", "sevennet:FOLDER/mine.pth", "7net-0?modality=PBE", "7net-omat")
    }
    return seen


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
