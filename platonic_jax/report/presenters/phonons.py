"""Phonons of one crystal by one model."""

import numpy as np

from platonic_jax.analyses import Phonons
from platonic_jax.charts import Spec, curve, lines
from platonic_jax.report._table import Table
from platonic_jax.report._texts import number

NAME = "phonons"
_RESIDUAL = 0.01  # eV/Å, to which crystals are commonly relaxed.
_WAYS = ("rotated", "reflected", "shifted")
_HEADS = ("rotated", "reflected", "translated")
# The figure that is shown of each link of the chain, and its unit.
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


def verdict(result: Phonons) -> list[str]:
    """Summarise invariance, splitting, stability and errors of the phonons."""
    sentences = [_orientation(result), _split(result), _rest(result), _stability(result), _error(result)]
    return [" ".join(sentence for sentence in sentences if sentence)]


def _orientation(result: Phonons) -> str:
    broken = result.chain["frequencies"]["broken"]
    who = f"{result.model}{' (random weights)' if result.kind == 'random' else ''}, {result.crystal['formula']}:"
    translated = f"under translation alone: {_changes(result, 'shifted')}"
    if not broken:
        return (
            f"{who} the phonons do not depend on the orientation of the crystal. Changes under rotation: "
            f"{_changes(result, 'rotated')} ({translated})."
        )
    worst = max(broken, key=lambda way: result.chain["frequencies"][way]["largest"])
    advice = (
        "Even a translation changes them: the forces are not smooth, and smaller frequency differences are not "
        "meaningful."
        if "shifted" in broken
        else "Average the forces over rotations and reflections, or do not interpret smaller differences."
    )
    ways = dict(zip(_WAYS, _HEADS, strict=True))
    return (
        f"{who} the phonons change if the crystal is {', '.join(ways[way] for way in broken)}. "
        f"{ways[worst].capitalize()}: {_changes(result, worst)} ({translated}). {advice}"
    )


def _changes(result: Phonons, way: str) -> str:
    embeddings, forces, frequencies = (result.chain[link][way][_LINKS[link][0]] for link in _LINKS)
    return f"embeddings {embeddings:.0e} of their norm, forces {forces:.0e}, frequencies at most {frequencies:.4f} THz"


def _split(result: Phonons) -> str:
    symmetry = result.symmetry
    if symmetry is None or not symmetry["num_sets"]:
        return "Splitting of degenerate modes was not tested."
    if symmetry["splitting"] <= result.chain["frequencies"]["tolerance"]:
        return f"Degenerate modes split by at most {symmetry['splitting']:.3f} THz."
    worst = symmetry["worst"]
    return (
        f"Symmetry-degenerate modes split by up to {symmetry['splitting']:.3f} THz (at "
        f"{symmetry['frequency']:.2f} THz); the largest symmetry-forbidden fraction of force constants is "
        f"{worst['asymmetry']:.2g}, at {worst['element']} {worst['atom']}."
    )


def _rest(result: Phonons) -> str:
    residual = result.residual
    if residual["largest"] <= _RESIDUAL:
        return ""
    return (
        f"The crystal is not at rest in this model: a force of {residual['largest']:.2f} eV/Å acts on "
        f"{residual['element']} {residual['atom']} of the supercell. Relax it with the model first for the phonons "
        "of the model's own minimum."
    )


def _stability(result: Phonons) -> str:
    lowest, reference = result.lowest, result.reference
    dft = ""
    if reference is not None:
        extent = f"has them, down to {reference.lowest:.2f} THz" if reference.imaginary else "has none"
        dft = f"; DFT {extent}"
    if not lowest["imaginary"]:
        return f"There are no imaginary modes{dft}."
    atom, point = int(np.argmax(lowest["share"])), ", ".join(f"{coordinate:.2g}" for coordinate in lowest["qpoint"])
    return (
        f"There are imaginary modes, down to {lowest['frequency']:.2f} THz at q = ({point}), mostly of "
        f"{result.crystal['elements'][atom]} {atom}{dft}."
    )


def _error(result: Phonons) -> str:
    reference = result.reference
    if reference is None:
        return "Without a reference, the frequency error is unknown."
    difference = reference.polar or reference.plain
    atom = int(np.argmax(reference.constants))
    way = "softer" if difference.slope < 1 else "stiffer"
    factor = (
        f"; rescaled by this factor, the MAE is {difference.rescaled:.2f} THz"
        if difference.rescaled < difference.mean_absolute
        else ""
    )
    return (
        f"Frequency MAE against DFT: {difference.mean_absolute:.2f} THz (constant-mean baseline: "
        f"{difference.null:.2f} THz). Frequencies are {100 * abs(1 - difference.slope):.0f} % {way}{factor}. The "
        f"largest relative error of force constants is {100 * reference.constants[atom]:.0f} %, at "
        f"{result.crystal['elements'][atom]} {atom}."
    )


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
        rows.append(("lowest frequency of the reference, THz", number(result.reference.lowest)))
        errors = {"without Born charges": result.reference.plain, "with Born charges": result.reference.polar}
        for label, error in errors.items():
            if error is not None:
                figures = f"{number(error.mean_absolute)} ({number(error.null)})"
                rows.append((f"mean absolute error {label}, THz (constant-mean baseline)", figures))
    return rows


def charts(result: Phonons) -> list[Spec]:
    """Bands, beside those of the reference where there is one."""
    names = {"reference": "reference", "model": result.model}
    series = []
    for which in (which for which in names if which in result.bands):
        bands = result.bands[which]
        # One series for all branches: each goes back to the beginning, and a gap hides the way.
        x = [place for _ in bands.frequencies.T for place in (*bands.distances, None)]
        y = [frequency for branch in bands.frequencies.T for frequency in (*branch, None)]
        style = "baseline" if which == "reference" else "random" if result.kind == "random" else "model"
        series.append(curve(names[which], x, y, style=style))
    if not series:
        return []
    path = next(iter(result.bands.values()))
    caption = (
        f"{result.crystal['formula']} by {result.model}: frequencies along the path of high symmetry; imaginary ones "
        "are drawn below zero."
    )
    return [lines(caption, series, x="", y="frequency, THz", ticks=(path.ticks, path.labels), marks=[{"y": 0.0}])]
