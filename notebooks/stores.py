"""What the notebooks read: stores of embeddings, which are made first where there are none."""

import os
import subprocess
from pathlib import Path

import platonic_jax as pj


def embed(model: str, source: str | Path, store: str | Path, *options: str) -> pj.EmbeddingTable:
    """The table of a model's rows, by `platonic embed`, which goes on where it was stopped and does nothing twice."""
    run("platonic", "embed", model, source, "-o", store, *options)
    return pj.load(store)


def run(*command: object) -> None:
    """Run a program; what it says is told only where it fails."""
    # A notebook's backend of matplotlib is unknown in the environments of models.
    variables = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run([str(part) for part in command], env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def tables(models: str) -> list[pj.EmbeddingTable]:
    """The tables of all stores in `PLATONIC_STORES`, on the atoms that they share.

    Args:
        models: names, with spaces between them, of the models to embed `PLATONIC_STRUCTURES` with, crystal prototypes
            by default, where there are no stores; `PLATONIC_MODELS` goes before.

    Returns:
        One table a store; of the first `PLATONIC_LIMIT` structures alone, if that is set.
    """
    folder = Path(os.environ.get("PLATONIC_STORES", "stores/prototypes"))
    structures = os.environ.get("PLATONIC_STRUCTURES", "prototypes?max_atoms=20")
    limit = int(os.environ.get("PLATONIC_LIMIT", "0")) or None
    stores = sorted(folder.glob("*.zarr")) if "PLATONIC_STORES" in os.environ else []
    if not stores:
        for model in os.environ.get("PLATONIC_MODELS", models).split():
            stores.append(folder / f"{file_name(model)}.zarr")
            if not stores[-1].exists():
                embed(model, structures, stores[-1])
    found = pj.tables.pair(*(pj.load(path, limit=limit) for path in stores))
    print(f"{len(found)} models, {len(found[0].x):,} atoms of {found[0].num_structures:,} structures")
    return found


def file_name(model: str) -> str:
    """The name of a model without the signs that file names cannot have."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in model)
