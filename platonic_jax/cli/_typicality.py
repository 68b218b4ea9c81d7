"""`platonic typicality`: outlier scores of structures relative to reference sets."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.studies import Typicality
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
        type=_arguments.names,
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
    _arguments.add_count(parser, "-k", default=100, what="the number of anchors")
    _arguments.add_similarity(parser, default="whitened")
    parser.add_argument(
        "--level",
        metavar="P",
        type=float,
        default=0.05,
        help="share of typical structures that may be called atypical (default: 0.05)",
    )
    _arguments.add_limit(parser, of="each reference")
    _arguments.add_seed(parser)
    _arguments.add_report(parser, more=", and the figure")


def find(args: argparse.Namespace) -> "Typicality":
    """Read the stores and score the query structures."""
    from platonic_jax.anchors import Anchors
    from platonic_jax.studies import typicality

    references, queries = _grouped(args.reference, limit=args.limit), _grouped(args.queries)
    for reference in references.values():
        for table in reference:
            _stores.check_variation(table)
    anchors = Anchors.load(args.anchors) if Path(args.anchors).is_file() else args.anchors
    with _print.progress_bar() as progress:
        return typicality(
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


def _grouped(stores: Sequence[str], *, limit: int | None = None) -> dict[str, list["EmbeddingTable"]]:
    """Group tables by name: the given one, or that of the embedded file."""
    from platonic_jax.tables import load

    groups: dict[str, list[EmbeddingTable]] = {}
    for text in stores:
        name, _, path = ("", "", text) if Path(text).exists() else text.rpartition("=")
        table = load(path, limit=limit)
        source = str((table.provenance.get("source") or {}).get("name") or path)
        groups.setdefault(name or Path(source).name.partition(".")[0], []).append(table)
    return groups
