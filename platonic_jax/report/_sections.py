"""The sections of the page, from top to bottom. Whatever comes from data passes through `_e`."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from pymatgen.core import Element

from platonic_jax import plots
from platonic_jax.compare import Comparison
from platonic_jax.report import _data, _texts
from platonic_jax.report._verdict import Answer, Verdict

__all__ = ["body", "title"]

_SECTIONS = {
    "verdict": "Verdict",
    "measures": "Measures",
    "maps": "Maps",
    "groups": "Groups",
    "numbers": "Numbers",
    "anchors": "Anchors",
    "provenance": "Provenance",
    "cite": "How to cite",
}
_PAPER = "https://doi.org/10.1038/s42256-026-01235-7"
_LIGHTEST, _HEAVIEST = 1, 118


def title(comparison: Comparison) -> str:
    """The models that are compared, named where they are few."""
    models = [name for name, kind in zip(comparison.models, comparison.kinds, strict=True) if kind == "model"]
    if 1 < len(models) <= 4:
        return f"What {', '.join(models[:-1])} and {models[-1]} have in common"
    return f"What {len(models)} models have in common" if models else "A comparison of controls"


def body(comparison: Comparison, verdict: Verdict) -> str:
    """Everything inside `main`.

    Args:
        comparison: the result.
        verdict: its verdict.

    Returns:
        HTML.
    """
    return "\n".join(
        [
            _header(comparison),
            _verdict(verdict),
            _measures(comparison),
            _maps(comparison),
            _groups(comparison),
            _numbers(comparison),
            _anchors(comparison),
            _provenance(comparison),
            _citation(),
        ]
    )


def _e(text: object) -> str:
    return html.escape(str(text))


def _prose(text: str) -> str:
    """Escaped, with lines that break neither inside a name such as 7net-0 nor before a percent sign."""
    return re.sub(r"[^\s(]*\w[-–]\w[^\s,;:)]*", r'<span class="whole">\g<0></span>', _e(text)).replace(" %", "&nbsp;%")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _label(comparison: Comparison, i: int) -> str:
    """A model's name; a control wears a tag."""
    tag = {"random": "control", "element": "baseline"}.get(comparison.kinds[i])
    return _e(plots.labels(comparison)[i]) + (f' <span class="tag">{tag}</span>' if tag else "")


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """Names and their values, which are HTML already; what is empty is left out."""
    rows = "".join(f"<dt>{_e(name)}</dt><dd>{value}</dd>" for name, value in facts if value)
    return f'<dl class="facts">{rows}</dl>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already; the columns in `numbers` are set flush right."""
    mark = [' class="number"' if i in numbers else "" for i in range(len(head))]
    top = "".join(f"<th{mark[i]}>{name}</th>" for i, name in enumerate(head))
    lines = "".join(f"<tr>{''.join(f'<td{mark[i]}>{cell}</td>' for i, cell in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _section(name: str, content: str) -> str:
    return f'<section id="{name}"><h2>{_SECTIONS[name]}</h2>\n{content}\n</section>'


def _header(comparison: Comparison) -> str:
    anchors, run = comparison.anchors, comparison.provenance
    links = "".join(
        f'<a href="#{name}">{text}</a>' for name, text in _SECTIONS.items() if name != "groups" or comparison.resolved
    )
    atoms, structures = len(comparison.species), len(np.unique(comparison.structure_index))
    day = f" · {_e(str(run['created'])[:10])}" if "created" in run else ""
    return (
        f'<header><p class="eyebrow">platonic_jax · a comparison of interatomic potentials{day}</p>'
        f"<h1>{_prose(title(comparison))}</h1>"
        f"<p>{_many(atoms, 'atom')} of {_many(structures, 'structure')}, each described by its similarities to the "
        "same "
        f"{_e(anchors['k'])} anchor atoms, and so comparable between models.</p>"
        f"<nav>{links}</nav></header>"
    )


def _verdict(verdict: Verdict) -> str:
    answers = "".join(_answer(answer) for answer in verdict.answers)
    return (
        f'<section id="verdict"><p class="lead">{_prose(verdict.lead)}</p>'
        f'<dl class="answers">{answers}</dl>'
        "<noscript><p>The interactive figures need JavaScript; the same figures are in <code>figures/</code> beside "
        "this file.</p></noscript>"
        "</section>"
    )


def _answer(answer: Answer) -> str:
    command = f"<pre>{_e(answer.command)}</pre>" if answer.command else ""
    told = f"<p><b>{_prose(answer.answer)}</b> {_prose(answer.detail)}</p>{command}"
    return f"<div><dt>{_e(answer.question)}</dt><dd>{told}</dd></div>"


def _measures(comparison: Comparison) -> str:
    kinds = {kind for _, _, kind in plots.pairs(comparison)}
    keys = "".join(
        f'<li><svg viewBox="-1 -1 2 2"><circle r="0.8" fill="{colour}"/></svg>{_e(name)}</li>'
        for kind, (name, colour) in plots.PAIR_KINDS.items()
        if kind in kinds
    )
    grey = 'fill="none" stroke="currentColor" stroke-width="0.3"'
    keys += (
        f'<li><svg viewBox="-1 -1 2 2"><path d="M0-.9V.9" {grey}/></svg>shuffled</li>'
        f'<li><svg viewBox="-1 -1 2 2"><path d="M0-.8.8 0 0 .8-.8 0Z" {grey}/></svg>shuffled within each element</li>'
    )
    return _section(
        "measures",
        "<p>Left, every pair of models: darker is more similar, and the tree joins those that are nearest. Right, the "
        "same values with "
        "their 95 % intervals, beside what remains when the atoms of one model are shuffled: freely, or only among "
        "atoms of the same "
        f'element.</p><ul class="keys">{keys}</ul>'
        + "".join(_measure(comparison, i) for i in range(len(comparison.measures))),
    )


def _measure(comparison: Comparison, i: int) -> str:
    name = list(comparison.measures)[i]
    text = _texts.measure_text(name)
    m, found = len(comparison.models), len(plots.ranked_pairs(comparison, name))
    better = "larger" if comparison.measures[name].settings["larger_is_more_similar"] else "smaller"
    return (
        f'<div class="measure"><h3>{_e(text.title)}</h3><p class="muted">{_e(text.meaning)} Here {better} is more '
        "similar.</p>"
        '<div class="two">'
        f'<figure><div data-figure="matrix" data-measure="{i}" style="height:{90 + 46 * m}px"></div></figure>'
        f'<figure><div data-figure="null" data-measure="{i}" style="height:{50 + 40 * found}px"></div></figure>'
        "</div></div>"
    )


def _maps(comparison: Comparison) -> str:
    groups = np.bincount(plots.element_groups(comparison.species[comparison.rows]), minlength=len(plots.GROUPS))
    keys = "".join(
        f'<li><button type="button" data-group="{i}" aria-pressed="true"><svg viewBox="-1.05 -1.05 2.1 2.1" '
        'aria-hidden="true">'
        f'<polygon points="{_data.glyph(group)}" fill="{group.colour}"/></svg>{_e(group.name)}</button></li>'
        for i, group in enumerate(plots.GROUPS)
        if groups[i]
    )
    shown, total = len(comparison.rows), len(comparison.species)
    thinned = (
        f"<p>The maps show {shown:,} of the {total:,} atoms: whole structures, drawn at random. Axes and neighbours "
        "are those of all atoms.</p>"
        if shown < total
        else ""
    )
    models = "".join(
        f'<div class="model"><h3>{_label(comparison, i)}</h3><div class="two">'
        + "".join(
            f"<figure><figcaption>{caption}{_outside(comparison.maps[i][space])}</figcaption>"
            f'<div data-figure="map" data-model="{i}" data-space="{space}"></div></figure>'
            for space, caption in (("raw", "its own space"), ("shared", "the shared space"))
        )
        + "</div></div>"
        for i in plots.mapped(comparison)
    )
    return _section(
        "maps",
        "<p>Every point is an atom, placed by the first two principal components of its embedding. In its own space a "
        "model's axes mean "
        "nothing to another; in the shared space every axis is built on the same anchor atoms. Compare arrangements, "
        "not orientations.</p>"
        "<p>Point at an atom to see what it is; it and its nearest neighbours are ringed in every map. Click a group "
        "to hide it.</p>"
        f'{thinned}<ul class="keys groups">{keys}</ul>{models}',
    )


def _outside(points: np.ndarray) -> str:
    low, high = plots.window(points)
    count = int(np.sum(np.any((points < low) | (points > high), axis=1)))
    return f" · {_many(count, 'atom')} far outside the frame" if count else ""


def _groups(comparison: Comparison) -> str:
    """Agreement within each element, family or label, where it was asked for."""
    if not comparison.resolved:
        return ""
    return _section(
        "groups",
        "<p>The same measures inside each group of atoms alone: neighbours are sought there, and clouds centred there. "
        "Means over pairs of models, each beside the mean of its null; groups differ in size and so in what chance "
        "gives. Every pair with its interval is in <code>compare.json</code>.</p>"
        + "".join(_grouping(comparison, grouping) for grouping in comparison.resolved),
    )


def _grouping(comparison: Comparison, grouping: str) -> str:
    resolved = comparison.resolved[grouping]
    means = [plots.means_within(comparison, grouping, name) for name in resolved.measures]
    titles = [_e(_texts.measure_text(name).title) for name in resolved.measures]
    head = [_e(grouping), "atoms", "structures", *(cell for title in titles for cell in (title, "within element"))]
    rows = []
    for g, label in enumerate(resolved.labels):
        cells = [_e(label), f"{resolved.num_atoms[g]:,}", f"{resolved.num_structures[g]:,}"]
        for value, null in means:
            cells += [f"<b>{_texts.number(value[g])}</b>", _texts.number(null[g])]
        rows.append(cells)
    small = len(resolved.left_out)
    note = f'<p class="muted">{_many(small, "group")} left out for want of atoms or structures.</p>' if small else ""
    return (
        f"<details open><summary>By {_e(grouping)}: {_many(len(rows), 'group')}</summary>"
        f"{_table(head, rows, numbers=range(1, len(head)))}{note}{_settings(resolved.settings)}</details>"
    )


def _numbers(comparison: Comparison) -> str:
    tables = []
    for name, table in comparison.measures.items():
        head = ["models", "", "value", "95 % interval", *(cell for null in table.nulls for cell in (null, "p"))]
        settings = {
            key: value for key, value in table.settings.items() if not isinstance(value, list) or len(value) <= 4
        }
        rows = [
            (
                _prose(plots.labels(comparison)[i]),
                _prose(plots.labels(comparison)[j]),
                f"<b>{_texts.number(table.value[i, j])}</b>",
                f"{_texts.number(table.low[i, j])} to {_texts.number(table.high[i, j])}",
                *(_texts.number(array[i, j]) for null in table.nulls.values() for array in null),
            )
            for i, j, _ in plots.ranked_pairs(comparison, name)
        ]
        tables.append(
            f"<details><summary>{_e(_texts.measure_text(name).title)}: {len(rows)} pairs</summary>"
            f"{_table(head, rows, numbers=range(2, len(head)))}{_settings(settings)}</details>"
        )
    return _section(
        "numbers",
        "<p>The most similar pair first. <i>Shuffled</i> and <i>within element</i> are means over the draws of each "
        "null; p is the share of "
        "draws at least as similar as the value. The same numbers, unrounded, are in <code>compare.json</code>.</p>"
        + "".join(tables),
    )


def _settings(settings: Mapping[str, Any]) -> str:
    return _facts((name.removeprefix("num_").replace("_", " "), _e(_plain(value))) for name, value in settings.items())


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(entry) for entry in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _anchors(comparison: Comparison) -> str:
    anchors = comparison.anchors
    rows = np.asarray(anchors["row"])
    species = comparison.species[rows]
    present, atoms = np.unique(comparison.species, return_counts=True)
    counts = {int(z): int(np.sum(species == z)) for z in present}
    without = [Element.from_Z(z).symbol for z, count in counts.items() if not count]
    known = comparison.structures
    listed = _table(
        ["element", "structure", "formula", "atom"],
        (
            (
                Element.from_Z(int(comparison.species[row])).symbol,
                _e(structure),
                "" if known is None else _e(known.formulas[comparison.structure_index[row]]),
                _e(atom),
            )
            for row, structure, atom in zip(rows, anchors["structure"], anchors["atom"], strict=True)
        ),
        numbers=[3],
    )
    model = _e(plots.labels(comparison)[comparison.models.index(anchors["model"])])
    coverage = f"Of the {len(present)} elements, {len(present) - len(without)} have an anchor; " + (
        f"without one: {', '.join(without)}." if without else "none is without one."
    )
    return _section(
        "anchors",
        f"<p>{_e(anchors['k'])} atoms, chosen by the method <i>{_e(anchors['method'])}</i> in the space of {model}, "
        "are the axes of the "
        f"shared space: every model describes an atom by its {_similarity(anchors)} similarity to these same atoms. "
        f"{coverage}</p>"
        f"{_periodic_table(counts, dict(zip(present.tolist(), atoms.tolist(), strict=True)))}"
        f"<details><summary>All {len(rows)} anchors</summary>{listed}</details>",
    )


def _similarity(anchors: Mapping[str, Any]) -> str:
    return _e(anchors.get("similarity", "cosine"))


def _periodic_table(anchors: Mapping[int, int], atoms: Mapping[int, int]) -> str:
    """Anchors of each element, in its place in the table."""
    most = max(anchors.values(), default=0) or 1
    cells = []
    for z in range(_LIGHTEST, max(94, *atoms) + 1):
        element = Element.from_Z(z)
        f_block = element.is_lanthanoid or element.is_actinoid
        first = 57 if element.is_lanthanoid else 89
        row, column = (element.row + 2, z - first + 3) if f_block else (element.row, element.group)
        count = anchors.get(z, 0)
        share = count / most
        kind = "absent" if z not in atoms else f"anchored{' strong' if share > 0.5 else ''}" if count else "bare"
        told = f"{element.symbol}: {count} anchors, {atoms.get(z, 0):,} atoms"
        cells.append(
            f'<div class="{kind}" title="{told}" style="grid-area:{row}/{column};--share:{share:.0%}">'
            f"{element.symbol}{f'<small>{count}</small>' if count else ''}</div>"
        )
    return (
        "<figure><figcaption>Anchors of each element; outlined without a number: in the data, without an "
        "anchor.</figcaption>"
        f'<div class="elements">{"".join(cells)}</div></figure>'
    )


def _provenance(comparison: Comparison) -> str:
    run = comparison.provenance
    models = "".join(_store(comparison, i) for i in range(len(comparison.models)))
    left_out = run.get("left_out", {})
    missing = (
        f"<h3>Structures left out</h3><p>{_many(len(left_out), 'structure')} that some model could not take: left out "
        "for all of them.</p>"
        "<details><summary>Which, and "
        f"why</summary>{_table(['structure', 'reason'], ((_e(i), _e(why)) for i, why in left_out.items()))}</details>"
        if left_out
        else ""
    )
    known = ("stores", "left_out", "packages")
    facts = [
        (name.removeprefix("num_").replace("_", " "), _e(_plain(value)))
        for name, value in run.items()
        if name not in known and name != "subsampling"
    ]
    facts += [
        (f"subsampling: {_texts.measure_text(name).title.lower()}", _e(_plain(value)))
        for name, value in run.get("subsampling", {}).items()
    ]
    facts.append(("packages", _e(_plain(run.get("packages", {})))))
    return _section("provenance", f"<h3>This comparison</h3>{_facts(facts)}{missing}<h3>Models</h3>{models}")


def _store(comparison: Comparison, i: int) -> str:
    store: Mapping[str, Any] = comparison.provenance["stores"][comparison.models[i]]
    layer = store.get("layer", "")
    described = store.get("layers", {}).get(layer, {})
    shown = {"model", "layer", "layers", "checkpoint", "self_test", "packages", "random_weights"}
    hidden = shown | {"schema", "complete", "default_layer", "available_layers", "block_rows", "batch_atoms"}
    checkpoint = store.get("checkpoint", {})
    facts = [
        ("name", _e(store["model"])),
        (
            "weights",
            '<span class="tag">random weights</span> drawn anew, never trained' if store.get("random_weights") else "",
        ),
        ("layer", _e(": ".join(filter(None, (layer, _plain(described)))))),
        (
            "checkpoint",
            f"{_e(checkpoint['name'])}<br><code>sha256 {_e(checkpoint['sha256'])}</code>" if checkpoint else "",
        ),
        *((name.replace("_", " "), _e(_plain(value))) for name, value in store.items() if name not in hidden),
        ("packages", _e(_plain(store.get("packages", {})))),
        ("self-test", _e(_self_test(store.get("self_test", {})))),
    ]
    return f"<details{' open' if i == 0 else ''}><summary>{_label(comparison, i)}</summary>{_facts(facts)}</details>"


def _self_test(test: Mapping[str, Any]) -> str:
    """How far the embedding departs from the symmetries that the physics has."""
    changes = [f"{name.replace('_', ' ')} {value:.1e}" for name, value in test.items() if isinstance(value, float)]
    on = f"; on {', '.join(test['structures'])}" if "structures" in test else ""
    return f"largest relative change under {', '.join(changes)}{on}" if changes else ""


def _citation() -> str:
    software = version("platonic-jax")
    return _section(
        "cite",
        "<p>The idea, that potentials share a representation which anchors reveal: Z. Li and A. Walsh, <i>Platonic "
        "representation of "
        "foundation machine learning interatomic potentials</i>, Nature Machine Intelligence <b>8</b>, 830–840 (2026), "
        f'<a href="{_PAPER}">doi:10.1038/s42256-026-01235-7</a>. The computation: platonic_jax {_e(software)}. And '
        "the models, as their "
        "authors ask.</p><pre>@article{li_walsh_2026,\n"
        "  author  = {Li, Z. and Walsh, A.},\n"
        "  title   = {Platonic representation of foundation machine learning interatomic potentials},\n"
        "  journal = {Nature Machine Intelligence},\n  volume  = {8},\n  pages   = {830--840},\n  year    = {2026},\n"
        "  doi     = {10.1038/s42256-026-01235-7}\n}\n"
        f"@software{{platonic_jax,\n  title   = {{platonic_jax}},\n  version = {{{_e(software)}}},\n  year    = "
        f"{{2026}}\n}}</pre>",
    )
