"""Presenter of typicality: outlier scores of sets relative to references."""

import numpy as np
from ase.data import chemical_symbols

from platonic_jax.analyses import Typicality
from platonic_jax.analyses._typicality._record import Judged
from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval

NAME = "typicality"
_POINTS = 200  # Of a curve; a screen has no more.


def title(result: Typicality) -> str:
    """Return the heading."""
    return f"Outliers relative to {' and '.join(result.references)}"


def intro(result: Typicality) -> str:
    """Summarise the input in a sentence."""
    number = sum(len(query.ids) for query in result.queries.values())
    sets = f"{number:,} structures of {len(result.queries)} set{'' if len(result.queries) == 1 else 's'}"
    return f"{sets}, scored without energies or forces by {', '.join(result.models)}."


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
            f"{against.atypical['of']} of {len(against.score)}",
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
        f"Against {reference} [95 % CI]",
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
                if (note := query.told_unscored(reference))
            ]
        ),
    )


def _farthest(query: Judged, reference: str, model: str) -> str:
    farthest = query.farthest(reference, model)
    if farthest is None:
        return "–"
    structure, atom = farthest
    row = (query.structure_index == list(query.ids).index(structure)) & (query.atom_index == atom)
    return f"{structure}, {chemical_symbols[query.species[row][0]]} {atom}"


def charts(result: Typicality) -> list[tuple[str, _charts.Spec]]:
    """Of each reference, how well each set is told from it, and the p-values."""
    return [chart for reference in result.references for chart in _charts_against(result, reference)]


def _charts_against(result: Typicality, reference: str) -> list[tuple[str, _charts.Spec]]:
    names = result.ranked(reference)
    series = [
        _charts.entries(who, [result.queries[name].against[reference][who].auroc or None for name in names])
        for who in result.queries[names[0]].against[reference]
    ]
    sets = {"held out": result.held_out[reference], **{name: result.queries[name] for name in names}}
    uniform = np.geomspace(1e-3, 1, _POINTS)
    curves = [_charts.curve("uniform", uniform, uniform, style="null", dash=True)]
    for name, query in sets.items():
        p_value = query.against[reference][result.judge].p_value
        p_value = np.sort(p_value[np.isfinite(p_value)])
        share = np.searchsorted(p_value, uniform, side="right") / max(1, len(p_value))
        curves.append(_charts.curve(name, uniform, share, style="baseline" if name == "held out" else "model"))
    return [
        (
            f"AUROC of each set against held-out structures of {reference}; 0.5 is chance level.",
            _charts.dots(names, series, axis="AUROC", marks={"no difference": 0.5}),
        ),
        (
            f"Cumulative distribution of p-values against {reference}: held-out structures follow the dashed line.",
            _charts.lines(
                curves,
                x=f"p-value, {result.judge}",
                y="share of structures",
                log_x=True,
                marks=[{"x": result.settings["level"], "name": "level"}],
            ),
        ),
    ]
