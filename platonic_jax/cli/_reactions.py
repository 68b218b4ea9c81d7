"""`platonic arithmetic reactions`: reaction vectors and energies read out from them."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax._files import read_csv
from platonic_jax.cli import _crystals

if TYPE_CHECKING:
    from platonic_jax.analyses import Reactions

DESCRIPTION = (
    "Compute the vectors of balanced reactions, products less reactants, and predict reaction energies from them."
)
TASK, USAGE = "predict reactions", 'arithmetic reactions A.zarr --equation "2 Mg + O2 -> 2 MgO"'
EXAMPLES = """\
  platonic arithmetic reactions a.zarr --equation "2 Mg + O2 -> 2 MgO"
  platonic arithmetic reactions a.zarr --equations reactions.csv
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--equation",
        metavar="EQUATION",
        action="append",
        help="a balanced reaction, with ->; may be given several times",
    )
    parser.add_argument(
        "--equations",
        metavar="FILE",
        help="a CSV file with columns `equation` and, optionally, `energy` (eV, reaction as written)",
    )
    _crystals.add_common(parser, k=30, similarity="cosine")


def find(args: argparse.Namespace) -> "Reactions":
    """Read the stores and compute the reaction vectors."""
    from platonic_jax import analyses

    equations, energies = _equations(args)
    return analyses.reactions(equations, _crystals.load(args), energies=energies, **_crystals.settings(args))


def _equations(args: argparse.Namespace) -> tuple[list[str], list[float] | None]:
    if bool(args.equation) == bool(args.equations):
        raise ValueError("`--equation` or `--equations` must be given, and not both.")
    if args.equation:
        return args.equation, None
    _, lines = read_csv(args.equations, "--equations")
    if not lines or "equation" not in lines[0]:
        raise ValueError(f"{args.equations!r} must have a column `equation`, and lines below it, got none.")
    if "energy" not in lines[0]:
        return [line["equation"] for line in lines], None
    energies = []
    for number, line in enumerate(lines, 2):
        try:
            energies.append(float(line["energy"] or "nan"))
        except ValueError:
            raise ValueError(
                f"{args.equations!r} must have numbers in column `energy`, got {line['energy']!r} in line {number}."
            ) from None
    return [line["equation"] for line in lines], energies
