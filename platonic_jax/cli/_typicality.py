"""`platonic typicality`: how typical are structures of what a reference holds?"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_jax.cli import _print

if TYPE_CHECKING:
    from platonic_jax.studies._typicality_record import Judged, Typicality
    from platonic_jax.tables import EmbeddingTable

DESCRIPTION = (
    "How far do atoms and structures lie from those of a reference, relaxed crystals say? Without energies or forces: "
    "by distance\nin a model's space from atoms of the same element, as p-values that hold whatever the distribution. "
    "Several references are\nseveral manifolds, so that `typical of a surface` is an answer. Stores of one name, that "
    "of the embedded file if none is\ngiven, are several models of the same structures, and judge together."
)
EXAMPLES = """\
  platonic typicality --reference mp20.zarr heated.zarr generated.zarr --json typicality.json
  platonic typicality --reference relaxed=mp20.zarr --reference surfaces=slabs.zarr queries=mine.zarr -o typicality/
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("queries", metavar="QUERY", nargs="+", help="a store to judge, STORE or NAME=STORE")
    parser.add_argument(
        "--reference",
        metavar="STORE",
        action="append",
        required=True,
        help="a store of what is typical, STORE or NAME=STORE; may be given several times",
    )
    parser.add_argument(
        "--scores",
        type=lambda text: tuple(text.split(",")),
        default=("residual", "density", "mahalanobis"),
        metavar="A,B",
        help="of atoms, whose mean counts: residual, from the plane in which the reference lies nearby; distance; "
        "density; mahalanobis (default: residual,density,mahalanobis)",
    )
    parser.add_argument(
        "--of-structures",
        choices=("mean", "largest"),
        default="mean",
        metavar="NAME",
        help="of their atoms' scores the mean or the largest (default: mean)",
    )
    parser.add_argument(
        "--space",
        choices=("own", "shared"),
        default="own",
        metavar="NAME",
        help="own, the model's rows as they are, or shared, that of anchors (default: own)",
    )
    parser.add_argument(
        "--anchors",
        metavar="METHOD",
        default="random",
        help="of the shared space, how they are chosen in the first reference: random, farthest_point, kmeans, direct; "
        "or a file of anchors (default: random)",
    )
    parser.add_argument("-k", metavar="K", type=int, default=100, help="the number of anchors (default: 100)")
    parser.add_argument(
        "--similarity",
        choices=("cosine", "angular", "l2", "rbf", "whitened"),
        default="whitened",
        metavar="NAME",
        help="of atoms to anchors: cosine, angular, l2, rbf, whitened (default: whitened)",
    )
    parser.add_argument(
        "--level",
        metavar="P",
        type=float,
        default=0.05,
        help="share of typical structures that may be called atypical (default: 0.05)",
    )
    parser.add_argument("--limit", metavar="N", type=int, help="the first structures of each reference (default: all)")
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="a folder for typicality.json and typicality.png")
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


def run(args: argparse.Namespace) -> int:
    """Read the stores, judge, and print."""
    from platonic_jax.anchors import Anchors
    from platonic_jax.studies import typicality

    references, queries = _grouped(args.reference, limit=args.limit), _grouped(args.queries)
    anchors = Anchors.load(args.anchors) if Path(args.anchors).is_file() else args.anchors
    with _print.progress_bar() as progress:
        found = typicality(
            references,
            queries,
            scores=args.scores,
            of_structures=args.of_structures,
            space=args.space,
            anchors=anchors,
            k=args.k,
            similarity=args.similarity,
            level=args.level,
            seed=args.seed,
            progress=progress,
        )
    console = _print.console()
    for table in _tables(found):
        console.print(table)
    console.print(found.verdict, markup=False, highlight=False)
    if args.json:
        found.save(args.json)
    if args.output:
        from platonic_jax import plots

        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        found.save(folder / "typicality.json")
        plots.save(plots.typicality(found), folder / "typicality.png")
        console.print(f"The figure is in {folder / 'typicality.png'}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _grouped(stores: Sequence[str], *, limit: int | None = None) -> dict[str, list["EmbeddingTable"]]:
    """Tables by name: that given, or that of the file that was embedded."""
    from platonic_jax.tables import load

    found: dict[str, list[EmbeddingTable]] = {}
    for text in stores:
        name, _, path = ("", "", text) if Path(text).exists() else text.rpartition("=")
        table = load(path, limit=limit)
        source = str((table.provenance.get("source") or {}).get("name") or path)
        found.setdefault(name or Path(source).name.partition(".")[0], []).append(table)
    return found


def _tables(found: "Typicality") -> list[Any]:
    """Each set against each reference, the farthest set first; and the structures that lie farthest."""
    from rich.text import Text

    made = []
    for reference in found.references:
        level = found.settings["level"]
        table = _print.new_table(f"Against {reference} [95 % interval]")
        table.add_column("structures")
        table.add_column("model")
        for head in ("number", f"atypical at {100 * level:g} %", "AUROC against held-out ones", "atoms unjudged"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("farthest: structure, its farthest atom")
        sets = {f"{reference}, held out": found.held_out[reference]}
        sets |= {name: found.queries[name] for name in found.ranked(reference)}
        for name, judged in sets.items():
            for who, against in judged.against[reference].items():
                table.add_row(
                    Text(name),
                    Text(who),
                    str(len(against.score)),
                    _print.with_interval(against.atypical),
                    _print.with_interval(against.auroc) if against.auroc else "",
                    str(sum(judged.without_reference[reference].values()) or ""),
                    Text(_farthest(judged, reference, who)),
                )
        table.caption = "; ".join(
            f"{who}: held-out structures differ from calibration ones with p = {entry['p_value']:.2g} "
            "(Kolmogorov–Smirnov)"
            for who, entry in found.uniform[reference].items()
        )
        made.append(table)
    if len(found.references) > 1:
        table = _print.new_table("Most typical of")
        table.add_column("structures")
        places = list(dict.fromkeys((*found.references, *(r for q in found.queries.values() for r in q.regime))))
        for place in places:
            table.add_column(Text(place), justify="right")
        for name, judged in found.queries.items():
            table.add_row(Text(name), *(str(list(judged.regime).count(place)) for place in places))
        made.append(table)
    return made


def _farthest(judged: "Judged", reference: str, model: str) -> str:
    from ase.data import chemical_symbols

    found = judged.farthest(reference, model)
    if found is None:
        return "–"
    structure, atom = found
    row = (judged.structure_index == list(judged.ids).index(structure)) & (judged.atom_index == atom)
    return f"{structure}, {chemical_symbols[judged.species[row][0]]} {atom}"
