"""Page content of a comparison, from top to bottom. Everything that comes from data is escaped with `text`."""

import itertools
from collections.abc import Mapping
from typing import Any

from platonic_jax import _html
from platonic_jax.analyses import Comparison, arrangement
from platonic_jax.charts import Spec
from platonic_jax.report import _comparison_atoms, _comparison_data, _structures, _texts
from platonic_jax.report._part import Part, figure, plain, plain_settings
from platonic_jax.report._texts import many
from platonic_jax.report.presenters.comparison import Answer, answers, charts, intro, title

__all__ = ["part"]


def part(comparison: Comparison) -> Part:
    """Assemble the page content of a comparison.

    Args:
        comparison: the result.

    Returns:
        Its verdict, sections, maps and matrices.
    """
    lead, supporting = answers(comparison)
    specs = {f"compare-{i}": spec for i, spec in enumerate(charts(comparison))}
    sections = {
        "measures": ("Measures", _measures(comparison, specs)),
        "maps": ("Maps", _comparison_atoms.maps(comparison)),
        "elements": ("Elements", _comparison_atoms.elements(comparison)),
        "groups": ("Groups", _groups(comparison)),
        "numbers": ("Numbers", _numbers(comparison)),
        "anchors": ("Anchors", _comparison_atoms.anchors(comparison)),
        "provenance": ("Provenance", _provenance(comparison)),
    }
    return Part(
        name="compare",
        title=title(comparison),
        intro=_html.prose(intro(comparison)),
        verdict=[lead],
        answers=f'<dl class="answers">{"".join(_answer(answer) for answer in supporting)}</dl>',
        sections={name: entry for name, entry in sections.items() if entry[1]},
        charts=specs,
        comparison=_comparison_data.payload(comparison),
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
    tables = []
    for name, table in comparison.measures.items():
        head = [
            "model",
            "other model",
            "value",
            "95 % interval",
            *(cell for null in table.nulls for cell in (null, "effect", "p")),
        ]
        settings = {
            key: value for key, value in table.settings.items() if not isinstance(value, list) or len(value) <= 4
        }
        rows = [
            (
                _html.prose(arrangement.labels(comparison)[i]),
                _html.prose(arrangement.labels(comparison)[j]),
                f"<b>{_texts.number(table.value[i, j])}</b>",
                f"{_texts.number(table.low[i, j])} to {_texts.number(table.high[i, j])}",
                *(_texts.number(array[i, j]) for null in table.nulls.values() for array in null),
            )
            for i, j, _ in arrangement.ranked_pairs(comparison, name)
        ]
        tables.append(
            f'<details id="numbers-{_html.text(name)}"><summary>{_html.text(_texts.measure_text(name).title)}: '
            f"{len(rows)} pairs</summary>"
            f"{_html.table(head, rows, numbers=range(2, len(head)))}{plain_settings(settings)}</details>"
        )
    return (
        "<p>The most similar pair first. <i>Shuffled</i> and <i>within element</i> are means over the draws of each "
        "null; p is the share of "
        "draws at least as similar as the value. The same numbers, unrounded, are in <code>compare.json</code>.</p>"
        + "".join(tables)
    )


def _provenance(comparison: Comparison) -> str:
    run = comparison.provenance
    models = "".join(_store(comparison, i) for i in range(len(comparison.models)))
    left_out = run.get("left_out", {})
    reasons = ((_html.text(i), _html.text(why)) for i, why in left_out.items())
    missing = (
        f"<h3>Structures left out</h3><p>{many(len(left_out), 'structure')} that some model could not take: left out "
        "for all of them.</p>"
        "<details><summary>Which, and "
        f"why</summary>{_html.table(['structure', 'reason'], reasons)}</details>"
        if left_out
        else ""
    )
    known = ("stores", "left_out", "packages")
    facts = [
        (name.removeprefix("num_").replace("_", " "), _html.text(plain(value)))
        for name, value in run.items()
        if name not in known and name != "subsampling"
    ]
    facts += [
        (f"subsampling: {_texts.measure_text(name).title.lower()}", _html.text(plain(value)))
        for name, value in run.get("subsampling", {}).items()
    ]
    facts.append(("packages", _html.text(plain(run.get("packages", {})))))
    return f"<h3>This comparison</h3>{_html.facts(facts)}{missing}<h3>Models</h3>{models}"


def _store(comparison: Comparison, i: int) -> str:
    store: Mapping[str, Any] = comparison.provenance["stores"][comparison.models[i]]
    layer = store.get("layer", "")
    described = store.get("layers", {}).get(layer, {})
    shown = {"model", "layer", "layers", "checkpoint", "self_test", "packages", "random_weights"}
    hidden = shown | {"schema", "complete", "default_layer", "available_layers", "block_rows", "batch_atoms"}
    checkpoint = store.get("checkpoint", {})
    facts = [
        ("name", _html.text(store["model"])),
        (
            "weights",
            '<span class="tag">random weights</span> re-drawn, never trained' if store.get("random_weights") else "",
        ),
        ("layer", _html.text(": ".join(filter(None, (layer, plain(described)))))),
        (
            "checkpoint",
            f"{_html.text(checkpoint['name'])}<br><code>sha256 {_html.text(checkpoint['sha256'])}</code>"
            if checkpoint
            else "",
        ),
        *((name.replace("_", " "), _html.text(plain(value))) for name, value in store.items() if name not in hidden),
        ("packages", _html.text(plain(store.get("packages", {})))),
        ("self-test", _html.text(_self_test(store.get("self_test", {})))),
    ]
    head = _comparison_atoms.label(comparison, i)
    return f"<details{' open' if i == 0 else ''}><summary>{head}</summary>{_html.facts(facts)}</details>"


def _self_test(test: Mapping[str, Any]) -> str:
    """Deviations of the embeddings from physical symmetries."""
    changes = [f"{name.replace('_', ' ')} {value:.1e}" for name, value in test.items() if isinstance(value, float)]
    on = f"; on {', '.join(test['structures'])}" if "structures" in test else ""
    return f"largest relative change under {', '.join(changes)}{on}" if changes else ""
