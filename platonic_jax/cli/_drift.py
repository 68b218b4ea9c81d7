"""`platonic drift`: displacement of embeddings by training."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _stores

if TYPE_CHECKING:
    from platonic_jax.analyses import Drift

DESCRIPTION = (
    "Measure how far training has displaced the embeddings of each element, in the shared space, relative to the\n"
    "median distance between environments and to numerical noise (float32, other devices, half precision), and\n"
    "which elements outside the fine-tuning set were displaced. The two models must be versions of one model."
)
TASK, USAGE = "measure training drift", "drift BEFORE.zarr AFTER.zarr --seen Cu"
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
        "--seen",
        metavar="SYMBOLS",
        default="",
        help="elements of the fine-tuning set, such as Cu,O, reported separately",
    )
    parser.add_argument(
        "--repeat",
        metavar="STORE",
        action="append",
        default=[],
        help="a store of the earlier model embedded again: measures the numerical noise; may be given several times",
    )
    parser.add_argument(
        "--reseeded",
        metavar="STORE",
        action="append",
        default=[],
        help="a store of the later model trained with another seed; may be given several times: two give an interval "
        "over training runs, 18 a p-value",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="file of the embedded structures with reference energies: adds energy errors"
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors")
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Drift":
    """Read the stores and measure the displacement."""
    from platonic_jax import tables
    from platonic_jax.analyses import drift

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
