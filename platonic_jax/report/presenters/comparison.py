"""A comparison, as tables; its page has a module of its own, `report._comparison`."""

from collections.abc import Iterator

from platonic_jax import plots
from platonic_jax.analyses import Comparison
from platonic_jax.report._table import Strong, Table
from platonic_jax.report._texts import measure_text, number
from platonic_jax.report._verdict import verdict

NAME = "compare"


def verdicts(result: Comparison) -> list[str]:
    """The leading sentences."""
    return [verdict(result).lead]


def tables(result: Comparison) -> list[Table]:
    """One table a measure, the most similar pair first; then one a grouping."""
    return [*_measures(result), *_groupings(result)]


def _measures(result: Comparison) -> Iterator[Table]:
    names = plots.labels(result)
    for name, measure in result.measures.items():
        heads = ("value", "95 % interval", *(head for null in measure.nulls for head in (null, "effect", "p")))
        rows = [
            (
                f"{names[i]} – {names[j]}",
                Strong(number(measure.value[i, j])),
                f"{number(measure.low[i, j])} to {number(measure.high[i, j])}",
                *(number(array[i, j]) for null in measure.nulls.values() for array in null),
            )
            for i, j, _ in plots.ranked_pairs(result, name)
        ]
        yield Table(measure_text(name).title, ("models", *heads), rows)


def _groupings(result: Comparison) -> Iterator[Table]:
    for kind, resolved in result.resolved.items():
        means = [plots.means_within(result, kind, name) for name in resolved.measures]
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
