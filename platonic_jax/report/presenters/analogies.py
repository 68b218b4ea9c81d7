"""Presenter of analogies A₁B : A₂B :: A₁C : A₂C."""

from platonic_jax.analyses import Analogies, Estimate
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import independent_groups

NAME = "analogies"
_FIGURES = {"hit_1": "first", "hit_10": "first ten", "median_rank": "median rank", "phase": "phase"}
_STYLES = {"random": "random", "elements": "baseline", "composition": "baseline"}


def title(result: Analogies) -> str:
    """Return the heading."""
    return f"Analogies between crystals in {' and '.join(result.models)}"


def intro(result: Analogies) -> str:
    """Summarise the input in a sentence."""
    num = result.num
    return f"{num['quadruples']:,} quadruples of {num['prototypes']:,} prototypes, {num['candidates']:,} candidates."


def verdict(result: Analogies) -> list[str]:
    """Compare the hit rates of the models with those of the composition baseline."""
    sentences = []
    baseline = next(name for name, kind in result.kinds.items() if kind == "composition")
    for name in (name for name, kind in result.kinds.items() if kind == "model"):
        figures = result.figures[name]
        sentence = (
            f"{name} answers {figures['hit_1']:.0%} of {result.num['quadruples']} analogies correctly, the composition "
            f"baseline {result.figures[baseline]['hit_1']:.0%}"
        )
        if result.num["phase"]:
            sentence += f"; among polymorphs {_phase(figures['phase'], result.chance['phase'])}"
        sentences.append(f"{sentence}.")
    groups = result.groups
    sentences.append(
        f"The quadruples fall into {groups.num} groups that share no crystal, the largest of {groups.largest}; "
        f"{independent_groups(groups)}."
    )
    return [" ".join(sentences)]


def _phase(phase: Estimate, chance: float) -> str:
    if not phase.bounded:
        says = "the phase is right in "
    elif phase.low > chance:
        says = "the phase is right more often than for the composition baseline: "
    else:
        says = "the phase is not significantly more often right than for the composition baseline: "
    return f"{says}{phase:.0%} (composition baseline: {100 * chance:.0f} %)"


def tables(result: Analogies) -> list[Table]:
    """A row for each kind of vector, and chance."""
    num = result.num
    rows = [
        (name, *(with_interval(entry[figure]) for figure in result.chance)) for name, entry in result.figures.items()
    ]
    rows.append(("chance", *(f"{value:.3g}" for value in result.chance.values())))
    heads = [
        f"{_FIGURES[figure]}, of {num['phase']}" if figure == "phase" else _FIGURES[figure] for figure in result.chance
    ]
    return [
        Table(
            f"{num['quadruples']} quadruples of {num['prototypes']} prototypes among {num['candidates']} crystals "
            "(95 % CI)",
            ("vectors", *heads),
            rows,
            caption=f"{result.groups.num} groups of quadruples that share no crystal, the largest of "
            f"{result.groups.largest}; {independent_groups(result.groups)}",
        )
    ]


def charts(result: Analogies) -> list[Spec]:
    """Every figure, beside chance."""
    rows = list(result.figures)
    captions = {
        "hit_1": ("The share of quadruples whose nearest crystal is the answer.", "share, right answer first"),
        "hit_10": ("The share of quadruples with the answer among the nearest ten.", "share, right answer in ten"),
        "median_rank": ("The median rank of the answer.", "median rank of the answer"),
        "phase": ("The share of answers with polymorphs whose nearest is the right phase.", "share, right phase"),
    }
    specs = []
    for figure in result.chance:
        styles = {name: _STYLES.get(kind, "model") for name, kind in result.kinds.items()}
        series = [
            entries(
                label, [result.figures[name][figure] if styles[name] == style else None for name in rows], style=style
            )
            for style, label in (("model", "models"), ("random", "random weights"), ("baseline", "baselines"))
            if style in styles.values()
        ]
        caption, axis = captions[figure]
        log, marks = figure == "median_rank", {"chance": result.chance[figure]}
        specs.append(dots(caption, rows, series, axis=axis, log=log, marks=marks))
    return specs
