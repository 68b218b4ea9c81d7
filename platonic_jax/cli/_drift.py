"""`platonic drift`: what has fine-tuning done to a model?"""

import argparse
from typing import TYPE_CHECKING, Any

from platonic_jax.cli import _print

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
_MOST = 15  # Elements that are shown.


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
    parser.add_argument("--k", metavar="N", type=int, default=100, help="number of anchors (default: 100)")
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON, with every atom")


def run(args: argparse.Namespace) -> int:
    """Read, judge, and print."""
    from platonic_jax import tables
    from platonic_jax.studies import drift

    before = tables.load(args.before)
    found = drift(
        before,
        tables.load(args.after),
        repeats=[tables.load(path) for path in args.repeat],
        reseeded=[tables.load(path) for path in args.reseeded],
        seen=[symbol for symbol in args.seen.split(",") if symbol],
        labels=tables.read_labels(args.labels, before) if args.labels else None,
        k=args.k,
        seed=args.seed,
    )
    if args.json:
        found.save(args.json)
    console = _print.console()
    console.print(_table(found))
    console.print(found.verdict, markup=False, highlight=False)
    return 0


def _table(found: "Drift") -> Any:
    """All atoms, those of elements not fine-tuned on, and the elements that moved farthest."""
    from rich.text import Text

    from platonic_jax import report

    table = _print.new_table(
        "Displacement, in distances between neighbouring environments, and what is left of the geometry [95 % interval]"
    )
    table.add_column("atoms")
    for head in ("number", "displacement", "by noise", "p", "Procrustes", "mutual neighbours"):
        table.add_column(head, justify="right", no_wrap=True)
    if found.energy:
        table.add_column("energy, eV/atom", justify="right", no_wrap=True)
    rows = {"all": found.overall} | ({"not fine-tuned on": found.unseen} if found.unseen else {})
    rows |= {
        f"{symbol} (fine-tuned on)" if entry["seen"] else symbol: entry
        for symbol, entry in list(found.elements.items())[:_MOST]
    }
    for name, entry in rows.items():
        energy = found.energy["change"]["elements"].get(name.split()[0]) if found.energy else None
        table.add_row(
            Text(name),
            str(entry["num_atoms"]),
            _print.with_interval(entry["displacement"]),
            report.number(entry["displacement"]["null"]),
            report.number(entry["p_value"]),
            *(_print.with_interval(entry[measure]) for measure in ("procrustes", "mutual_knn")),
            *([] if not found.energy else ["–" if energy is None else report.number(energy)]),
        )
    if len(found.elements) > _MOST:
        table.caption = f"{len(found.elements) - _MOST} more elements moved less"
    return table
