"""`platonic drift`: what has fine-tuning done to a model?"""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _stores

if TYPE_CHECKING:
    from platonic_jax.studies import Drift

DESCRIPTION = (
    "Set a model beside an earlier version of it: how far each element has moved in the space of the same anchor "
    "atoms, whether\nnoise moves it as far, and which elements moved that were never fine-tuned on."
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
    null = parser.add_mutually_exclusive_group()
    null.add_argument(
        "--repeat",
        metavar="STORE",
        action="append",
        default=[],
        help="the earlier model embedded again: what it differs by is noise (default: what rounding costs)",
    )
    null.add_argument(
        "--reseeded",
        metavar="STORE",
        action="append",
        default=[],
        help="the later model fine-tuned again with another seed: what it differs by is noise",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="the file that was embedded, with true energies: adds errors of energies"
    )
    _arguments.add_count(parser, "--k", default=100, what="number of anchors")
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Drift":
    """Read, and judge."""
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
