"""Presenter of a comparison of models; its page content is made by `report._comparison`."""

from collections.abc import Iterator

import numpy as np

from platonic_jax.analyses import Comparison, Estimate, Matrix, arrangement
from platonic_jax.charts import Spec, dots, entries, matrix
from platonic_jax.report._part import Part
from platonic_jax.report._table import Strong, Table
from platonic_jax.report._texts import many, measure_text, number, series
from platonic_jax.report.presenters._answers import Answer, answers

__all__ = ["NAME", "Answer", "answers", "charts", "intro", "part", "tables", "title", "verdict"]

NAME = "compare"
# What is drawn of a pair by what it holds: name and style.
_KINDS = {
    "model": ("two models", "model"),
    "random": ("with random weights", "random"),
    "element": ("with the element alone", "baseline"),
}


def title(result: Comparison) -> str:
    """Return the heading: the models that are compared, named where they are few."""
    models = [name for name, kind in zip(result.models, result.kinds, strict=True) if kind == "model"]
    if 1 < len(models) <= 4:
        return f"Comparison of {series(models)}"
    return f"Comparison of {len(models)} models" if models else "Comparison of controls"


def intro(result: Comparison) -> str:
    """Summarise the input in a sentence."""
    # A result that was read from JSON has no atoms.
    atoms = (
        (result.provenance.get("num_atoms", 0), result.provenance.get("num_structures", 0))
        if result.species is None
        else (len(result.species), len(np.unique(result.structure_index)))
    )
    return (
        f"{many(atoms[0], 'atom')} of {many(atoms[1], 'structure')}, each described by its similarities to the "
        f"same {result.anchors['k']} anchor atoms "
        f"({result.anchors['method']}, chosen in the space of {result.anchors['model']})."
    )


def verdict(result: Comparison) -> list[str]:
    """State whether models agree beyond the baselines."""
    return [answers(result)[0]]


def part(result: Comparison) -> Part:
    """Assemble the page content, with its linked maps and matrices."""
    from platonic_jax.report import _comparison  # Its colours come with matplotlib, which words do not need.

    return _comparison.part(result)


def tables(result: Comparison) -> list[Table]:
    """One table a measure, the most similar pair first; then one a grouping."""
    return [*_measures(result), *_groupings(result)]


def _measures(result: Comparison) -> Iterator[Table]:
    names = arrangement.labels(result)
    for name, measure in result.measures.items():
        ranked, joined = arrangement.ranked_pairs(result, name), _joined(result, name)
        heads = ("value", "95 % interval", *(head for null in measure.nulls for head in (null, "effect", "p")))
        rows = [
            (
                f"{names[i]} {joined} {names[j]}",
                Strong(number(measure.value[i, j])),
                f"{number(measure.low[i, j])} to {number(measure.high[i, j])}",
                *(number(array[i, j]) for null in measure.nulls.values() for array in null),
            )
            for i, j, _ in ranked
        ]
        yield Table(measure_text(name).title, ("models", *heads), rows)


def _joined(result: Comparison, measure: str) -> str:
    """Sign between the names of a pair: an arrow where its two directions differ."""
    return "→" if len(arrangement.ranked_pairs(result, measure)) > len(arrangement.pairs(result)) else "–"


def _groupings(result: Comparison) -> Iterator[Table]:
    for kind, resolved in result.resolved.items():
        means = [arrangement.means_within(result, kind, name) for name in resolved.measures]
        rows = [
            (
                label,
                str(resolved.num_atoms[g]),
                str(resolved.num_structures[g]),
                *(f"{number(value[g])} ({number(null[g])})" for value, null in means),
            )
            for g, label in enumerate(resolved.labels)
        ]
        yield Table(
            f"By {kind}, mean over pairs of models (null within element)",
            (kind, "atoms", "structures", *(name.replace("_", " ") for name in resolved.measures)),
            rows,
            caption=f"{len(resolved.left_out)} more have too few atoms or structures" if resolved.left_out else "",
        )


def charts(result: Comparison) -> list[Spec]:
    """Of each measure the matrix of all pairs, and the same values beside their nulls."""
    return [chart for name in result.measures for chart in (_matrix(result, name), _pairs(result, name))]


def _matrix(result: Comparison, name: str) -> Spec:
    measure, title = result.measures[name], measure_text(name).title
    similar = measure.settings["larger_is_more_similar"]
    everyone = range(len(result.models))
    return matrix(
        f"{title}: darker is more similar, and the tree joins those that are nearest.",
        arrangement.labels(result),
        measure.value,
        low=measure.low,
        high=measure.high,
        larger_is_darker=similar,
        top=1.0 if similar else None,
        order=arrangement.leaf_order(measure),
        tree={**arrangement.tree(measure), "name": f"1 − {title}" if similar else title},
        text=[["" if i == j else _beside(measure, i, j) for j in everyone] for i in everyone],
    )


def _pairs(result: Comparison, name: str) -> Spec:
    measure, names = result.measures[name], arrangement.labels(result)
    ranked, joined = arrangement.ranked_pairs(result, name), _joined(result, name)
    series = [
        entries(null_text, [null[i, j] for i, j, _ in ranked], style="null")
        for null_text, (null, *_) in measure.nulls.items()
        if np.isfinite(null).any()
    ]
    for kind, (kind_text, style) in _KINDS.items():
        if any(kind == own for _, _, own in ranked):
            estimates = [_estimate(measure, i, j) if kind == own else None for i, j, own in ranked]
            text = [_beside(measure, i, j) for i, j, _ in ranked]
            series.append(entries(kind_text, estimates, style=style, text=text))
    title = measure_text(name).title
    caption = f"{title} of each pair, and what remains of it when structures are exchanged."
    return dots(caption, [f"{names[i]} {joined} {names[j]}" for i, j, _ in ranked], series, axis=title)


def _estimate(measure: Matrix, i: int, j: int) -> Estimate:
    return Estimate(measure.value[i, j], measure.low[i, j], measure.high[i, j])


def _beside(measure: Matrix, i: int, j: int) -> str:
    """Nulls of a pair, with the effects and p-values of it."""
    return "\n".join(
        f"{name} {number(null[i, j])}, effect {number(effect[i, j])}, p = {number(p[i, j])}"
        for name, (null, effect, p) in measure.nulls.items()
    )
