"""`platonic compare`: agreement of models beyond baselines."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_jax.cli import _arguments, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Comparison

DESCRIPTION = (
    "Compare the embeddings of models for the same atoms in a shared space of anchors: every measure for every pair\n"
    "of models, with 95 % intervals and permutation nulls (global and within each element)."
)
TASK, USAGE = "compare models", "compare A.zarr B.zarr … -o report/"
EXAMPLES = """\
  platonic compare a.zarr b.zarr random.zarr --anchors direct -k 100 --json out.json -o report/
  platonic compare a.zarr b.zarr --by element --nulls all,element,coordination --measures cka,mutual_knn
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _arguments.add_stores(parser)
    parser.add_argument(
        "--anchors",
        metavar="METHOD",
        default="random",
        help=f"method that selects anchors from the first store: {', '.join(_arguments.ANCHORS)}; or a file of "
        "anchors (default: random)",
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors")
    _arguments.add_similarity(parser)
    _arguments.add_seed(parser)
    parser.add_argument(
        "--layer",
        metavar="NAME",
        type=_arguments.names,
        default=(None,),
        help="the layer to compare, or one for each store: A,B; `paper` is the one that Li and Walsh read (default: "
        "each store's own)",
    )
    parser.add_argument(
        "--measures",
        metavar="A,B",
        type=_arguments.names,
        help="measures: procrustes, cka, mutual_knn, sinkhorn_divergence (default: these), and, on a subset of atoms, "
        "cknna, distance_correlation, gfre, lfre, information_imbalance, wasserstein, gromov_wasserstein",
    )
    parser.add_argument(
        "--nulls",
        metavar="A,B",
        type=_arguments.names,
        default=("all", "element"),
        help="permutation nulls: all (permute whole structures), element, coordination (permute within each element or "
        "coordination) (default: all,element)",
    )
    parser.add_argument(
        "--by",
        metavar="A,B",
        type=_arguments.names,
        default=(),
        help="also report results within each element or family (default: neither)",
    )
    parser.add_argument(
        "--one-per-orbit",
        action="store_true",
        help="count symmetry copies once: compare one atom of each symmetry orbit of each crystal",
    )
    _arguments.add_count(
        parser, "--num-permutations", default=100, what="number of permutations for each null; a test needs at least 19"
    )
    what = "number of bootstrap samples with newly drawn anchors, for intervals that include the choice of anchors"
    _arguments.add_count(parser, "--num-anchor-draws", default=10, what=what)
    what = "maximum number of atoms in optimal transport and other measures of all pairs of atoms"
    _arguments.add_count(parser, "--transport-rows", default=300, what=what)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Comparison":
    """Read the stores and compare the models."""
    _arguments.check_stores(args.stores)
    if len(args.layer) not in (1, len(args.stores)):
        raise ValueError(
            f"`--layer` must name one layer or one for each of the {len(args.stores)} stores, got {len(args.layer)}."
        )
    layers = args.layer * len(args.stores) if len(args.layer) == 1 else args.layer
    options = {"measures": args.measures} if args.measures else {}
    return compared(
        list(zip(args.stores, layers, strict=True)),
        limit=args.limit,
        one_per_orbit=args.one_per_orbit,
        anchors=args.anchors,
        k=args.k,
        similarity=args.similarity,
        nulls=args.nulls,
        by=args.by,
        seed=args.seed,
        num_permutations=args.num_permutations,
        num_anchor_draws=args.num_anchor_draws,
        num_transport_rows=args.transport_rows,
        **options,
    )


def compared(
    stores: list[tuple[str, str | None]],
    *,
    anchors: str,
    limit: int | None = None,
    one_per_orbit: bool = False,
    **options: Any,
) -> "Comparison":
    """Compare stores, each at a layer, with anchors by a method or from a file."""
    from platonic_jax import tables
    from platonic_jax.analyses import compare
    from platonic_jax.anchors import Anchors

    if anchors not in _arguments.ANCHORS:
        if not Path(anchors).is_file():
            known = ", ".join(_arguments.ANCHORS)
            raise ValueError(f"`--anchors` must be one of {known}, or a file of anchors, got {anchors!r}.")
        options["anchors"] = Anchors.load(anchors)
    else:
        options["anchors"] = anchors
    with _print.progress_bar() as progress:
        loaded = [_stores.load(path, layer, limit=limit) for path, layer in stores]
        if one_per_orbit:
            loaded = [tables.one_per_orbit(table) for table in loaded]
        return compare(loaded, progress=progress, **options)
