"""`platonic symmetry`: invariance of a model's embeddings under rigid motions and crystal symmetry."""

import argparse
from typing import TYPE_CHECKING

from platonic_jax.cli import _arguments, _probes

if TYPE_CHECKING:
    from platonic_jax.studies import Symmetry

DESCRIPTION = (
    "Turn, reflect, shift, reorder and repeat structures, embed all of them, and see how far each atom moves from "
    "itself: in\nparts of its norm, and of the distance between atoms that truly differ. See also whether atoms that "
    "the symmetry of the\ncrystal makes equivalent coincide."
)
EXAMPLES = """\
  platonic symmetry 7net-0 structures.extxyz
  platonic symmetry 7net-0 chgnet-0.3.0 "random:orb-v3-direct-20-omat?seed=0" structures.extxyz --json symmetry.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("models", metavar="MODEL", nargs="+", help="models, or random:NAME?seed=0")
    parser.add_argument("structures", metavar="STRUCTURES", help="anything that `platonic embed` takes")
    _arguments.add_count(parser, "--draws", default=4, what="random images of each kind of each structure")
    parser.add_argument(
        "--tolerance",
        metavar="Å",
        type=float,
        default=0.01,
        help="by which positions may fail a symmetry of the crystal; they are then corrected (default: 0.01)",
    )
    _arguments.add_count(parser, "-k", default=100, what="anchors of the shared space")
    parser.add_argument("--limit", metavar="N", type=_arguments.count, help="the first structures alone (default: all)")
    _probes.add_common(parser)


def find(args: argparse.Namespace) -> "list[Symmetry]":
    """Embed the symmetry-transformed copies with every model; one result for each."""
    from platonic_adapters.reading import read

    from platonic_jax import probes
    from platonic_jax.studies import symmetry
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
