"""What the notebooks read: the stores in `PLATONIC_STORES`, which are made first where there are none."""

import os
import subprocess
from pathlib import Path

import platonic_jax as pj


def tables(models: str) -> list[pj.EmbeddingTable]:
    """The tables of all stores, on the atoms that they share.

    Args:
        models: names, with spaces between them, of the models to embed `PLATONIC_STRUCTURES` with, crystal prototypes
            by default, where there are no stores; `PLATONIC_MODELS` goes before.

    Returns:
        One table a store; of the first `PLATONIC_LIMIT` structures alone, if that is set.
    """
    folder = Path(os.environ.get("PLATONIC_STORES", "stores/prototypes"))
    structures = os.environ.get("PLATONIC_STRUCTURES", "prototypes?max_atoms=20")
    limit = int(os.environ.get("PLATONIC_LIMIT", "0")) or None
    if not list(folder.glob("*.zarr")):
        for model in os.environ.get("PLATONIC_MODELS", models).split():
            name = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in model)
            subprocess.run(["platonic", "embed", model, structures, "-o", str(folder / f"{name}.zarr")], check=True)
    found = pj.tables.pair(*(pj.load(path, limit=limit) for path in sorted(folder.glob("*.zarr"))))
    print(f"{len(found)} models, {len(found[0].x):,} atoms of {found[0].num_structures:,} structures")
    return found
