"""`platonic consensus`: whether the mean of several models predicts more than one of them."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _crystals, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Consensus

DESCRIPTION = (
    "Find the consensus space of several models (generalised Procrustes), and compare a linear readout of a property\n"
    "from it with readouts of the single models, on unseen chemical systems; also the similarity of each model to\n"
    "the consensus of the others."
)
TASK, USAGE = "find a consensus", "consensus A.zarr B.zarr … --targets ENERGIES.csv"
EXAMPLES = "  platonic consensus a.zarr b.zarr random.zarr --targets energies.csv -o consensus/\n"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _arguments.add_stores(parser)
    parser.add_argument(
        "--targets",
        metavar="FILE",
        required=True,
        help="a CSV file with a column `id`, or `material_id`, and one column of the property",
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors")
    _arguments.add_similarity(parser)
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Consensus":
    """Read the stores and find the consensus."""
    from platonic_jax import analyses, tables

    _arguments.check_stores(args.stores)
    loaded = tables.pair(*(_stores.load(path, limit=args.limit) for path in args.stores))
    values = _crystals.read_property("--targets", args.targets, loaded[0])
    return analyses.consensus(loaded, values, k=args.k, similarity=args.similarity, seed=args.seed)
