"""Presenter of symmetry tests, a result for each model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from platonic_jax.analyses import ImageDistances, OrbitSpread, Symmetry
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Table
from platonic_jax.report._texts import number, series

NAME = "symmetry"
SEVERAL = True  # A list of results, one for each model.
_MOST = 12  # Elements that the chart shows.
_LEAST = 1e-9  # Of a logarithmic axis.
_SPACES = {"raw": "the model's own space", "shared": "the shared space"}
_NAMED = 8  # Elements that the table names.


def title(results: Sequence[Symmetry]) -> str:
    """Return the heading."""
    return f"Invariance of {series([result.model for result in results])} under symmetry operations"


def intro(results: Sequence[Symmetry]) -> str:
    """Summarise the input in a sentence."""
    atoms = len(results[0].atoms["atom"])
    return (
        f"Changes of the embeddings of {atoms:,} atoms in rotated, reflected, translated, permuted and supercell "
        "copies of their structures."
    )


def verdict(results: Sequence[Symmetry]) -> list[str]:
    """Name the symmetries that each model breaks, a paragraph for each."""
    return [_model_verdict(result) for result in results]


def _model_verdict(result: Symmetry) -> str:
    name = f"{result.model} ({'random weights, ' if result.kind == 'random' else ''}layer {result.layer})"
    images = result.images["raw"]
    collapse = _collapse(result.orbits["raw"])
    if not result.broken:
        largest = max(entry.largest for entry in images.values())
        return (
            f"{name} is invariant under every symmetry tested, to numerical precision: no embedding changes by "
            f"more than {largest:.0e} of its norm (tolerance {result.noise['tolerance']:.0e}). {collapse}"
        )
    worst = max(result.broken, key=lambda kind: images[kind].largest)
    entry = images[worst]
    kept = [kind for kind in images if kind not in result.broken]
    against = (
        f", {_short(entry.median_against)} and {_short(entry.largest_against)} of the distance between "
        "distinct environments"
        if np.isfinite(entry.median_against)
        else ""
    )
    sentences = [
        f"{name} is not invariant under {_plural(result.broken)}{f', but under {_plural(kept)}' if kept else ''}.",
        f"Under a {worst} embeddings change by {_short(entry.median)} of their norm at the median, "
        f"{_short(entry.largest)} at most ({_atom(entry.worst)}){against}.",
        collapse,
        _advice(result.broken, images),
    ]
    return " ".join(sentences)


def _collapse(orbits: OrbitSpread) -> str:
    if not orbits.num_orbits:
        return "No structure has symmetry-equivalent atoms, so their agreement was not tested."
    number, collapsed = orbits.num_orbits, round(orbits.collapsed * orbits.num_orbits)
    if collapsed == number:
        return f"Symmetry-equivalent atoms coincide in all {number} orbits of several atoms."
    return (
        f"Symmetry-equivalent atoms coincide in {collapsed} of {number} orbits; the spread within an orbit is "
        f"{_short(orbits.ratio)} of that between orbits, largest in the orbit of {_atom(orbits.worst or {})}."
    )


def _advice(broken: list[str], images: Mapping[str, ImageDistances]) -> str:
    """Advise on each broken invariance."""
    sentences = []
    if {"translation", "permutation"} & set(broken):
        sentences.append(
            "Dependence on the origin or on the order of atoms means that rounding decides between equally distant "
            "neighbours (a fixed number of neighbours, or a sharp cutoff): smaller differences of embeddings are not "
            "meaningful."
        )
    if rotations := {"cube rotation", "rotation"} & set(broken):
        misassigned = max(images[kind].misassigned for kind in rotations)
        if misassigned > 0:
            sentences.append(
                f"{100 * misassigned:.0f} % of rotated atoms are displaced by more than half the distance to the "
                "nearest other environment."
            )
        sentences.append(
            "Embed with `--orbit-average` before comparing embeddings, or keep every crystal in the same orientation, "
            "and test the forces with `platonic phonons`."
        )
    elif "reflection" in broken:
        sentences.append(
            "It distinguishes mirror images, as SO(3)-equivariant networks do: atoms that are equivalent only by a "
            "mirror or an inversion have different embeddings. Rotating a crystal is safe, and `--orbit-average` "
            "would not help."
        )
    elif broken == ["supercell"]:
        sentences.append("It depends on the choice of the cell: compare it on primitive cells only.")
    return " ".join(sentences)


def _atom(where: Mapping[str, Any]) -> str:
    return f"{where['element']} {where['atom']} of {where['structure']}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value >= 0.01 else f"{value:.0e}"


def _plural(items: list[str]) -> str:
    return series([f"{item}s" for item in items])


def tables(results: Sequence[Symmetry]) -> list[Table]:
    """Copies and orbits, one row for each model and space; and the elements that move most."""
    kinds = list(results[0].images["raw"])
    images, orbits, elements = [], [], []
    for entry in results:
        for space in entry.images:
            by_kind = entry.images[space]
            cells = [
                f"{number(by_kind[kind].largest)} ({number(by_kind[kind].largest_against)})" if kind in by_kind else "–"
                for kind in kinds
            ]
            images.append((entry.model, space, *cells))
            orbit = entry.orbits[space]
            collapsed = f"{100 * orbit.collapsed:.0f} %" if orbit.num_orbits else "–"
            figures = (number(orbit.ratio), number(orbit.largest))
            orbits.append((entry.model, space, str(orbit.num_orbits), collapsed, *figures))
        parts = [
            f"{element}: {number(moved['median'])} ({number(moved['largest'])})"
            for element, moved in list(entry.elements.items())[:_NAMED]
        ]
        elements.append((entry.model, ", ".join(parts)))
    noise = results[0].noise
    return [
        Table(
            "Largest distance of an image to its atom, relative to its norm (to other environments)",
            ("model", "space", *kinds),
            images,
            words=(0, 1),
            caption=f"rounding of stored embeddings: {noise['storage']:.0e} of the norm; tolerance "
            f"{noise['tolerance']:.0e}",
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


def charts(results: Sequence[Symmetry]) -> list[Spec]:
    """Every kind of image, and the most sensitive elements."""
    noise = results[0].noise
    marks = {"tolerance": noise["tolerance"], "rounding of stored embeddings": noise["storage"]}
    specs = []
    for space, space_text in _SPACES.items():
        kinds = list(results[0].images[space])
        largest = [
            [entry.images[space][kind].largest if kind in entry.images[space] else None for kind in kinds]
            for entry in results
        ]
        caption = f"The largest distance of an image to its atom in {space_text}; zero is drawn at {_LEAST:.0e}."
        axis = f"distance in {space_text}, relative to the norm"
        specs.append(dots(caption, kinds, _series(results, largest), axis=axis, log=True, marks=marks))
    symbols = list(dict.fromkeys(symbol for entry in results for symbol in entry.elements))[:_MOST]
    largest = [[entry.elements.get(symbol, {}).get("largest") for symbol in symbols] for entry in results]
    caption = "The largest distance under rotations and reflections in the model's own space, by element."
    axis = f"distance in {_SPACES['raw']}, relative to the norm"
    if not symbols:
        return specs
    return [*specs, dots(caption, symbols, _series(results, largest), axis=axis, log=True, marks=marks)]


def _series(results: Sequence[Symmetry], values: Sequence[Sequence[float | None]]) -> list[Spec]:
    style = lambda result: "random" if result.kind == "random" else "model"
    shown = [[None if value is None else max(value, _LEAST) for value in row] for row in values]
    return [entries(result.model, row, style=style(result)) for result, row in zip(results, shown, strict=True)]
