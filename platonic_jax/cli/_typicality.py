"""`platonic typicality`: outlier scores of structures relative to reference sets."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Typicality
    from platonic_jax.tables import EmbeddingTable

DESCRIPTION = (
    "Detect outliers: score atoms and structures by their distance, in a model's space, from atoms of the same\n"
    "element in a reference set, such as relaxed crystals. Needs no energies or forces; p-values are conformal\n"
    "(distribution-free). With several references, each structure is also assigned to the most typical one. Stores\n"
    "with the same name (by default that of the embedded file) are several models of the same structures, and are\n"
    "combined."
)
TASK, USAGE = "detect outliers", "typicality --reference R.zarr QUERY.zarr …"
EXAMPLES = """\
  platonic typicality --reference mp20.zarr heated.zarr generated.zarr --json typicality.json
  platonic typicality --reference relaxed=mp20.zarr --reference surfaces=slabs.zarr queries=mine.zarr -o typicality/
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "queries", metavar="QUERY", nargs="+", help="a store of query structures, as STORE or NAME=STORE"
    )
    parser.add_argument(
        "--reference",
        metavar="STORE",
        action="append",
        required=True,
        help="a store of typical structures, as STORE or NAME=STORE; may be given several times",
    )
    parser.add_argument(
        "--scores",
        type=_arguments.names,
        default=("residual", "density", "mahalanobis"),
        metavar="A,B",
        help="atom scores to average: residual (distance to the local plane of the reference), distance (to the "
        "nearest reference atoms), density, mahalanobis (default: residual,density,mahalanobis)",
    )
    parser.add_argument(
        "--of-structures",
        choices=("mean", "largest"),
        default="mean",
        metavar="NAME",
        help="combine the atom scores of a structure by their mean or largest (default: mean)",
    )
    parser.add_argument(
        "--space",
        choices=("own", "shared"),
        default="own",
        metavar="NAME",
        help="space of the scores: own (the model's embeddings) or shared (similarities to anchors) (default: own)",
    )
    parser.add_argument(
        "--anchors",
        metavar="METHOD",
        default="random",
        help="method that selects the anchors of the shared space from the first reference: random, farthest_point, "
        "kmeans, direct; or a file of anchors (default: random)",
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors")
    _arguments.add_similarity(parser, default="whitened")
    parser.add_argument(
        "--level",
        metavar="P",
        type=float,
        default=0.05,
        help="significance level: fraction of typical structures that may be called atypical (default: 0.05)",
    )
    _arguments.add_limit(parser, stores="each reference")
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Typicality":
    """Read the stores and score the query structures."""
    from platonic_jax.analyses import typicality
    from platonic_jax.anchors import Anchors

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
