"""`platonic arithmetic analogies`: analogies between crystals of one prototype."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _crystals

if TYPE_CHECKING:
    from platonic_jax.analyses import Analogies

DESCRIPTION = "Count how often the crystal nearest to A₁C − A₁B + A₂B is A₂C, compared with the composition alone."
TASK, USAGE = "test analogies", "arithmetic analogies A.zarr"
EXAMPLES = "  platonic arithmetic analogies a.zarr random.zarr --json analogies.json\n"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _crystals.add_common(parser)


def find(args: argparse.Namespace) -> "Analogies":
    """Read the stores and answer the analogies."""
    from platonic_jax import analyses

    return analyses.analogies(_crystals.load(args), **_crystals.settings(args))
