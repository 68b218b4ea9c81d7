"""`platonic stitch`: does one model's read-out understand another model's rows?"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_jax.cli import _print

if TYPE_CHECKING:
    from platonic_jax.studies import Stitching

DESCRIPTION = (
    "Map the rows of one model to the space of another, by maps fitted in several ways and by anchors alone, and judge "
    "them on\nchemical systems that were held out: what of the rows is missed, and how far the other model's own "
    "energy read-out is off\non them."
)
EXAMPLES = """\
  platonic stitch 7net-0.zarr 7net-l3i5.zarr
  platonic stitch 7net-0.zarr chgnet-0.3.0.zarr --control random.zarr --json stitching.json -o stitching/
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", metavar="FROM", help="a store of the model whose rows are mapped")
    parser.add_argument("target", metavar="TO", help="a store of the model whose read-out reads them")
    parser.add_argument(
        "--control",
        metavar="STORE",
        action="append",
        default=[],
        help="another source to be set beside FROM, such as a model with random weights",
    )
    parser.add_argument("--k", metavar="N", type=int, default=300, help="number of anchors (default: 300)")
    parser.add_argument(
        "--held-out",
        metavar="SHARE",
        type=float,
        default=0.3,
        help="share of the chemical systems that are judged (default: 0.3)",
    )
    parser.add_argument(
        "--limit", metavar="N", type=int, help="the first structures of each store alone (default: all)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="a folder for stitching.json and stitching.png")
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


def run(args: argparse.Namespace) -> int:
    """Read the stores, judge, and print."""
    from platonic_jax import tables
    from platonic_jax.studies import stitching

    source, target, *controls = (
        tables.load(path, limit=args.limit) for path in (args.source, args.target, *args.control)
    )
    found = stitching(source, target, controls=controls, k=args.k, held_out=args.held_out, seed=args.seed)
    if args.json:
        found.save(args.json)
    console = _print.console()
    console.print(_table(found))
    console.print(found.verdict, markup=False, highlight=False)
    if args.output:
        from platonic_jax import plots

        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        found.save(folder / "stitching.json")
        plots.save(plots.stitching(found), folder / "stitching.png")
        console.print(f"The figure is in {folder / 'stitching.png'}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _table(found: "Stitching") -> Any:
    """A row for each way to make the target's rows."""
    from rich.text import Text

    num = found.num
    table = _print.new_table(
        f"{found.source} → {found.target}: {num['judged']} atoms of {num['structures']} structures, {num['systems']} "
        "held-out chemical systems [95 % interval]"
    )
    table.add_column("rows")
    table.add_column("variance missed", justify="right", no_wrap=True)
    if found.read_out:
        for head in ("energy, MAE in meV/atom", "median", "RMSE"):
            table.add_column(head, justify="right", no_wrap=True)
    rows = dict(found.methods)
    rows |= {
        f"{name}, {method}": entry
        for name, methods in found.controls.items()
        for method, entry in methods.items()
        if method in (found.best, "zero-shot")
    }
    rows |= {f"{name} alone": entry for name, entry in found.baselines.items()}
    for name, entry in rows.items():
        cells = [_print.with_interval(entry["left"]) if "left" in entry else "–"]
        if found.read_out:
            cells += [_print.with_interval(_in_milli(entry[figure])) for figure in ("mae", "median", "rmse")]
        table.add_row(Text(name, style="bold" if name == found.best else ""), *cells)
    errors = ", ".join(f"{name.upper()} {_print.with_interval(entry)}" for name, entry in found.reconstruction.items())
    table.caption = f"{errors}; {found.settings['k']} anchors"
    return table


def _in_milli(entry: Mapping[str, float]) -> dict[str, float]:
    return {name: 1000 * value for name, value in entry.items()}
