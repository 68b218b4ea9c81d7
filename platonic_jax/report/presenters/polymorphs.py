"""Presenter of the identification of phases by mean vectors and point clouds."""

from platonic_jax.analyses import Polymorphs
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Table, with_interval

NAME = "polymorphs"
_FIGURES = {
    "identity": "nearest has the same formula",
    "separation": "phases against copies (AUROC)",
    "energy": "rank correlation with energy",
}


def title(result: Polymorphs) -> str:
    """Return the heading."""
    return f"Identification of phases by {' and '.join(result.models)}"


def intro(result: Polymorphs) -> str:
    """Summarise the input in a sentence."""
    return f"{result.num['phases']:,} pairs of phases of {result.num['formulas']:,} formulas."


def verdict(result: Polymorphs) -> list[str]:
    """State how often formula and phase are identified, by pooled vectors and by point clouds."""
    sentences = []
    for model, figures in result.within.items():
        sentence = (
            f"{model}: by mean vectors, the nearest crystal has the same formula in {figures['mean']['identity']:.0%}"
        )
        if "separation" in figures["mean"]:
            separation = ", ".join(f"{entry['separation']:.2f} by {name}" for name, entry in figures.items())
            sentence += f"; the AUROC of phases against perturbed copies is {separation}"
        sentences.append(f"{sentence}.")
    chance = result.chance["phase"]
    for models, figures in result.across.items():
        shown = [figures[how] for how in ("mean", "cloud")]
        excess = "more often" if any(figure.low > chance for figure in shown) else "not significantly more often"
        extent = f"{excess} than by chance: " if all(figure.bounded for figure in shown) else "in "
        sentences.append(
            f"{models}: the same phase is nearest {extent}{shown[0]:.0%} by mean vectors, {shown[1]:.0%} by clouds "
            f"(chance: {100 * chance:.0f} %)."
        )
    return [" ".join(sentences)]


def tables(result: Polymorphs) -> list[Table]:
    """Within each model, and from one model to another."""
    figures = _figures(result)
    rows = [
        (model, how, *(with_interval(entry) for entry in entries.values()))
        for model, ways in result.within.items()
        for how, entries in ways.items()
    ]
    rows.append(("chance", "", *(f"{result.chance[figure]:.3f}" for figure in figures)))
    all_tables = [
        Table(
            f"{result.num['phases']} pairs of phases of {result.num['formulas']} formulas (95 % CI)",
            ("model", "crystals as", *(_FIGURES[figure] for figure in figures)),
            rows,
            words=(0, 1),
        )
    ]
    if result.across:
        ways = list(next(iter(result.across.values())))
        rows = [(models, *(with_interval(entries[how]) for how in ways)) for models, entries in result.across.items()]
        chance = f"chance {result.chance['phase']:.3f}"
        all_tables.append(Table(f"nearest is the same phase; {chance} (95 % CI)", ("models", *ways), rows))
    return all_tables


def charts(result: Polymorphs) -> list[Spec]:
    """Every figure of every model, and what is found again in another."""
    ways = list(next(iter(result.within.values())))
    specs = []
    for figure in _figures(result):
        rows = list(result.within)
        series = [entries(how, [result.within[model][how].get(figure) for model in rows]) for how in ways]
        axis, marks = _FIGURES[figure], {"chance": result.chance[figure]}
        specs.append(dots(f"{axis[0].upper()}{axis[1:]}.", rows, series, axis=axis, marks=marks))
    if result.across:
        rows = list(result.across)
        ways = list(next(iter(result.across.values())))
        series = [entries(how, [result.across[models][how] for models in rows]) for how in ways]
        caption = "Fraction of phases whose nearest in another model is the same phase."
        marks = {"chance": result.chance["phase"]}
        specs.append(dots(caption, rows, series, axis="share of phases found again", marks=marks))
    return specs


def _figures(result: Polymorphs) -> list[str]:
    return list(next(iter(result.within.values()))["mean"])
