"""Presenter of a comparison of models; its page content is made by `report._comparison`."""

from collections.abc import Iterator

import numpy as np

from platonic_jax.analyses import Comparison, arrangement
from platonic_jax.report._part import Part
from platonic_jax.report._table import Strong, Table
from platonic_jax.report._texts import many, measure_text, number, series
from platonic_jax.report.presenters._answers import Answer, answers

__all__ = ["NAME", "Answer", "answers", "intro", "part", "tables", "title", "verdict"]

NAME = "compare"


def title(result: Comparison) -> str:
    """Return the heading: the models that are compared, named where they are few."""
    models = [name for name, kind in zip(result.models, result.kinds, strict=True) if kind == "model"]
    if 1 < len(models) <= 4:
        return f"Comparison of {series(models)}"
    return f"Comparison of {len(models)} models" if models else "Comparison of controls"


def intro(result: Comparison) -> str:
    """Summarise the input in a sentence."""
    atoms, structures = many(len(result.species), "atom"), many(len(np.unique(result.structure_index)), "structure")
    return (
        f"{atoms} of {structures}, each described by its similarities to the same {result.anchors['k']} anchor atoms "
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
        ranked = arrangement.ranked_pairs(result, name)
        joined = "→" if len(ranked) > len(arrangement.pairs(result)) else "–"
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
