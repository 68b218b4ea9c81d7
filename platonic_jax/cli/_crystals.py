"""Arguments and stores of the commands of `platonic arithmetic`."""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_jax.cli import _arguments, _probes, _stores

if TYPE_CHECKING:
    from platonic_jax.tables import EmbeddingTable

DEFAULT_MODEL, DEFAULT_INPUT = "7net-0", "prototypes?max_atoms=20"


def add_common(parser: argparse.ArgumentParser, *, k: int = 100, similarity: str = "whitened") -> None:
    """Add the arguments of every command of crystals as vectors."""
    parser.add_argument(
        "stores",
        metavar="STORE",
        nargs="*",
        help=f"stores made by `platonic embed`, of the same structures (default: {DEFAULT_MODEL} on the crystal "
        "prototypes of pymatgen and the elements of ASE, made once)",
    )
    parser.add_argument(
        "--space",
        choices=("shared", "own"),
        default="shared",
        help="use the shared space of anchors, or each model's own embeddings (default: shared)",
    )
    parser.add_argument(
        "--anchors", metavar="METHOD", default="direct", help="method that selects the anchors (default: direct)"
    )
    _arguments.add_count(parser, "-k", default=k, what="number of anchors")
    _arguments.add_similarity(parser, default=similarity)
    parser.add_argument(
        "--device", default="auto", help="device that embeds structures: auto, cpu or cuda (default: auto)"
    )
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that these arguments give to an analysis."""
    return {name: getattr(args, name) for name in ("space", "anchors", "k", "similarity", "seed")}


def load(args: argparse.Namespace) -> "list[EmbeddingTable]":
    """Load the stores, or the default one, on the atoms that all of them share."""
    from platonic_jax import tables

    loaded = [_stores.load(path) for path in args.stores or [_default_store(args)]]
    return tables.pair(*loaded) if len(loaded) > 1 else loaded


def read_property(option: str, path: str, table: "EmbeddingTable") -> Any:
    """Read the one column of numbers of a CSV file, one for each structure of a table."""
    from platonic_jax import analyses

    values = analyses.read_targets(path, table)
    numbers = [column for column in values.values() if column.dtype.kind == "f"]
    if len(numbers) != 1:
        raise ValueError(f"`{option}` must have one column of numbers, got {len(numbers)} in {path!r}.")
    return numbers[0]


def _default_store(args: argparse.Namespace) -> Path:
    """Return a store of prototypes and elements with energies, made once by a model with bundled weights."""
    from ase.build import bulk
    from ase.data import chemical_symbols
    from platonic_adapters import caches, reading, store, structures
    from platonic_adapters.errors import StoreError

    kept = caches.directory() / "crystals" / f"{DEFAULT_MODEL}.zarr"
    with suppress(StoreError):  # Not made yet, not to its end, or damaged.
        if not store.survey(store.open(kept)):
            return kept
    prototypes = reading.read(DEFAULT_INPUT)[0]
    atoms, ids = [prototypes.atoms(i) for i in range(len(prototypes))], list(prototypes.ids)
    for symbol in chemical_symbols[1:]:
        try:
            atoms.append(bulk(symbol))
        except (ValueError, RuntimeError, KeyError):  # No simple structure is known.
            continue
        ids.append(symbol)
    kept.parent.mkdir(parents=True, exist_ok=True)
    known = structures.Structures.from_atoms(atoms, ids)
    _probes.embed(DEFAULT_MODEL, known, kept, device=args.device, properties=["energy"])
    return kept
