"""`platonic drift`: displacement of embeddings by training."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _stores

if TYPE_CHECKING:
    from platonic_jax.studies import Drift

DESCRIPTION = (
    "Measure how far training has moved the embeddings of each element, in the space of the same anchors and in units\n"
    "of the distance between environments, beside what float32, another device or half precision alone would do, and\n"
    "which elements moved that were never fine-tuned on. The two models must be versions of one model."
)
EXAMPLES = """\
  platonic drift before.zarr after.zarr --seen Cu
  platonic drift before.zarr after.zarr --seen Cu --reseeded after-seed1.zarr --reseeded after-seed2.zarr
  platonic drift before.zarr after.zarr --repeat before-again.zarr --labels dft.extxyz --json drift.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("before", metavar="BEFORE", help="a store of the earlier model")
    parser.add_argument("after", metavar="AFTER", help="a store of the later model, on the same structures")
    parser.add_argument(
        "--seen", metavar="SYMBOLS", default="", help="elements of the fine-tuning set, such as Cu,O: tells them apart"
    )
    parser.add_argument(
        "--repeat",
        metavar="STORE",
        action="append",
        default=[],
        help="the earlier model embedded again: a measured numerical floor; may be given several times",
    )
    parser.add_argument(
        "--reseeded",
        metavar="STORE",
        action="append",
        default=[],
        help="the later model trained again with another seed, several times: gives an interval over runs of training "
        "from two such stores, and a p-value from 18",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="the file that was embedded, with true energies: adds errors of energies"
    )
    _arguments.add_count(parser, "--k", default=100, what="number of anchors")
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Drift":
    """Read the stores and measure the displacement."""
    from platonic_jax import tables
    from platonic_jax.studies import drift

    before = _stores.load(args.before)
    return drift(
        before,
        _stores.load(args.after),
        repeats=[_stores.load(path) for path in args.repeat],
        reseeded=[_stores.load(path) for path in args.reseeded],
        seen=[symbol for symbol in args.seen.split(",") if symbol],
        labels=tables.read_labels(args.labels, before) if args.labels else None,
        k=args.k,
        seed=args.seed,
    )
