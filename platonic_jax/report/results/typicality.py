"""What is typical of a reference, and what is not."""

import numpy as np
from ase.data import chemical_symbols

from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval
from platonic_jax.studies import Typicality
from platonic_jax.studies._typicality_record import Judged

NAME = "typicality"
_POINTS = 200  # Of a curve; a screen has no more.


def title(found: Typicality) -> str:
    """The heading."""
    return f"What is typical of {' and '.join(found.references)}?"


def intro(found: Typicality) -> str:
    """What was looked at."""
    number = sum(len(judged.ids) for judged in found.queries.values())
    sets = f"{number:,} structures of {len(found.queries)} set{'' if len(found.queries) == 1 else 's'}"
    return f"{sets}, judged without energies or forces by {', '.join(found.models)}."


def tables(found: Typicality) -> list[Table]:
    """Each set against each reference, the farthest set first; and the structures that lie farthest."""
    made = [_against(found, reference) for reference in found.references]
    if len(found.references) > 1:
        places = list(dict.fromkeys((*found.references, *(r for q in found.queries.values() for r in q.regime))))
        rows = [
            (name, *(str(list(judged.regime).count(place)) for place in places))
            for name, judged in found.queries.items()
        ]
        made.append(Table("Most typical of", ("structures", *places), rows))
    return made


def _against(found: Typicality, reference: str) -> Table:
    sets = {f"{reference}, held out": found.held_out[reference]}
    sets |= {name: found.queries[name] for name in found.ranked(reference)}
    rows = [
        (
            name,
            who,
            f"{against.atypical['of']} of {len(against.score)}",
            with_interval(against.atypical),
            with_interval(against.auroc) if against.auroc else "",
            str(sum(judged.without_reference[reference].values()) or ""),
            _farthest(judged, reference, who),
        )
        for name, judged in sets.items()
        for who, against in judged.against[reference].items()
    ]
    heads = ("scored", f"atypical at {100 * found.settings['level']:g} %", "AUROC against held-out ones")
    return Table(
        f"Against {reference} [95 % CI]",
        ("structures", "model", *heads, "atoms unscored", "farthest: structure, its farthest atom"),
        rows,
        words=(0, 1, 6),
        caption="; ".join(
            [
                f"{who}: held-out structures differ from calibration ones with p = {entry['p_value']:.2g} "
                "(Kolmogorov–Smirnov)"
                for who, entry in found.uniform[reference].items()
            ]
            + [
                f"of {name}, {told.removeprefix('; ')}"
                for name, judged in sets.items()
                if (told := judged.told_unscored(reference))
            ]
        ),
    )


def _farthest(judged: Judged, reference: str, model: str) -> str:
    found = judged.farthest(reference, model)
    if found is None:
        return "–"
    structure, atom = found
    row = (judged.structure_index == list(judged.ids).index(structure)) & (judged.atom_index == atom)
    return f"{structure}, {chemical_symbols[judged.species[row][0]]} {atom}"


def charts(found: Typicality) -> list[tuple[str, _charts.Spec]]:
    """Of each reference, how well each set is told from it, and the p-values."""
    return [chart for reference in found.references for chart in _charts_against(found, reference)]


def _charts_against(found: Typicality, reference: str) -> list[tuple[str, _charts.Spec]]:
    names = found.ranked(reference)
    series = [
        _charts.entries(who, [found.queries[name].against[reference][who].auroc or None for name in names])
        for who in found.queries[names[0]].against[reference]
    ]
    sets = {"held out": found.held_out[reference], **{name: found.queries[name] for name in names}}
    uniform = np.geomspace(1e-3, 1, _POINTS)
    curves = [_charts.curve("uniform", uniform, uniform, style="null", dash=True)]
    for name, judged in sets.items():
        p_value = judged.against[reference][found.judge].p_value
        p_value = np.sort(p_value[np.isfinite(p_value)])
        share = np.searchsorted(p_value, uniform, side="right") / max(1, len(p_value))
        curves.append(_charts.curve(name, uniform, share, style="baseline" if name == "held out" else "model"))
    return [
        (
            f"How well structures are told from held-out ones of {reference}; ½ is not at all.",
            _charts.dots(names, series, axis="AUROC", marks={"no difference": 0.5}),
        ),
        (
            f"The share of structures with a p-value against {reference} of at most so much: held-out ones follow the "
            "dashed line.",
            _charts.lines(
                curves,
                x=f"p-value, {found.judge}",
                y="share of structures",
                log_x=True,
                marks=[{"x": found.settings["level"], "name": "level"}],
            ),
        ),
    ]
