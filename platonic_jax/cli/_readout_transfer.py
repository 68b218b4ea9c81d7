"""`platonic stitch`: one model's energy readout on another model's embeddings."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import ReadoutTransfer

DESCRIPTION = (
    "Map the embeddings of one model to the space of another, with several kinds of fitted maps and with anchors\n"
    "alone. The best map is chosen on validation chemical systems and evaluated on test systems: the fraction of\n"
    "variance unexplained, and the errors of the other model's energy readout on the mapped embeddings."
)
TASK, USAGE = "transfer readouts", "stitch FROM.zarr TO.zarr"
EXAMPLES = """\
  platonic stitch 7net-0.zarr 7net-l3i5.zarr
  platonic stitch 7net-0.zarr chgnet-0.3.0.zarr --control random.zarr --json transfer.json -o transfer/
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", metavar="FROM", help="a store of the model whose embeddings are mapped")
    parser.add_argument("target", metavar="TO", help="a store of the model whose readout is applied to them")
    parser.add_argument(
        "--control",
        metavar="STORE",
        action="append",
        default=[],
        help="a store of another source to compare with, such as an untrained control; may be given several times",
    )
    _arguments.add_count(parser, "-k", default=300, what="number of anchors")
    parser.add_argument(
        "--held-out",
        metavar="SHARE",
        type=float,
        default=0.3,
        help="share of the chemical systems in the test set; a fifth of the others chooses the map (default: 0.3)",
    )
    _arguments.add_limit(parser)
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "ReadoutTransfer":
    """Read the stores and evaluate the maps."""
    from platonic_jax.analyses import readout_transfer

    source, target, *controls = (
        _stores.load(path, limit=args.limit) for path in (args.source, args.target, *args.control)
    )
    return readout_transfer(source, target, controls=controls, k=args.k, held_out=args.held_out, seed=args.seed)
