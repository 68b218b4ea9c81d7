"""`platonic stitch`: does one model's read-out understand another model's rows?"""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _stores

if TYPE_CHECKING:
    from platonic_jax.studies import Stitching

DESCRIPTION = (
    "Map the rows of one model to the space of another, by maps fitted in several ways and by anchors alone, and judge "
    "them on\nchemical systems that were held out: what of the rows is missed, and how far the other model's own "
    "energy read-out is off\non them."
)
EXAMPLES = """\
  platonic stitch 7net-0.zarr 7net-l3i5.zarr
  platonic stitch 7net-0.zarr chgnet-0.3.0.zarr --control random.zarr --json stitching.json -o stitching/
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", metavar="FROM", help="a store of the model whose rows are mapped")
    parser.add_argument("target", metavar="TO", help="a store of the model whose read-out reads them")
    parser.add_argument(
        "--control",
        metavar="STORE",
        action="append",
        default=[],
        help="another source to be set beside FROM, such as a model with random weights",
    )
    _arguments.add_count(parser, "--k", default=300, what="number of anchors")
    parser.add_argument(
        "--held-out",
        metavar="SHARE",
        type=float,
        default=0.3,
        help="share of the chemical systems that are judged (default: 0.3)",
    )
    _arguments.add_limit(parser)
    _arguments.add_seed(parser)
    _arguments.add_report(parser, more=", and the figure")


def find(args: argparse.Namespace) -> "Stitching":
    """Read the stores, and judge."""
    from platonic_jax.studies import stitching

    source, target, *controls = (
        _stores.load(path, limit=args.limit) for path in (args.source, args.target, *args.control)
    )
    return stitching(source, target, controls=controls, k=args.k, held_out=args.held_out, seed=args.seed)
