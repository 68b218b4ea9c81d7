"""What fine-tuning has done to a model."""

from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import number
from platonic_jax.studies import Drift

NAME = "drift"
_MOST = 15  # Elements that are shown.


def title(found: Drift) -> str:
    """The heading."""
    return f"How far has {found.after} moved from {found.before}?"


def intro(found: Drift) -> str:
    """What was looked at."""
    all_atoms = found.overall
    return (
        f"{all_atoms['num_atoms']:,} atoms of {all_atoms['num_structures']:,} structures, in the space of the same "
        f"anchors; noise is {found.null['kind']}."
    )


def tables(found: Drift) -> list[Table]:
    """All atoms, those of elements not fine-tuned on, and the elements that moved farthest."""
    entries = {"all": found.overall} | ({"not fine-tuned on": found.unseen} if found.unseen else {})
    entries |= {_named(found, symbol): found.elements[symbol] for symbol in list(found.elements)[:_MOST]}
    rows = []
    for name, entry in entries.items():
        cells = [
            name,
            str(entry["num_atoms"]),
            with_interval(entry["displacement"]),
            number(entry["displacement"]["null"]),
            number(entry["p_value"]),
            *(with_interval(entry[measure]) for measure in ("procrustes", "mutual_knn")),
        ]
        if found.energy:
            energy = found.energy["change"]["elements"].get(name.split()[0])
            cells.append("–" if energy is None else number(energy))
        rows.append(cells)
    heads = ("number", "displacement", "by noise", "p", "Procrustes", "mutual neighbours")
    more = len(found.elements) - _MOST
    return [
        Table(
            "Displacement, in distances between neighbouring environments, and what is left of the geometry [95 % "
            "interval]",
            ("atoms", *heads, *(["energy, eV/atom"] if found.energy else [])),
            rows,
            caption=f"{more} more elements moved less" if more > 0 else "",
        )
    ]


def charts(found: Drift) -> list[tuple[str, _charts.Spec]]:
    """Elements, those that moved farthest first, beside what noise moves them by."""
    symbols = list(found.elements)[:_MOST]
    told = {True: "fine-tuned on", False: "not fine-tuned on", None: "displacement"}
    series = [
        _charts.entries(
            told[seen],
            [
                found.elements[symbol]["displacement"] if found.elements[symbol]["seen"] is seen else None
                for symbol in symbols
            ],
            style="random" if seen else "model",
        )
        for seen in told
        if any(found.elements[symbol]["seen"] is seen for symbol in symbols)
    ]
    noise = [found.elements[symbol]["displacement"]["null"] for symbol in symbols]
    series.append(_charts.entries("by noise", noise, style="null"))
    axis = "displacement, in distances between neighbouring environments"
    return [("The elements that moved farthest.", _charts.dots(symbols, series, axis=axis))]


def _named(found: Drift, symbol: str) -> str:
    return f"{symbol} (fine-tuned on)" if found.elements[symbol]["seen"] else symbol
