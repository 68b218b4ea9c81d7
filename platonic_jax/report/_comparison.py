"""Page content of a comparison, from top to bottom. Everything that comes from data is escaped with `text`."""

import itertools
from collections.abc import Mapping

from platonic_jax import _html
from platonic_jax.analyses import Comparison, arrangement
from platonic_jax.charts import Spec
from platonic_jax.report import _comparison_atoms, _comparison_data, _structures, _texts
from platonic_jax.report._part import Part, figure, plain_settings
from platonic_jax.report._provenance import provenance
from platonic_jax.report._texts import many
from platonic_jax.report.presenters.comparison import Answer, answers, charts, intro, tables, title

__all__ = ["part"]

_WITHOUT_ATOMS = (
    "<p>Maps, elements and anchors are not shown, because the JSON of a comparison has no atoms: write the report of "
    "the comparison itself, with <code>platonic compare … -o FOLDER</code>.</p>"
)


def part(comparison: Comparison) -> Part:
    """Assemble the page content of a comparison.

    Args:
        comparison: the result.

    Returns:
        Its verdict, sections, maps and matrices.
    """
    lead, supporting = answers(comparison)
    specs = {f"compare-{i}": spec for i, spec in enumerate(charts(comparison))}
    has_atoms = comparison.species is not None
    sections = {
        "measures": ("Measures", _measures(comparison, specs)),
        "maps": ("Maps", _comparison_atoms.maps(comparison) if has_atoms else _WITHOUT_ATOMS),
        "elements": ("Elements", _comparison_atoms.elements(comparison) if has_atoms else ""),
        "groups": ("Groups", _groups(comparison)),
        "numbers": ("Numbers", _numbers(comparison)),
        "anchors": ("Anchors", _comparison_atoms.anchors(comparison) if has_atoms else ""),
        "provenance": ("Provenance", provenance(comparison)),
    }
    return Part(
        name="compare",
        title=title(comparison),
        intro=_html.prose(intro(comparison)),
        verdict=[lead],
        answers=f'<dl class="answers">{"".join(_answer(answer) for answer in supporting)}</dl>',
        sections={name: entry for name, entry in sections.items() if entry[1]},
        charts=specs,
        comparison=_comparison_data.payload(comparison) if has_atoms else None,
        structures=_structures.embedded(comparison),
    )


def _answer(answer: Answer) -> str:
    return f"<div><dt>{_html.text(answer.question)}</dt><dd>{answer.html}</dd></div>"


def _measures(comparison: Comparison, specs: Mapping[str, Spec]) -> str:
    return (
        "<p>Left, every pair of models: darker is more similar, and the tree joins those that are nearest. Right, the "
        "same values with their 95 % CI, beside what remains when whole structures of one model are exchanged, or the "
        "atoms of one structure for those of another within each element.</p>"
        + "".join(_measure(comparison, i, specs) for i in range(len(comparison.measures)))
    )


def _measure(comparison: Comparison, i: int, specs: Mapping[str, Spec]) -> str:
    name = list(comparison.measures)[i]
    text = _texts.measure_text(name)
    better = "larger" if comparison.measures[name].settings["larger_is_more_similar"] else "smaller"
    figures = "".join(itertools.starmap(figure, list(specs.items())[2 * i : 2 * i + 2]))
    return (
        f'<div class="measure"><h3>{_html.text(text.title)}</h3>'
        f'<p class="muted">{_html.text(text.meaning)} Here {better} is more similar.</p>'
        f'<div class="two">{figures}</div>'
        f'<p class="muted"><a href="#numbers-{_html.text(name)}">Every value, interval and null as a table</a></p>'
        "</div>"
    )


def _groups(comparison: Comparison) -> str:
    """Agreement within each element, family or label, where requested."""
    if not comparison.resolved:
        return ""
    return (
        "<p>The same measures inside each group of atoms alone: neighbours are sought there, and clouds centred there. "
        "Means over pairs of models, each beside the mean of its null; groups differ in size and so in what chance "
        "gives. Every pair with its interval is in <code>compare.json</code>.</p>"
        + "".join(_grouping(comparison, grouping) for grouping in comparison.resolved)
    )


def _grouping(comparison: Comparison, grouping: str) -> str:
    resolved = comparison.resolved[grouping]
    means = [arrangement.means_within(comparison, grouping, name) for name in resolved.measures]
    titles = [_html.text(_texts.measure_text(name).title) for name in resolved.measures]
    head = [
        _html.text(grouping),
        "atoms",
        "structures",
        *(cell for title in titles for cell in (title, "within element")),
    ]
    rows = []
    for g, label in enumerate(resolved.labels):
        name = _html.text(label)
        name_cell = _comparison_atoms.pick(f"element:{label}", name) if grouping == "element" else name
        cells = [name_cell, f"{resolved.num_atoms[g]:,}", f"{resolved.num_structures[g]:,}"]
        for value, null in means:
            cells += [f"<b>{_texts.number(value[g])}</b>", _texts.number(null[g])]
        rows.append(cells)
    small = len(resolved.left_out)
    note = f'<p class="muted">{many(small, "group")} left out for want of atoms or structures.</p>' if small else ""
    return (
        f"<details open><summary>By {_html.text(grouping)}: {many(len(rows), 'group')}</summary>"
        f"{_html.table(head, rows, numbers=range(1, len(head)))}{note}{plain_settings(resolved.settings)}</details>"
    )


def _numbers(comparison: Comparison) -> str:
    folds = []
    for (name, measure), table in zip(comparison.measures.items(), tables(comparison), strict=False):
        settings = {
            key: value for key, value in measure.settings.items() if not isinstance(value, list) or len(value) <= 4
        }
        folds.append(
            f'<details id="numbers-{_html.text(name)}"><summary>{_html.text(table.title)}: {len(table.rows)} pairs'
            f"</summary>{table.to_html(titled=False)}{plain_settings(settings)}</details>"
        )
    return (
        "<p>The most similar pair first. Nulls are means over draws; p is the share of draws at least as similar as "
        "the value. The same numbers, unrounded, are in <code>compare.json</code>.</p>" + "".join(folds)
    )
