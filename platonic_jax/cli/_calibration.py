"""`platonic calibrate`: does the geometry of a model's rows tell where it errs?"""

import argparse
from typing import TYPE_CHECKING, Any

from platonic_jax.cli import _print

if TYPE_CHECKING:
    from platonic_jax.studies import Calibration

DESCRIPTION = (
    "Set scores beside the errors of models on structures whose forces are known: the disagreement of neighbourhoods "
    "between\nmodels, and the distance from a reference, against what needs no geometry, the size of the force and its "
    "spread between models."
)
EXAMPLES = """\
  platonic calibrate a.zarr b.zarr --labels dft.extxyz
  platonic calibrate a.zarr b.zarr --labels dft.extxyz --reference mp20-a.zarr --reference mp20-b.zarr
"""
_HEADS = {"atoms": "force error of atoms", "within": "within each element", "structures": "energy error of structures"}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "stores", metavar="STORE", nargs="+", help="stores made by `platonic embed … --properties energy,forces`"
    )
    parser.add_argument(
        "--labels", metavar="FILE", required=True, help="the file that was embedded, with the true energies and forces"
    )
    parser.add_argument(
        "--reference",
        metavar="STORE",
        action="append",
        help="a store of one of the models on structures that it knows, such as relaxed crystals, once a model: adds "
        "typicality as a score, and the distance in composition as a baseline",
    )
    parser.add_argument(
        "--num-bootstraps", metavar="N", type=int, default=200, help="draws of each interval (default: 200)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


def run(args: argparse.Namespace) -> int:
    """Read, judge, and print."""
    from platonic_jax import tables
    from platonic_jax.studies import calibration, typicality

    loaded = [tables.load(path) for path in args.stores]
    loaded = tables.pair(*loaded) if len(loaded) > 1 else loaded
    labels = tables.read_labels(args.labels, loaded[0])
    scores, reference = {}, None
    if args.reference:
        known = [tables.load(path) for path in args.reference]
        reference = known[0]
        with _print.progress_bar() as progress:
            judged = typicality(
                {"reference": known},
                {"these": loaded},
                seed=args.seed,
                progress=progress,
            )
        against = judged.queries["these"].against["reference"]
        scores["typicality"] = {model: against[model].atom_score for model in judged.models}
    found = calibration(
        loaded, labels, scores=scores, reference=reference, num_bootstraps=args.num_bootstraps, seed=args.seed
    )
    if args.json:
        found.save(args.json)
    console = _print.console()
    for table in _tables(found):
        console.print(table)
    console.print(found.verdict, markup=False, highlight=False)
    return 0


def _tables(found: "Calibration") -> list[Any]:
    """One table a model: a row for each score."""
    from rich.text import Text

    made = []
    for model, scores in found.scores.items():
        errors = found.errors[model]["force"]
        table = _print.new_table(
            f"{model}: rank correlation with its errors, AUROC of the worst tenth [95 % interval]; mean force error "
            f"{errors['mean']:.3f} eV/Å on {found.num_atoms} atoms"
        )
        table.add_column("score")
        shown = [place for place in _HEADS if any(place in entry for entry in scores.values())]
        for place in shown:
            table.add_column(_HEADS[place], justify="right")
        table.add_column("beyond the size of the force", justify="right")
        for score, entry in scores.items():
            cells = [_cell(entry[place]) if place in entry else "–" for place in shown]
            beyond = entry.get("within", {}).get("beyond_force_size")
            name = f"{score} (baseline)" if score in found.baselines else score
            table.add_row(Text(name), *cells, _print.with_interval(beyond) if beyond else "–")
        made.append(table)
    return made


def _cell(entry: Any) -> str:
    from platonic_jax import report

    return f"{_print.with_interval(entry['rank_correlation'])}, {report.number(entry['worst_auroc']['value'])}"
