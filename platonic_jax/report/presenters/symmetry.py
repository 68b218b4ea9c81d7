"""Symmetry: a result for each model."""

from collections.abc import Sequence

from platonic_jax.analyses import Symmetry
from platonic_jax.report import _charts
from platonic_jax.report._table import Table
from platonic_jax.report._texts import number

NAME = "symmetry"
_MOST = 12  # Elements that the chart shows.
_NAMED = 8  # Elements that the table names.
_TOLERANCE = {"tolerance": 1e-5}


def title(results: Sequence[Symmetry]) -> str:
    """Return the heading."""
    return (
        f"Invariance of {_named(results)} under symmetry operations"
        if len(results) > 1
        else f"Invariance of {_named(results)} under symmetry operations"
    )


def intro(results: Sequence[Symmetry]) -> str:
    """Summarise the input in a sentence."""
    atoms = len(results[0].atoms["atom"])
    return (
        f"Changes of the embeddings of {atoms:,} atoms in rotated, reflected, translated, permuted and supercell "
        "copies of their structures."
    )


def verdicts(results: Sequence[Symmetry]) -> list[str]:
    """A paragraph a model."""
    return [entry.verdict for entry in results]


def tables(results: Sequence[Symmetry]) -> list[Table]:
    """Copies and orbits, one row for each model and space; and the elements that move most."""
    kinds = list(results[0].images["raw"])
    images, orbits, elements = [], [], []
    for entry in results:
        for space in entry.images:
            by_kind = entry.images[space]
            cells = [
                f"{number(by_kind[kind]['largest'])} ({number(by_kind[kind]['largest_against'])})"
                if kind in by_kind
                else "–"
                for kind in kinds
            ]
            images.append((entry.model, space, *cells))
            orbit = entry.orbits[space]
            collapsed = f"{100 * orbit['collapsed']:.0f} %" if orbit["num_orbits"] else "–"
            figures = (number(orbit["ratio"]), number(orbit["largest"]))
            orbits.append((entry.model, space, str(orbit["num_orbits"]), collapsed, *figures))
        parts = [
            f"{element}: {number(moved['turned'])} ({number(moved['largest'])})"
            for element, moved in list(entry.elements.items())[:_NAMED]
        ]
        elements.append((entry.model, ", ".join(parts)))
    noise = results[0].noise["storage"]
    return [
        Table(
            "Largest distance of an image to its atom, relative to its norm (to other environments)",
            ("model", "space", *kinds),
            images,
            words=(0, 1),
            caption=f"rounding of stored embeddings: {noise:.0e} of the norm; tolerance 1e-05",
        ),
        Table(
            "Orbits of symmetry-equivalent atoms",
            ("model", "space", "orbits", "collapsed", "spread within / between", "largest distance"),
            orbits,
            words=(0, 1),
        ),
        Table(
            "Median distance of rotated atoms, relative to their norm, the most sensitive elements first",
            ("model", "element: median (largest)"),
            elements,
            words=(0, 1),
        ),
    ]


def charts(results: Sequence[Symmetry]) -> list[tuple[str, _charts.Spec]]:
    """Every kind of image, and the most sensitive elements."""
    kinds = list(results[0].images["raw"])
    symbols = list(dict.fromkeys(symbol for entry in results for symbol in entry.elements))[:_MOST]
    style = lambda entry: "random" if entry.kind == "random" else "model"
    return [
        (
            "The largest distance of an image to its atom in the model's own space; the dashed line is the tolerance.",
            _charts.dots(
                kinds,
                [
                    _charts.entries(
                        entry.model,
                        [entry.images["raw"].get(kind, {}).get("largest") for kind in kinds],
                        style=style(entry),
                    )
                    for entry in results
                ],
                axis="distance relative to the norm",
                log=True,
                marks=_TOLERANCE,
            ),
        ),
        (
            "The largest distance under rotations and reflections, by element.",
            _charts.dots(
                symbols,
                [
                    _charts.entries(
                        entry.model,
                        [entry.elements.get(symbol, {}).get("largest") for symbol in symbols],
                        style=style(entry),
                    )
                    for entry in results
                ],
                axis="distance relative to the norm",
                log=True,
                marks=_TOLERANCE,
            ),
        ),
    ]


def _named(results: Sequence[Symmetry]) -> str:
    *others, last = (entry.model for entry in results)
    return f"{', '.join(others)} and {last}" if others else last
