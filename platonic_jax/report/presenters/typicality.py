"""Presenter of typicality: outlier scores of sets relative to references."""

from collections.abc import Iterator, Mapping

import numpy as np
from ase.data import chemical_symbols

from platonic_jax.analyses import NONE, Against, QuerySet, Typicality
from platonic_jax.charts import Spec, curve, dots, entries, lines
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import listed, many

NAME = "typicality"
_POINTS = 200  # Of a curve; a screen has no more.
_NAMED = 5  # Elements that a verdict names.
_UNIFORM = 0.01  # p of held-out structures below which the calibration does not hold.


def title(result: Typicality) -> str:
    """Return the heading."""
    return f"Outliers relative to {' and '.join(result.references)}"


def intro(result: Typicality) -> str:
    """Summarise the input in a sentence."""
    number = sum(len(query.ids) for query in result.queries.values())
    sets = f"{number:,} structures of {len(result.queries)} set{'' if len(result.queries) == 1 else 's'}"
    return f"{sets}, scored without energies or forces by {', '.join(result.models)}."


def verdict(result: Typicality) -> list[str]:
    """State whether the p-values are calibrated, and how many structures of each set are atypical."""
    return [" ".join([*_calibration(result), *_sets(result)])]


def _calibration(result: Typicality) -> Iterator[str]:
    level = 100 * result.settings["level"]
    for name in result.references:
        held = result.held_out[name].against[name][result.combined]
        p_value = result.uniform[name][result.combined]["p_value"]
        text = (
            f"of {held.num_scored} held-out structures of {name}, {held.atypical:.1%} are atypical at {level:g} % "
            f"(KS p = {p_value:.2g})"
        )
        if p_value < _UNIFORM:
            yield f"The p-values are not calibrated: {text}. Do not use them."
        else:
            yield f"The p-values are calibrated: {text}."


def _sets(result: Typicality) -> Iterator[str]:
    first = result.references[0]
    for name in result.ranked(first):
        query = result.queries[name]
        text = f"{name}: {_atypical(result, query.against[first][result.combined], first)}{_unscored(query, first)}"
        if len(result.references) > 1:
            counts = {place: list(query.regime).count(place) for place in (*result.references, NONE)}
            text += "; most typical of " + ", ".join(f"{place} {number}" for place, number in counts.items())
        if absent := query.without_reference[first]:
            text += f"; no reference for {many(sum(absent.values()), 'atom')} ({_most_frequent(absent)})"
        yield f"{text}."


def _atypical(result: Typicality, against: Against, reference: str) -> str:
    level = result.settings["level"]
    if not np.isfinite(against.score).any():
        return f"cannot be scored by {reference}; give a larger reference, with more atoms of its elements"
    if len(against.score) == 1:
        p_value = against.p_value[0]
        is_atypical = "atypical" if p_value <= level else "not atypical"
        return f"{is_atypical} of {reference} at {100 * level:g} %, p = {p_value:.2g}"
    return (
        f"{against.num_atypical} of the {against.num_scored} structures that can be scored are atypical of {reference} "
        f"at {100 * level:g} %, {against.atypical:.1%}, AUROC {against.auroc:.2f}"
    )


def _unscored(query: QuerySet, reference: str) -> str:
    """State how many structures have no p-value, and why."""
    unscored = query.unscored[reference]
    if not unscored["num"]:
        return ""
    return f"; {unscored['num']} cannot be scored: no reference for {_most_frequent(unscored['elements'])}"


def _most_frequent(count: Mapping[str, int]) -> str:
    return listed(sorted(count, key=lambda symbol: -count[symbol]), most=_NAMED)


def tables(result: Typicality) -> list[Table]:
    """Each set against each reference, the farthest set first; and the structures that lie farthest."""
    all_tables = [_against(result, reference) for reference in result.references]
    if len(result.references) > 1:
        places = list(dict.fromkeys((*result.references, *(r for q in result.queries.values() for r in q.regime))))
        rows = [
            (name, *(str(list(query.regime).count(place)) for place in places))
            for name, query in result.queries.items()
        ]
        all_tables.append(Table("Most typical of", ("structures", *places), rows))
    return all_tables


def _against(result: Typicality, reference: str) -> Table:
    sets = {f"{reference}, held out": result.held_out[reference]}
    sets |= {name: result.queries[name] for name in result.ranked(reference)}
    rows = [
        (
            name,
            who,
            f"{against.num_scored} of {len(against.score)}",
            with_interval(against.atypical),
            with_interval(against.auroc) if against.auroc else "",
            str(sum(query.without_reference[reference].values()) or ""),
            _farthest(query, reference, who),
        )
        for name, query in sets.items()
        for who, against in query.against[reference].items()
    ]
    heads = ("scored", f"atypical at {100 * result.settings['level']:g} %", "AUROC against held-out structures")
    return Table(
        f"Against {reference} (95 % CI)",
        ("structures", "model", *heads, "atoms unscored", "farthest: structure, its farthest atom"),
        rows,
        words=(0, 1, 6),
        caption="; ".join(
            [
                f"{who}: held-out structures differ from calibration ones with p = {entry['p_value']:.2g} "
                "(Kolmogorov–Smirnov)"
                for who, entry in result.uniform[reference].items()
            ]
            + [
                f"of {name}, {note.removeprefix('; ')}"
                for name, query in sets.items()
                if (note := _unscored(query, reference))
            ]
        ),
    )


def _farthest(query: QuerySet, reference: str, model: str) -> str:
    farthest = query.farthest(reference, model)
    if farthest is None:
        return "–"
    structure, atom = farthest
    row = (query.structure_index == list(query.ids).index(structure)) & (query.atom_index == atom)
    return f"{structure}, {chemical_symbols[query.species[row][0]]} {atom}"


def charts(result: Typicality) -> list[Spec]:
    """Of each reference, how well each set is separated from it, and the p-values."""
    return [chart for reference in result.references for chart in _charts_against(result, reference)]


def _charts_against(result: Typicality, reference: str) -> list[Spec]:
    names = result.ranked(reference)
    series = [
        entries(who, [result.queries[name].against[reference][who].auroc or None for name in names])
        for who in result.queries[names[0]].against[reference]
    ]
    sets = {"held out": result.held_out[reference], **{name: result.queries[name] for name in names}}
    uniform = np.geomspace(1e-3, 1, _POINTS)
    curves = [curve("uniform", uniform, uniform, style="null", dash=True)]
    for name, query in sets.items():
        p_value = query.against[reference][result.combined].p_value
        p_value = np.sort(p_value[np.isfinite(p_value)])
        share = np.searchsorted(p_value, uniform, side="right") / max(1, len(p_value))
        curves.append(curve(name, uniform, share, style="baseline" if name == "held out" else "model"))
    return [
        dots(
            f"AUROC of each set against held-out structures of {reference}; 0.5 is chance level.",
            names,
            series,
            axis=f"AUROC against held-out structures of {reference}",
            marks={"chance level": 0.5},
        ),
        lines(
            f"Cumulative distribution of p-values against {reference}; held-out structures follow the uniform one.",
            curves,
            x=f"p-value against {reference}, {result.combined}",
            y="share of structures",
            log_x=True,
            marks=[{"x": result.settings["level"], "name": "level"}],
        ),
    ]
