"""Phonons of one crystal by one model."""

from platonic_jax.analyses import Phonons
from platonic_jax.report import _charts
from platonic_jax.report._table import Table
from platonic_jax.report._texts import number

NAME = "phonons"
_WAYS = ("rotated", "reflected", "shifted")
_HEADS = ("rotated", "reflected", "translated")
# What is told of each link of the chain, and its unit.
_LINKS = {
    "rows": ("largest", "of their norm, largest"),
    "forces": ("relative", "of their size"),
    "frequencies": ("largest", "THz, largest"),
}


def title(result: Phonons) -> str:
    """Return the heading."""
    return f"Phonons of {result.crystal['formula']} by {result.model}"


def intro(result: Phonons) -> str:
    """Summarise the input in a sentence."""
    reference = "without" if result.reference is None else "compared with"
    return f"Forces in displaced supercells and in rotated, reflected and translated copies, {reference} a reference."


def tables(result: Phonons) -> list[Table]:
    """The chain, and the figures of the phonons."""
    chain = [
        (
            f"{link}, {_LINKS[link][1]}",
            *(number(entry[way][_LINKS[link][0]]) for way in _WAYS),
            f"{entry['tolerance']:.0e}",
        )
        for link, entry in result.chain.items()
    ]
    return [
        Table("Changes under rotation, reflection and translation", ("", *_HEADS, "tolerance"), chain),
        Table("Phonons", ("figure", ""), _figures(result)),
    ]


def _figures(result: Phonons) -> list[tuple[str, str]]:
    rows = []
    if result.symmetry is not None and result.acoustic is not None:
        rows += [
            ("splitting of degenerate modes, THz", number(result.symmetry["splitting"])),
            ("symmetry-forbidden fraction of force constants", number(max(result.symmetry["asymmetry"]))),
            ("violation of the acoustic sum rule, eV/Å²", number(result.acoustic["violation"])),
        ]
    rows += [
        ("largest force on the perfect crystal, eV/Å", number(result.residual["largest"])),
        ("lowest frequency, THz", number(result.lowest["frequency"])),
    ]
    if result.reference is not None:
        rows.append(("lowest frequency of the reference, THz", number(result.reference["lowest"])))
        for name, label in (("plain", "without Born charges"), ("polar", "with Born charges")):
            error = result.reference[name]
            if error is not None:
                figures = f"{number(error.mean_absolute)} ({number(error.null)})"
                rows.append((f"mean absolute error {label}, THz (constant-mean baseline)", figures))
    return rows


def charts(result: Phonons) -> list[tuple[str, _charts.Spec]]:
    """Bands, beside those of the reference where there is one."""
    names = {"reference": "reference", "model": result.model}
    series = []
    for which in (which for which in names if which in result.bands):
        bands = result.bands[which]
        # One series for all branches: each goes back to the beginning, and a gap hides the way.
        x = [place for _ in bands.frequencies.T for place in (*bands.distances, None)]
        y = [frequency for branch in bands.frequencies.T for frequency in (*branch, None)]
        style = "baseline" if which == "reference" else "random" if result.kind == "random" else "model"
        series.append(_charts.curve(names[which], x, y, style=style))
    if not series:
        return []
    path = next(iter(result.bands.values()))
    return [
        (
            "Frequencies along the path of high symmetry; imaginary ones are drawn below zero.",
            _charts.lines(series, x="", y="frequency, THz", ticks=(path.ticks, path.labels)),
        )
    ]
