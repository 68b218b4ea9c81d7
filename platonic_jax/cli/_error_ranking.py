"""`platonic rank-errors`: rank errors of forces and energies by scores of the embeddings."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _print, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import ErrorRanking


DESCRIPTION = (
    "Test whether scores rank the force errors of models on labelled structures: the disagreement of neighbourhoods\n"
    "between models and the distance from a reference, compared with baselines that need no embeddings (force\n"
    "magnitude and its spread between models)."
)
TASK, USAGE = "rank errors", "rank-errors A.zarr B.zarr --labels DFT.extxyz"
EXAMPLES = """\
  platonic rank-errors a.zarr b.zarr --labels dft.extxyz
  platonic rank-errors a.zarr b.zarr --labels dft.extxyz --reference mp20-a.zarr --reference mp20-b.zarr
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "stores", metavar="STORE", nargs="+", help="stores made by `platonic embed … --properties energy,forces`"
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        required=True,
        help="file of the embedded structures with reference energies and forces",
    )
    parser.add_argument(
        "--reference",
        metavar="STORE",
        action="append",
        help="a store of one of the models on familiar structures, such as relaxed crystals, one for each model: adds "
        "typicality as a score, and the distance in composition as a baseline",
    )
    _arguments.add_count(parser, "--num-bootstraps", default=200, what="number of bootstrap samples for each interval")
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "ErrorRanking":
    """Read the stores and evaluate the scores."""
    from platonic_jax import tables
    from platonic_jax.analyses import error_ranking, typicality

    loaded = [_stores.load(path) for path in args.stores]
    loaded = tables.pair(*loaded) if len(loaded) > 1 else loaded
    labels = tables.read_labels(args.labels, loaded[0])
    scores, reference = {}, None
    if args.reference:
        known = [_stores.load(path) for path in args.reference]
        reference = known[0]
        with _print.progress_bar() as progress:
            typical = typicality({"reference": known}, {"these": loaded}, seed=args.seed, progress=progress)
        against = typical.queries["these"].against["reference"]
        scores["typicality"] = {model: against[model].atom_score for model in typical.models}
    return error_ranking(
        loaded, labels, scores=scores, reference=reference, num_bootstraps=args.num_bootstraps, seed=args.seed
    )
