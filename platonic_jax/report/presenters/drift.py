"""Displacement of a model's embeddings by training."""

from platonic_jax.analyses import Drift
from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import number

NAME = "drift"
_MOST = 15  # Elements that are shown.
_AXIS = "displacement, in distances between distinct environments"


def title(result: Drift) -> str:
    """Return the heading."""
    return f"Displacement from {result.before} to {result.after}"


def intro(result: Drift) -> str:
    """Summarise the input in a sentence."""
    all_atoms = result.overall
    floors = ", ".join(
        name if floor["noise"] is None else f"{name} ({floor['noise']:.0e} of an embedding)"
        for name, floor in result.floors.items()
    )
    return (
        f"{all_atoms['num_atoms']:,} atoms of {all_atoms['num_structures']:,} structures, in the shared "
        f"space; numerical floors: {floors}. Lineage of the two models: {result.settings['checked']}."
    )


def tables(result: Drift) -> list[Table]:
    """All atoms, those of elements not fine-tuned on, and the elements that moved farthest; and noise alone."""
    entries = {"all": result.overall} | ({"not fine-tuned on": result.unseen} if result.unseen else {})
    entries |= {_named(result, symbol): result.elements[symbol] for symbol in list(result.elements)[:_MOST]}
    rows = []
    for name, entry in entries.items():
        cells = [
            name,
            str(entry["num_atoms"]),
            with_interval(entry["displacement"]),
            number(max(entry["displacement"]["floors"].values())),
            *([with_interval(entry["over_runs"])] if result.runs else []),
            *(with_interval(entry[measure]) for measure in ("procrustes", "mutual_knn")),
        ]
        if result.energy:
            energy = result.energy["change"]["elements"].get(name.split()[0])
            cells.append("–" if energy is None else number(energy))
        rows.append(cells)
    heads = (
        *("number", "displacement", "largest floor"),
        *(["mean over runs"] if result.runs else []),
        *("Procrustes", "mutual neighbours"),
        *(["energy, eV/atom"] if result.energy else []),
    )
    more = len(result.elements) - _MOST
    floors = [
        (name, *(number(result.overall[measure]["floors"][name]) for measure in _MEASURES)) for name in result.floors
    ]
    all_tables = [
        Table(
            "Displacement, in median distances between distinct environments, and similarity [95 % CI]",
            ("atoms", *heads),
            rows,
            caption=f"{more} more elements are displaced less" if more > 0 else "",
        ),
        Table("Numerical noise alone, all atoms", ("noise", "displacement", "Procrustes", "mutual neighbours"), floors),
    ]
    if result.runs:
        all_tables.append(_runs(result))
    return all_tables


_MEASURES = ("displacement", "procrustes", "mutual_knn")


def _runs(result: Drift) -> Table:
    runs = result.runs
    cells = [
        "not testable" if runs[name] is None else number(runs[name]) for name in ("p_value", "p_value_of_this_run")
    ]
    return Table(
        f"{runs['num']} runs of training",
        ("mean displacement [95 % CI]", "between two runs", f"p of {result.before}", f"p of {result.after}"),
        [(with_interval(result.overall["over_runs"]), number(runs["spread"]), *cells)],
        words=(),
        caption=f"p of being farther from the runs than the runs are from each other; the smallest possible value is "
        f"{runs['least_p_value']:.2g}",
    )


def charts(result: Drift) -> list[tuple[str, _charts.Spec]]:
    """Elements, those that moved farthest first, beside what noise moves them by."""
    symbols = list(result.elements)[:_MOST]
    labels = {True: "fine-tuned on", False: "not fine-tuned on", None: "displacement"}
    series = [
        _charts.entries(
            labels[seen],
            [
                result.elements[symbol]["displacement"] if result.elements[symbol]["seen"] is seen else None
                for symbol in symbols
            ],
            style="random" if seen else "model",
        )
        for seen in labels
        if any(result.elements[symbol]["seen"] is seen for symbol in symbols)
    ]
    floor = [max(result.elements[symbol]["displacement"]["floors"].values()) for symbol in symbols]
    series.append(_charts.entries("largest numerical floor", floor, style="null"))
    return [("The elements displaced most.", _charts.dots(symbols, series, axis=_AXIS))]


def _named(result: Drift, symbol: str) -> str:
    return f"{symbol} (fine-tuned on)" if result.elements[symbol]["seen"] else symbol
