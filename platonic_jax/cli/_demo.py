"""`platonic demo`: embedding and comparison of three models on crystal prototypes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _comparison, _probes

if TYPE_CHECKING:
    from platonic_jax.analyses import Comparison

MODELS = ("7net-0", "7net-l3i5", "chgnet-0.3.0", "chgnet-r2scan", "random:7net-0?seed=0")
INPUT = "prototypes?max_atoms=20"
DESCRIPTION = (
    "Embed crystal prototypes of at most 20 atoms with four potentials and an untrained control "
    f"({', '.join(MODELS)}),\n"
    "compare them, and write a report. Existing stores are kept: the same command resumes where it stopped."
)
TASK, USAGE = "try an example", "demo"
EXAMPLES = "  platonic demo -o demo\n"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "-o",
        "--output",
        dest="folder",
        metavar="DIR",
        default="demo",
        help="folder of the report and the stores (default: demo)",
    )
    _arguments.add_json(parser)


def find(args: argparse.Namespace) -> "Comparison":
    """Embed and compare."""
    stores = [_probes.export(model, INPUT, Path(args.folder) / "stores") for model in MODELS]
    return _comparison.compared([(str(store), None) for store in stores], anchors="direct", k=100)
