"""Atoms of a comparison on the page: maps with their selection, elements, and anchors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from pymatgen.core import Element

from platonic_jax import _html, plots
from platonic_jax.analyses import Comparison, arrangement
from platonic_jax.report import _comparison_data, _structures, _texts
from platonic_jax.report._texts import many

__all__ = ["anchors", "elements", "label", "maps", "pick"]

_LIGHTEST, _HEAVIEST = 1, 118
# An eye, open and shut by style alone.
_EYE = (
    '<svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2">'
    '<path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12Z"/><circle cx="12" cy="12" r="3"/><path class="bar" '
    'd="M4 20 20 4"/></svg>'
)


def label(comparison: Comparison, i: int) -> str:
    """A model's name; untrained controls and baselines carry a tag."""
    tag = {"random": "control", "element": "baseline"}.get(comparison.kinds[i])
    return _html.text(arrangement.labels(comparison)[i]) + (f' <span class="tag">{tag}</span>' if tag else "")


def pick(word: str, content: str, *, kind: str = "pick") -> str:
    """A button that picks atoms in every map, as `maps.js` reads its word."""
    return (
        f'<button type="button" class="{kind}" data-pick="{_html.text(word)}" aria-pressed="false">{content}</button>'
    )


def maps(comparison: Comparison) -> str:
    """Maps of every model's atoms in its own and in the shared space, with their selection, filters and colours."""
    shown, total = len(comparison.rows), len(comparison.species)
    thinned = (
        f"<p>The maps show {shown:,} of the {total:,} atoms: whole structures, drawn at random. Axes and neighbours "
        "are those of all atoms.</p>"
        if shown < total
        else ""
    )
    models = "".join(
        f'<div class="model"><h3>{label(comparison, i)}</h3><div class="two">'
        + "".join(
            f"<figure><figcaption>{caption}{_outside(comparison.maps[i][space])}</figcaption>"
            f'<div data-figure="map" data-model="{i}" data-space="{space}" data-name="{space}"></div></figure>'
            for space, caption in (("raw", "its own space"), ("shared", "the shared space"))
        )
        + "</div></div>"
        for i in arrangement.mapped(comparison)
    )
    return (
        "<p>Every point is an atom, placed by the first two principal components of its embedding. In its own space a "
        "model's axes are arbitrary; in the shared space every axis is built on the same anchor atoms. "
        "Compare arrangements, not orientations.</p>"
        "<p>Point at an atom to see what it is; click it to keep it, with its nearest neighbours ringed in every map. "
        "Or pick a group, an element, a structure: it stays bright in every map, and all else is dimmed.</p>"
        f'{thinned}<div class="groups"><div class="controls">{_search()}{_colours(comparison)}</div>{_key(comparison)}'
        f'</div>{models}<div id="viewer"><p class="muted">{_html.text(_structures.note(comparison))}</p></div>'
    )


def _search() -> str:
    return (
        '<div class="find"><label for="find">Find</label><input id="find" type="search" role="combobox" '
        'autocomplete="off" spellcheck="false" placeholder="element, formula or id" aria-autocomplete="list" '
        'aria-expanded="false" aria-controls="found"><ul id="found" role="listbox" aria-label="Found" hidden></ul>'
        "</div>"
    )


def _colours(comparison: Comparison) -> str:
    names = _comparison_data.values(comparison)
    if not names:
        return ""
    options = "".join(f"<option>{_html.text(name)}</option>" for name in names)
    return (
        '<div><label for="colour-by">Colour by</label> <select id="colour-by"><option value="">chemical group'
        f'</option>{options}</select></div><div id="scale" hidden></div>'
    )


def _key(comparison: Comparison) -> str:
    members = np.bincount(plots.element_groups(comparison.species[comparison.rows]), minlength=len(plots.GROUPS))
    items = "".join(
        "<li>"
        + pick(
            f"group:{i}",
            '<svg viewBox="-1.05 -1.05 2.1 2.1" aria-hidden="true">'
            f'<polygon points="{_comparison_data.glyph(group)}" fill="{group.colour}"/></svg>{_html.text(group.name)}',
            kind="group",
        )
        + f'<button type="button" class="eye" data-hide="{i}" aria-pressed="false" title="Hide this group" '
        f'aria-label="Hide: {_html.text(group.name)}">{_EYE}</button></li>'
        for i, group in enumerate(plots.GROUPS)
        if members[i]
    )
    return f'<ul class="keys">{items}</ul>'


def _outside(points: np.ndarray) -> str:
    low, high = arrangement.window(points)
    count = int(np.sum(np.any((points < low) | (points > high), axis=1)))
    return f" · {many(count, 'atom')} far outside the frame" if count else ""


