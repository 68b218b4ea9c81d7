"""`platonic symmetry`: does a model keep the symmetries of space, and those of the crystal?"""

import argparse
from typing import Any

from platonic_jax._files import replacing
from platonic_jax.cli import _print, _probes

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
    parser.add_argument(
        "--draws", metavar="N", type=int, default=4, help="random images of each kind of each structure (default: 4)"
    )
    parser.add_argument(
        "--tolerance",
        metavar="Å",
        type=float,
        default=0.01,
        help="by which positions may fail a symmetry of the crystal; they are then corrected (default: 0.01)",
    )
    parser.add_argument("-k", metavar="K", type=int, default=100, help="anchors of the shared space (default: 100)")
    parser.add_argument("--limit", metavar="N", type=int, help="the first structures alone (default: all)")
    _probes.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Embed the images with every model, judge, and print."""
    import json

    from platonic_adapters.structures import read

    from platonic_jax import probes
    from platonic_jax.studies import symmetry
    from platonic_jax.tables import load

    structures, _ = read(args.structures, limit=args.limit, duplicates="skip")
    made = probes.images(structures, seed=args.seed, num_draws=args.draws, tolerance=args.tolerance)
    found = []
    with _probes.folder_of(args) as folder:
        for model in args.models:
            store = _probes.store_of(model, folder)
            if code := _probes.embed(model, made.structures, store, args=args):
                return code
            found.append(symmetry(load(store), made, k=args.k, seed=args.seed))
    console = _print.console()
    for table in _tables(found):
        console.print(table)
    for entry in found:
        console.print(entry.verdict, markup=False, highlight=False)
    if args.json:
        with replacing(args.json) as partial:
            partial.write_text(json.dumps([entry.to_json() for entry in found], indent=1, allow_nan=False) + "\n")
    return 0


def _tables(found: list[Any]) -> list[Any]:
    """Images and orbits, a row for each model and space; and the elements that move most."""
    from rich.text import Text

    from platonic_jax import report

    images = _print.new_table("Largest distance of an image to its atom, in parts of its norm (of other environments)")
    orbits = _print.new_table("Orbits of equivalent atoms")
    elements = _print.new_table(
        "Median distance of turned atoms, in parts of their norm, the most sensitive elements first"
    )
    images.add_column("model")
    images.add_column("space")
    kinds = list(found[0].images["raw"])
    for kind in kinds:
        images.add_column(kind, justify="right")
    for head in ("model", "space"):
        orbits.add_column(head)
    for head in ("orbits", "collapsed", "within over between", "largest distance"):
        orbits.add_column(head, justify="right")
    elements.add_column("model")
    elements.add_column("element: median (largest)")
    for entry in found:
        for space in entry.images:
            cells = [
                f"{report.number(kind['largest'])} ({report.number(kind['largest_against'])})"
                for kind in (entry.images[space].get(name) for name in kinds)
                if kind
            ]
            images.add_row(Text(entry.model), space, *cells)
            orbit = entry.orbits[space]
            orbits.add_row(
                Text(entry.model),
                space,
                str(orbit["num_orbits"]),
                f"{100 * orbit['collapsed']:.0f} %" if orbit["num_orbits"] else "–",
                report.number(orbit["ratio"]),
                report.number(orbit["largest"]),
            )
        told = [
            f"{element}: {report.number(moved['turned'])} ({report.number(moved['largest'])})"
            for element, moved in list(entry.elements.items())[:8]
        ]
        elements.add_row(Text(entry.model), ", ".join(told))
    noise = found[0].noise
    images.caption = f"read against rounding: {noise['storage']:.0e} of the norm for a stored row; tolerance 1e-05"
    return [images, orbits, elements]
