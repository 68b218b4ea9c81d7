"""`platonic arithmetic polymorphs`: identification of phases by crystal vectors."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _crystals

if TYPE_CHECKING:
    from platonic_jax.analyses import Polymorphs

DESCRIPTION = "Test whether crystal vectors identify phases of one formula, pooled or as distributions of atoms."
TASK, USAGE = "identify phases", "arithmetic polymorphs A.zarr B.zarr"
EXAMPLES = """\
  platonic arithmetic polymorphs a.zarr b.zarr --copies a-rattled.zarr --copies b-rattled.zarr
  platonic arithmetic polymorphs a.zarr --energies energies.csv
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--copies",
        metavar="STORE",
        action="append",
        default=[],
        help="a store of perturbed copies of the crystals, with ids such as mp-2657~1; one per model",
    )
    parser.add_argument(
        "--energies",
        metavar="FILE",
        help="a CSV file with a column `id`, or `material_id`, and one column of energies in eV/atom",
    )
    _crystals.add_common(parser)


def find(args: argparse.Namespace) -> "Polymorphs":
    """Read the stores and compare the phases."""
    from platonic_jax import analyses, tables

    loaded = _crystals.load(args)
    energies = _crystals.read_property("--energies", args.energies, loaded[0]) if args.energies else None
    copies = [tables.load(path) for path in args.copies]
    return analyses.polymorphs(loaded, copies=copies, energies=energies, **_crystals.settings(args))
