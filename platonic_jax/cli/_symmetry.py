"""`platonic symmetry`: invariance of a model's embeddings under rigid motions and crystal symmetry."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _probes

if TYPE_CHECKING:
    from platonic_jax.analyses import Symmetry

DESCRIPTION = (
    "Embed rotated, reflected, translated, permuted and supercell copies of structures, and measure how far each\n"
    "atom's embedding moves, relative to its norm and to the distance between distinct environments. Also test\n"
    "whether symmetry-equivalent atoms of a crystal have the same embedding."
)
TASK, USAGE = "test symmetry", "symmetry MODEL STRUCTURES"
EXAMPLES = """\
  platonic symmetry 7net-0 structures.extxyz
  platonic symmetry 7net-0 chgnet-0.3.0 "random:orb-v3-direct-20-omat?seed=0" structures.extxyz --json symmetry.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("models", metavar="MODEL", nargs="+", help="names of models, or random:NAME?seed=0")
    parser.add_argument(
        "structures", metavar="STRUCTURES", help="structures, in any format that `platonic embed` reads"
    )
    _arguments.add_count(parser, "--draws", default=4, what="number of random copies of each kind for each structure")
    parser.add_argument(
        "--tolerance",
        metavar="Å",
        type=float,
        default=0.01,
        help="tolerance of the symmetry search; positions within it are symmetrised (default: 0.01)",
    )
    _arguments.add_count(parser, "-k", default=100, what="number of anchors of the shared space")
    parser.add_argument(
        "--limit", metavar="N", type=_arguments.count, help="use the first N structures only (default: all)"
    )
    _probes.add_common(parser)


def find(args: argparse.Namespace) -> "list[Symmetry]":
    """Embed the symmetry-transformed copies with every model; one result for each."""
    from platonic_adapters.reading import read

    from platonic_jax import probes
    from platonic_jax.analyses import symmetry
    from platonic_jax.tables import load

    structures, _ = read(args.structures, limit=args.limit, duplicates="skip")
    copies = probes.images(structures, seed=args.seed, num_draws=args.draws, tolerance=args.tolerance)
    results = []
    with _probes.folder_of(args) as folder:
        for model in args.models:
            store = _probes.store_of(model, folder)
            _probes.embed(model, copies.structures, store, device=args.device, trust=args.trust)
            results.append(symmetry(load(store), copies, k=args.k, seed=args.seed))
    return results
