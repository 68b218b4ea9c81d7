"""`platonic arithmetic`: sums of crystal vectors, and benchmarks of them."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_adapters import processes

from platonic_jax._files import read_csv
from platonic_jax.cli import _arguments, _probes, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Analogies, Expression, Polymorphs, Reactions
    from platonic_jax.tables import EmbeddingTable

DESCRIPTION = (
    "Add and subtract crystal vectors, and rank all crystals by their similarity to the sum, compared with random\n"
    "sums. An expression with an arrow is a balanced reaction: products less reactants. Three benchmarks:\n"
    "`analogies` counts how often A₁C − A₁B + A₂B is A₂C; `polymorphs` tests whether vectors identify phases;\n"
    "`reactions` predicts reaction energies."
)
EXAMPLES = """\
  platonic arithmetic "TiO2 - Ti + Zr"
  platonic arithmetic "MgO - mp-153 + Ca@chgnet-0.3.0" a.zarr b.zarr
  platonic arithmetic "2 Mg + O2 -> 2 MgO" a.zarr
  platonic arithmetic analogies a.zarr random.zarr --json analogies.json
  platonic arithmetic polymorphs a.zarr b.zarr --copies a-rattled.zarr --copies b-rattled.zarr
  platonic arithmetic reactions a.zarr --equations reactions.csv
"""
BENCHMARKS = ("analogies", "polymorphs", "reactions")
DEFAULT_MODEL, DEFAULT_INPUT = "7net-0", "prototypes?max_atoms=20"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "expression",
        metavar="EXPRESSION",
        help="crystals by formula, id or structure file, joined by + and - between spaces, with optional coefficients "
        f"before and @MODEL after a name; a reaction, with ->; or a benchmark: {', '.join(BENCHMARKS)}",
    )
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
    parser.add_argument("-k", metavar="K", type=int, help="number of anchors (default: 100; 30 for reactions)")
    parser.add_argument(
        "--similarity",
        metavar="NAME",
        help="similarity of atoms to anchors (default: whitened; cosine for reactions)",
    )
    parser.add_argument(
        "--how",
        choices=("mean", "covariance"),
        help="for an expression: pooling of atoms to crystals (default: mean)",
    )
    parser.add_argument(
        "--answers", metavar="N", type=int, help="for an expression: number of nearest crystals to list (default: 10)"
    )
    parser.add_argument(
        "--copies",
        metavar="STORE",
        action="append",
        default=[],
        help="for polymorphs: a store of perturbed copies of the crystals, with ids such as mp-2657~1; one per model",
    )
    parser.add_argument(
        "--energies",
        metavar="FILE",
        help="for polymorphs: a CSV file with a column `id`, or `material_id`, and one column of energies in eV/atom",
    )
    parser.add_argument(
        "--equations",
        metavar="FILE",
        help="for reactions: a CSV file with columns `equation` and, optionally, `energy` (eV, reaction as written)",
    )
    parser.add_argument(
        "--device", default="auto", help="device that embeds structure files: auto, cpu or cuda (default: auto)"
    )
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Expression | Analogies | Polymorphs | Reactions":
    """Read the stores and compute the sum, reaction or benchmark."""
    from platonic_jax import analyses, tables

    kind = (
        args.expression
        if args.expression in BENCHMARKS
        else "reactions"
        if analyses.ARROW in args.expression
        else "sums"
    )
    _check_options(args, kind)
    loaded = [_stores.load(path) for path in args.stores or [_default_store(args)]]
    loaded = tables.pair(*loaded) if len(loaded) > 1 else loaded
    settings = {"space": args.space, "anchors": args.anchors, "seed": args.seed}
    # Options left out take the default of each study.
    settings |= {name: value for name in ("k", "similarity") if (value := getattr(args, name)) is not None}
    if kind == "analogies":
        return analyses.analogies(loaded, **settings)
    if kind == "polymorphs":
        energies = _energies(args.energies, loaded[0]) if args.energies else None
        copies = [tables.load(path) for path in args.copies]
        return analyses.polymorphs(loaded, copies=copies, energies=energies, **settings)
    if kind == "reactions":
        equations, energies = _equations(args)
        return analyses.reactions(equations, loaded, energies=energies, **settings)
    with processes.temporary("platonic-") as folder:
        files = _files(args, loaded, folder)
        return analyses.expression(
            args.expression, loaded, files=files, how=args.how or "mean", num_answers=args.answers or 10, **settings
        )


def _check_options(args: argparse.Namespace, kind: str) -> None:
    """Refuse options that would be ignored."""
    where = {
        "how": "sums",
        "answers": "sums",
        "copies": "polymorphs",
        "energies": "polymorphs",
        "equations": "reactions",
    }
    for name, analysis in where.items():
        if getattr(args, name) and analysis != kind:
            raise ValueError(f"`--{name}` applies to {analysis} only: leave it out here.")


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


def _files(
    args: argparse.Namespace, loaded: "Sequence[EmbeddingTable]", folder: Path
) -> "dict[str, list[EmbeddingTable]]":
    """Embed the structure files named in the expression with every model."""
    from platonic_adapters import reading

    from platonic_jax import tables

    embedded = {}
    for i, name in enumerate(word for word in args.expression.split() if Path(word).is_file()):
        known = reading.read(name, duplicates="skip")[0]
        if len(known) != 1:
            raise ValueError(f"{name!r} must hold one crystal, got {len(known)}.")
        embedded[name] = []
        for j, table in enumerate(loaded):
            kept = folder / f"{i}-{j}.zarr"
            _probes.embed(table.model, known, kept, device=args.device)
            embedded[name].append(tables.load(kept, table.layer))
    return embedded


def _energies(path: str, table: "EmbeddingTable") -> Any:
    from platonic_jax import analyses

    values = analyses.read_targets(path, table)
    numbers = [column for column in values.values() if column.dtype.kind == "f"]
    if len(numbers) != 1:
        raise ValueError(f"{path!r} must have one column of energies, got {len(numbers)} columns of numbers.")
    return numbers[0]


def _equations(args: argparse.Namespace) -> tuple[list[str], list[float] | None]:
    if args.expression != "reactions":
        return [args.expression], None
    if not args.equations:
        raise ValueError("`--equations` must name a file, got none.")
    _, lines = read_csv(args.equations, "--equations")
    if not lines or "equation" not in lines[0]:
        raise ValueError(f"{args.equations!r} must have a column `equation`, and lines below it, got none.")
    if "energy" not in lines[0]:
        return [line["equation"] for line in lines], None
    energies = []
    for number, line in enumerate(lines, 2):
        try:
            energies.append(float(line["energy"] or "nan"))
        except ValueError:
            raise ValueError(
                f"{args.equations!r} must have numbers in column `energy`, got {line['energy']!r} in line {number}."
            ) from None
    return [line["equation"] for line in lines], energies
