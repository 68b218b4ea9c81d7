"""`platonic-embed` with a slow toy in place of a model and blocks of 32 rows: run, and killed, by `test_stores`.

Workers of Dask import this file too, and so get the toy.
"""

import functools
import os
import sys
import time
from types import ModuleType

import numpy as np
from platonic_adapters import cli, export, loading, selftest

PAUSE = float(os.environ.get("PLATONIC_TOY_PAUSE", "0"))  # s for each batch


class Toy:
    """Each atom's row: its number and its position."""

    layers = {"all": {"width": 4, "what": "number and position"}}
    default_layer = "all"
    elements = frozenset(range(1, 80))
    checkpoint = {"name": "toy", "sha256": "0"}
    hardware = {"device": "cpu", "dtype": "float32", "precision": "highest", "threads": 1}
    batch_atoms = 16

    def prepare(self, atoms):
        return np.column_stack([atoms.numbers, atoms.positions]).astype(np.float32)

    def embed(self, prepared, properties=()):
        time.sleep(PAUSE)
        rows = np.concatenate(prepared)
        energy = np.array([p.sum() for p in prepared], np.float32)
        values = {"energy": energy, "forces": rows[:, 1:]}
        return {"all": rows}, {name: values[name] for name in properties}


loading.load = lambda _spec, **_options: Toy()
selftest.run = lambda _adapter, _structures, **_options: {}
export.export = functools.partial(export.export, block_rows=32)
sys.modules["sevenn"] = ModuleType("sevenn")
sys.modules["sevenn"].__spec__ = object()

if __name__ == "__main__":
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.exit(cli.main(["7net-0", *sys.argv[1:], "--properties", "energy,forces"]))
