"""`platonic arithmetic expression`: sums of crystal vectors."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_adapters import processes

from platonic_jax.cli import _arguments, _crystals, _probes

if TYPE_CHECKING:
    from platonic_jax.analyses import Expression
    from platonic_jax.tables import EmbeddingTable

DESCRIPTION = (
    "Add and subtract crystal vectors, and rank all crystals by their similarity to the sum, compared with random\n"
    "sums."
)
TASK, USAGE = "add crystal vectors", 'arithmetic expression "TiO2 - Ti + Zr" A.zarr'
EXAMPLES = """\
  platonic arithmetic expression "TiO2 - Ti + Zr"
  platonic arithmetic expression "MgO - mp-153 + Ca@chgnet-0.3.0" a.zarr b.zarr
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "expression",
        metavar="EXPRESSION",
        help="crystals by formula, id or structure file, joined by + and - between spaces, with optional coefficients "
        "before and @MODEL after a name",
    )
    parser.add_argument(
        "--pooling",
        choices=("mean", "covariance"),
        default="mean",
        help="pooling of atoms to crystals: mean or covariance (default: mean)",
    )
    _arguments.add_count(parser, "--answers", default=10, what="number of nearest crystals to list")
    _crystals.add_common(parser)


def find(args: argparse.Namespace) -> "Expression":
    """Read the stores and compute the sum."""
    from platonic_jax import analyses

    if analyses.ARROW in args.expression:
        raise ValueError("`EXPRESSION` must be a sum, got a reaction: use `platonic arithmetic reactions --equation`.")
    loaded = _crystals.load(args)
    with processes.temporary("platonic-") as folder:
        return analyses.expression(
            args.expression,
            loaded,
            files=_files(args, loaded, folder),
            how=args.pooling,
            num_answers=args.answers,
            **_crystals.settings(args),
        )


def _files(
    args: argparse.Namespace, loaded: "Sequence[EmbeddingTable]", folder: Path
) -> "dict[str, list[EmbeddingTable]]":
    """Embed the structure files named in the expression with every model."""
    from platonic_adapters import reading

    from platonic_jax import tables

    embedded = {}
    for i, name in enumerate(word for word in args.expression.split() if Path(word).is_file()):
        known = reading.read(name, duplicates="skip")[0]
        if len(known) != 1:
            raise ValueError(f"{name!r} must hold one crystal, got {len(known)}.")
        embedded[name] = []
        for j, table in enumerate(loaded):
            kept = folder / f"{i}-{j}.zarr"
            _probes.embed(table.model, known, kept, device=args.device)
            embedded[name].append(tables.load(kept, table.layer))
    return embedded