def elements(comparison: Comparison) -> str:
    """Numbers of atoms of each element, and the agreement of the models on them."""
    values = _comparison_data.values(comparison)
    in_maps = comparison.species[comparison.rows]
    anchored = comparison.species[np.asarray(comparison.anchors["row"])]
    head = ["element", "chemical group", "atoms", "structures", "anchors", *map(_html.text, values)]
    rows = []
    for z in np.unique(comparison.species):
        mine, symbol = comparison.species == z, chemical_symbols[int(z)]
        (group,) = plots.element_groups(np.array([z]))
        rows.append(
            [
                pick(f"element:{symbol}", symbol) if np.any(in_maps == z) else symbol,
                _html.text(plots.GROUPS[group].name),
                f"{np.sum(mine):,}",
                f"{len(np.unique(comparison.structure_index[mine])):,}",
                f"{np.sum(anchored == z)}",
                *(_texts.number(_mean(array[in_maps == z])) for array in values.values()),
            ]
        )
    table = _html.table(head, rows, numbers=range(2, len(head)))
    return (
        "<p>Click an element to pick its atoms in every map, and the head of a column to sort by it."
        f'{_agreement(comparison) if values else ""}</p><div class="tall">{table}</div>'
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _agreement(comparison: Comparison) -> str:
    """Describe the share of common neighbours and its null."""
    text = (
        f" <i>Neighbours in common</i>: the share of an atom's {comparison.provenance['num_neighbours']} nearest "
        "neighbours that two models agree on, mean over pairs of models and over the element's atoms in the maps"
    )
    measure = comparison.measures.get("mutual_knn")
    if measure is None:
        return f"{text}."
    pairs = [(i, j) for i, j, kind in arrangement.pairs(comparison) if kind == "model"]
    value, null = (
        float(np.mean([array[i, j] for i, j in pairs])) for array in (measure.value, measure.null_within_element)
    )
    chance = f", and {_texts.number(null)} under permutation within each element" if np.isfinite(null) else ""
    return f"{text}; over all atoms it is {_texts.number(value)}{chance}."


def anchors(comparison: Comparison) -> str:
    """The atoms that span the shared space: how many of each element, and which."""
    chosen = comparison.anchors
    rows = np.asarray(chosen["row"])
    species = comparison.species[rows]
    present, atoms = np.unique(comparison.species, return_counts=True)
    counts = {int(z): int(np.sum(species == z)) for z in present}
    without = [chemical_symbols[z] for z, count in counts.items() if not count]
    known = comparison.structures
    listed = _html.table(
        ["element", "structure", "formula", "atom"],
        (
            (
                chemical_symbols[int(comparison.species[row])],
                _html.text(structure),
                "" if known is None else _html.text(known.formulas[comparison.structure_index[row]]),
                _html.text(atom),
            )
            for row, structure, atom in zip(rows, chosen["structure"], chosen["atom"], strict=True)
        ),
        numbers=[3],
    )
    model = _html.text(arrangement.labels(comparison)[comparison.models.index(chosen["model"])])
    coverage = f"Of the {len(present)} elements, {len(present) - len(without)} have an anchor; " + (
        f"without one: {', '.join(without)}." if without else "none is without one."
    )
    in_maps = set(comparison.species[comparison.rows].tolist())
    return (
        f"<p>{_html.text(chosen['k'])} atoms, chosen by the method <i>{_html.text(chosen['method'])}</i> in the "
        f"space of {model}, are the axes of the shared space: every model describes an "
        f"atom by its {_similarity(chosen)} similarity to these same atoms. "
        f"{coverage}</p>"
        f"{_periodic_table(counts, dict(zip(present.tolist(), atoms.tolist(), strict=True)), in_maps)}"
        f"<details><summary>All {len(rows)} anchors</summary>{listed}</details>"
    )


def _similarity(chosen: Mapping[str, Any]) -> str:
    return _html.text(chosen.get("similarity", "cosine"))


def _periodic_table(counts: Mapping[int, int], atoms: Mapping[int, int], in_maps: set[int]) -> str:
    """Anchors of each element, in its place in the table."""
    most = max(counts.values(), default=0) or 1
    cells = []
    for z in range(_LIGHTEST, max(94, *atoms) + 1):
        element = Element.from_Z(z)
        f_block = element.is_lanthanoid or element.is_actinoid
        first = 57 if element.is_lanthanoid else 89
        row, column = (element.row + 2, z - first + 3) if f_block else (element.row, element.group)
        count = counts.get(z, 0)
        share = count / most
        kind = "absent" if z not in atoms else f"anchored{' strong' if share > 0.5 else ''}" if count else "bare"
        label = f"{element.symbol}: {many(count, 'anchor')}, {many(atoms.get(z, 0), 'atom')}"
        number = f"<small>{count}</small>" if count else ""
        place = f'title="{label}" style="grid-area:{row}/{column};--share:{share:.0%}"'
        cells.append(
            f'<button type="button" class="{kind}" data-pick="element:{element.symbol}" aria-pressed="false" '
            f'aria-label="{label}" {place}>{element.symbol}{number}</button>'
            if z in in_maps
            else f'<div class="{kind}" {place}>{element.symbol}{number}</div>'
        )
    return (
        "<figure><figcaption>Anchors of each element; outlined without a number: in the data, without an anchor. "
        "Click an element to pick its atoms in the maps.</figcaption>"
        f'<div class="elements">{"".join(cells)}</div></figure>'
    )
