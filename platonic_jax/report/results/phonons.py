"""Phonons of one crystal by one model."""

from platonic_jax.report import _charts
from platonic_jax.report._table import Table
from platonic_jax.report._texts import number
from platonic_jax.studies import Phonons

NAME = "phonons"
_WAYS = ("rotated", "reflected", "shifted")
# What is told of each link of the chain, and its unit.
_LINKS = {
    "rows": ("largest", "of their norm, largest"),
    "forces": ("relative", "of their size"),
    "frequencies": ("largest", "THz, largest"),
}


def title(found: Phonons) -> str:
    """The heading."""
    return f"Phonons of {found.crystal['formula']} by {found.model}"


def intro(found: Phonons) -> str:
    """What was looked at."""
    beside = "without a reference" if found.reference is None else "beside those of a reference in the same supercells"
    return f"Forces in displaced supercells, and in these turned, reflected and shifted, {beside}."


def tables(found: Phonons) -> list[Table]:
    """The chain, and the figures of the phonons."""
    chain = [
        (
            f"{link}, {_LINKS[link][1]}",
            *(number(entry[way][_LINKS[link][0]]) for way in _WAYS),
            f"{entry['tolerance']:.0e}",
        )
        for link, entry in found.chain.items()
    ]
    return [
        Table(
            "What changes where the crystal is rotated, reflected, or only shifted", ("", *_WAYS, "tolerance"), chain
        ),
        Table("Phonons", ("figure", ""), _figures(found)),
    ]


def _figures(found: Phonons) -> list[tuple[str, str]]:
    rows = []
    if found.symmetry is not None and found.acoustic is not None:
        rows += [
            ("splitting of degenerate modes, THz", number(found.symmetry["splitting"])),
            ("part of force constants that symmetry forbids", number(max(found.symmetry["asymmetry"]))),
            ("acoustic sum rule violated by, eV/Å²", number(found.acoustic["violation"])),
        ]
    rows += [
        ("largest force on the perfect crystal, eV/Å", number(found.residual["largest"])),
        ("lowest frequency, THz", number(found.lowest["frequency"])),
    ]
    if found.reference is not None:
        rows.append(("lowest frequency of the reference, THz", number(found.reference["lowest"])))
        for name, told in (("plain", "without Born charges"), ("polar", "with Born charges")):
            error = found.reference[name]
            if error is not None:
                figures = f"{number(error.mean_absolute)} ({number(error.null)})"
                rows.append((f"mean absolute error {told}, THz (knowing the mean alone)", figures))
    return rows


def charts(found: Phonons) -> list[tuple[str, _charts.Spec]]:
    """Bands, beside those of the reference where there is one."""
    names = {"reference": "reference", "model": found.model}
    series = []
    for which in (which for which in names if which in found.bands):
        bands = found.bands[which]
        # One series for all branches: each goes back to the beginning, and a gap hides the way.
        x = [place for _ in bands.frequencies.T for place in (*bands.distances, None)]
        y = [frequency for branch in bands.frequencies.T for frequency in (*branch, None)]
        style = "baseline" if which == "reference" else "random" if found.kind == "random" else "model"
        series.append(_charts.curve(names[which], x, y, style=style))
    if not series:
        return []
    path = next(iter(found.bands.values()))
    return [
        (
            "Frequencies along the path of high symmetry; imaginary ones are drawn below zero.",
            _charts.lines(series, x="", y="frequency, THz", ticks=(path.ticks, path.labels)),
        )
    ]
