"""What vectors and clouds keep of the phase."""

from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval
from platonic_jax.studies import Polymorphs

NAME = "polymorphs"
_FIGURES = {
    "identity": "nearest has the formula",
    "separation": "phases told from copies (AUROC)",
    "energy": "rank correlation with energy",
}


def title(found: Polymorphs) -> str:
    """The heading."""
    return f"Do {' and '.join(found.models)} keep the phase?"


def intro(found: Polymorphs) -> str:
    """What was looked at."""
    return f"{found.num['phases']:,} pairs of phases of {found.num['formulas']:,} formulas."


def tables(found: Polymorphs) -> list[Table]:
    """Within each model, and from one model to another."""
    figures = _figures(found)
    rows = [
        (model, how, *(with_interval(entry) for entry in of.values()))
        for model, ways in found.within.items()
        for how, of in ways.items()
    ]
    rows.append(("chance", "", *(f"{found.chance[figure]:.3f}" for figure in figures)))
    made = [
        Table(
            f"{found.num['phases']} pairs of phases of {found.num['formulas']} formulas [95 % CI]",
            ("model", "crystals as", *(_FIGURES[figure] for figure in figures)),
            rows,
            words=(0, 1),
        )
    ]
    if found.across:
        ways = list(next(iter(found.across.values())))
        rows = [(models, *(with_interval(of[how]) for how in ways)) for models, of in found.across.items()]
        chance = f"by chance {found.chance['phase']:.3f}"
        made.append(Table(f"the same phase found again; {chance} [95 % CI]", ("models", *ways), rows))
    return made


def charts(found: Polymorphs) -> list[tuple[str, _charts.Spec]]:
    """Every figure of every model, and what is found again in another."""
    ways = list(next(iter(found.within.values())))
    made = []
    for figure in _figures(found):
        rows = list(found.within)
        series = [_charts.entries(how, [found.within[model][how].get(figure) for model in rows]) for how in ways]
        marks = {"chance": found.chance[figure]}
        made.append(
            (f"{_FIGURES[figure]}.".capitalize(), _charts.dots(rows, series, axis=_FIGURES[figure], marks=marks))
        )
    if found.across:
        rows = list(found.across)
        ways = list(next(iter(found.across.values())))
        series = [_charts.entries(how, [found.across[models][how] for models in rows]) for how in ways]
        spec = _charts.dots(rows, series, axis="share of phases", marks={"chance": found.chance["phase"]})
        made.append(("Phases of one model that are found again in another.", spec))
    return made


def _figures(found: Polymorphs) -> list[str]:
    return list(next(iter(found.within.values()))["mean"])
