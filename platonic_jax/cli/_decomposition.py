"""`platonic decompose`: factors that explain the agreement between models."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments

if TYPE_CHECKING:
    from platonic_jax.analyses import Decomposition

DESCRIPTION = (
    "Explain the agreement between models, beyond its permutation null, by what they share: training data,\n"
    "functional, network, features, supervision. Regression over pairs of models, tested by permuting models."
)
TASK, USAGE = "explain agreement", "decompose compare.json -o report/"
EXAMPLES = (
    "  platonic decompose compare.json -o decomposition/\n"
    "  platonic decompose compare.json --factors my_factors.csv --measures procrustes,mutual_knn\n"
)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "comparison", metavar="COMPARISON", help="JSON of `platonic compare`, of five or more trained models"
    )
    parser.add_argument(
        "--factors",
        metavar="NAMES|FILE",
        help="factors, separated by commas, among training_data, functional, network, features, supervision and "
        "body_order (default: the first five); or a CSV file with a column `model` and one for each factor",
    )
    parser.add_argument(
        "--measures", metavar="NAMES", type=_arguments.names, help="measures of the comparison (default: all)"
    )
    _arguments.add_count(parser, "--permutations", default=4999, what="number of permutations of the models")
    _arguments.add_seed(parser)
    _arguments.add_report(parser)


def find(args: argparse.Namespace) -> "Decomposition":
    """Read the comparison and decompose it."""
    from platonic_jax import analyses

    comparison = analyses.Comparison.load(args.comparison)
    more = {}
    if args.factors:
        is_file = Path(args.factors).suffix == ".csv"
        more["factors"] = analyses.read_factors(args.factors) if is_file else _arguments.names(args.factors)
    return analyses.decomposition(
        comparison, measures=args.measures, num_permutations=args.permutations, seed=args.seed, **more
    )
