"""`platonic sweep`: dependence of a comparison on its anchors and layers."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Sweep

DESCRIPTION = (
    "Compare models with increasing numbers of anchors, selected by several methods and several times, and with as\n"
    "many principal components instead, to find the number from which values are stable. With --layers, also\n"
    "compare every layer of one model with every layer of another, and test the best pair against the maximum over\n"
    "pairs under permutation."
)
TASK, USAGE = "vary the anchors", "sweep A.zarr B.zarr … -o sweep/"
EXAMPLES = """\
  platonic sweep a.zarr b.zarr --ks 10,30,100,300 --methods random,direct -o sweep/
  platonic sweep a.zarr b.zarr --ks 100 --methods random --layers --json sweep.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _arguments.add_stores(parser)
    parser.add_argument(
        "--ks",
        metavar="K,K",
        type=_arguments.counts,
        default=(10, 30, 100, 300),
        help="numbers of anchors (default: 10,30,100,300)",
    )
    known = ", ".join(_arguments.ANCHORS)
    parser.add_argument(
        "--methods",
        metavar="A,B",
        type=_arguments.names,
        default=("random", "direct"),
        help=f"methods that select anchors from the first store: {known} (default: random,direct)",
    )
    _arguments.add_count(parser, "--choices", default=5, what="number of random anchor sets for each method")
    _arguments.add_similarity(parser)
    _arguments.add_seed(parser)
    parser.add_argument(
        "--measures",
        metavar="A,B",
        type=_arguments.names,
        help="measures: procrustes, cka, mutual_knn (default: all of them)",
    )
    _arguments.add_count(
        parser, "--atoms", default=20_000, what="maximum number of atoms, drawn at random by whole structures"
    )
    parser.add_argument(
        "--layers",
        action="store_true",
        help="also compare every layer with every layer, with the largest number of anchors",
    )
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Sweep":
    """Read the stores and sweep the number of anchors."""
    from platonic_jax.analyses import layers, load_layers, sweep

    _arguments.check_stores(args.stores)
    common = {"similarity": args.similarity, "seed": args.seed, "max_atoms": args.atoms}
    if args.measures:
        common["measures"] = args.measures
    with _print.progress_bar() as progress:
        result = sweep(
            [_stores.load(path, limit=args.limit) for path in args.stores],
            ks=args.ks,
            methods=args.methods,
            num_seeds=args.choices,
            progress=progress,
            **common,
        )
        if args.layers:
            every = [load_layers(path, limit=args.limit) for path in args.stores]
            by_layer = [
                layers(every[i], every[j], anchors=args.methods[0], k=max(args.ks), progress=progress, **common)
                for i, j in result.pairs
            ]
            result = dataclasses.replace(result, layers=by_layer)
    return result
