"""Presenter of the atlas, and of a model that is placed in it."""

import numpy as np

from platonic_jax.analyses import Atlas, Deviation, Element, Estimate, Place, arrangement
from platonic_jax.charts import Spec, dots, entries, matrix
from platonic_jax.report._table import Strong, Table, with_interval
from platonic_jax.report._texts import many, measure_text, number, series

NAME = "atlas"
_NEIGHBOURS = "mutual_knn_other_structures"
_BEYOND = "beyond the element"
_MOST = 20  # Elements in a chart.


def title(result: Atlas) -> str:
    """Return the heading."""
    return f"{result.place.model} in the atlas" if result.place else f"Atlas of {len(result.models)} models"


def intro(result: Atlas) -> str:
    """Summarise the input in a sentence."""
    num = result.num
    controls = result.kinds.count("random")
    part = f" of {num['all_structures']:,}" if num["structures"] < num["all_structures"] else ""
    return (
        f"{many(num['models'] - controls, 'trained model')} and {many(controls, 'untrained control')} on "
        f"{num['atoms']:,} atoms, one of each symmetry orbit, of {num['structures']:,}{part} structures; "
        f"{many(num['anchors'], 'anchor')}; neighbours are the {result.settings['num_neighbours']} nearest atoms of "
        "other structures."
    )


def verdict(result: Atlas) -> list[str]:
    """Name the nearest models and the elements that differ; without a model, the nearest and the farthest pair."""
    return _placed(result, result.place) if result.place else _alone(result)


def _placed(result: Atlas, place: Place) -> list[str]:
    shares, names = result.similarities[_NEIGHBOURS][place.model], _names(result)
    procrustes = result.similarities["procrustes"][place.model]
    nearest, others = shares[place.nearest], [names[name] for name in place.close[1:]]
    sentences = []
    if place.itself:
        sentences.append(f"{place.model} is itself in the atlas, and is compared with the other models.")
    sentences.append(
        f"{place.model} is nearest to {place.nearest}: they share {nearest:.0%} of the nearest atoms in other "
        f"structures, {_effect(nearest)} {_BEYOND}; Procrustes similarity {procrustes[place.nearest]:.2f}."
    )
    sentences.append(f"{series(others)} cannot be distinguished from it." if others else "No other is as near.")
    controls = [shares[name] for name, kind in zip(result.models, result.kinds, strict=True) if kind == "random"]
    if controls:
        sentences.append(f"The nearest untrained control shares {max(controls, key=lambda one: one.value):.0%}.")
    differing = [
        f"{symbol} ({100 * one.all.value:.0f} against {100 * one.among.value:.0f} %)"
        for symbol, one, difference in _differing(result)
        if one.all is not None and difference.high < 0
    ]
    if differing:
        sentences.append(
            "Compared with the neighbours that trained models share with each other, it shares least for atoms of "
            f"{series(differing[:5])}."
        )
    return [" ".join(sentences)]


def _alone(result: Atlas) -> list[str]:
    trained = {name for name, kind in zip(result.models, result.kinds, strict=True) if kind == "model"}
    pairs = [
        (one, other, share)
        for one, others in result.similarities[_NEIGHBOURS].items()
        for other, share in others.items()
        if {one, other} <= trained
    ]
    near, far = (choose(pairs, key=lambda pair: pair[2].value) for choose in (max, min))
    words = (
        lambda pair: f"{pair[0]} and {pair[1]}, which share {pair[2]:.0%} of neighbours, {_effect(pair[2])} {_BEYOND}"
    )
    sentences = [f"The nearest trained models are {words(near)}."]
    if len(pairs) > 1:
        sentences.append(f"The farthest are {words(far)}.")
    controls = [
        share.value
        for one, others in result.similarities[_NEIGHBOURS].items()
        for other, share in others.items()
        if len({one, other} & trained) == 1
    ]
    if controls:
        sentences.append(
            f"A trained model and an untrained control share {100 * min(controls):.0f} to {100 * max(controls):.0f} %."
        )
    return [" ".join(sentences)]


def _effect(estimate: Estimate) -> str:
    assert estimate.effect is not None
    return f"{estimate.effect:.0%}"


def _names(result: Atlas) -> dict[str, str]:
    return dict(zip(result.models, arrangement.labels(result), strict=True))


def _numbered(result: Atlas) -> list[tuple[int, str]]:
    return list(enumerate(arrangement.labels(result), start=1))


def _short(value: float) -> str:
    return f"{np.round(value, 2) + 0.0:.2f}" if np.isfinite(value) else "–"


def _differing(result: Atlas) -> list[tuple[str, Element, Estimate]]:
    """Elements and their differences, those first where the placed model differs most."""
    known = [(symbol, one, one.difference) for symbol, one in result.elements.items() if one.difference is not None]
    return sorted(known, key=lambda entry: np.nan_to_num(entry[2].value, nan=np.inf))


def tables(result: Atlas) -> list[Table]:
    """Similarities, elements, and the models; of a placed model also the structures and atoms that differ."""
    facts = [
        (name if result.place else f"{i} {name}", *(values[i - 1] or "–" for values in result.facts.values()))
        for i, name in _numbered(result)
    ]
    heads = ("model", *(fact.replace("_", " ") for fact in result.facts))
    described = Table("Models of the atlas", heads, facts, words=range(len(heads)))
    return [*(_of_place(result, result.place) if result.place else _of_pairs(result)), described]


def _of_place(result: Atlas, place: Place) -> list[Table]:
    names = _names(result)
    shares, procrustes = result.similarities[_NEIGHBOURS][place.model], result.similarities["procrustes"][place.model]
    ranked = sorted(result.models, key=lambda name: -shares[name].value)
    similar = [
        (
            Strong(names[name]) if name in place.close else names[name],
            *(cell for one in (shares[name], procrustes[name]) for cell in _cells(one)),
            with_interval(place.behind[name]) if name in place.behind else "–",
        )
        for name in ranked
    ]
    elements = [
        (
            symbol,
            f"{one.num_atoms}",
            f"{one.num_structures}",
            *(with_interval(share) for share in (one.nearest, one.all, one.among, one.difference) if share is not None),
        )
        for symbol, one, _ in _differing(result)
    ]
    num = result.num
    common = ("with the nearest", "with trained models", "among trained models")
    return [
        Table(
            "Similarity to the models of the atlas (95 % CI)",
            (
                "model",
                *("shared neighbours", f"{_BEYOND} (neighbours)", "p (neighbours)"),
                *("Procrustes similarity", f"{_BEYOND} (Procrustes)", "p (Procrustes)"),
                "share less than the nearest",
            ),
            similar,
            caption="Bold: not distinguished from the nearest; differences hold for all models at once (Bonferroni); "
            f"{num.get('tested_groups', 0)} of {num.get('groups', 0)} elements tested",
        ),
        Table(
            "Shared neighbours of the atoms of each element (95 % CI)",
            ("element", "atoms", "structures", *common, "difference"),
            elements,
            caption="Difference: with trained models − among trained models; intervals hold for one element",
        ),
        _deviating("Structures with fewest shared neighbours, compared with trained models", place.structures),
        _deviating("Atoms with fewest shared neighbours, compared with trained models", place.atoms),
    ]


def _cells(estimate: Estimate) -> tuple[str, str, str]:
    assert estimate.effect is not None
    p = np.nan if estimate.p is None else estimate.p
    return with_interval(estimate), with_interval(estimate.effect), number(p)


def _deviating(heading: str, deviations: list[Deviation]) -> Table:
    rows = [
        (
            one.structure,
            one.formula,
            *(() if one.atom is None else (one.element, f"{one.atom}")),
            *map(number, (one.nearest, one.all, one.among)),
        )
        for one in deviations
    ]
    of_atoms = any(one.atom is not None for one in deviations)
    heads = ("structure", "formula", *(("element", "atom") if of_atoms else ()))
    return Table(
        heading,
        (*heads, "with the nearest", "with trained models", "among trained models"),
        rows,
        words=range(3 if of_atoms else 2),
    )


def _of_pairs(result: Atlas) -> list[Table]:
    names, numbers = [f"{i} {name}" for i, name in _numbered(result)], [f"{i}" for i, _ in _numbered(result)]
    tables = []
    for measure in result.similarities:
        for what, heading in (("value", ""), ("effect", f", {_BEYOND}")):
            values = _square(result, measure, what)
            rows = [(name, *map(_short, row)) for name, row in zip(names, values, strict=True)]
            tables.append(Table(f"{measure_text(measure).title}{heading}", ("model", *numbers), rows))
    elements = [
        (
            symbol,
            f"{one.num_atoms}",
            f"{one.num_structures}",
            with_interval(one.among),
            *(_short(one.models[name]) for name in result.models),
        )
        for symbol, one in result.elements.items()
    ]
    tables.append(
        Table(
            "Shared neighbours of the atoms of each element: among trained models (95 % CI), of each model with these",
            ("element", "atoms", "structures", "among trained models", *numbers),
            elements,
        )
    )
    return tables


def _square(result: Atlas, measure: str, what: str) -> np.ndarray:
    """Values of all pairs: `value`, `low` or `high`, or `effect`."""
    place = {name: i for i, name in enumerate(result.models)}
    square = np.full((len(place), len(place)), np.nan)
    for one, others in result.similarities[measure].items():
        for other, estimate in others.items():
            i, j = place[one], place[other]
            known = estimate.effect or Estimate(np.nan)
            square[i, j] = square[j, i] = known.value if what == "effect" else getattr(estimate, what)
    return square


def charts(result: Atlas) -> list[Spec]:
    """Similarities of the placed model and its elements; of the atlas alone, a matrix of each measure."""
    if result.place is None:
        names = list(_names(result).values())
        return [
            matrix(
                f"{measure_text(measure).title} of the models of the atlas.",
                names,
                _square(result, measure, "value"),
                low=_square(result, measure, "low"),
                high=_square(result, measure, "high"),
            )
            for measure in result.similarities
        ]
    model, names = result.place.model, _names(result)
    shares = result.similarities[_NEIGHBOURS][model]
    ranked = sorted(result.models, key=lambda name: -shares[name].value)
    kind = dict(zip(result.models, result.kinds, strict=True))
    drawn = []
    for measure in (_NEIGHBOURS, "procrustes"):
        estimates = result.similarities[measure][model]
        of_kind = lambda wanted, estimates=estimates: [
            estimates[name] if kind[name] == wanted else None for name in ranked
        ]
        lanes = [("trained models", "model"), ("untrained controls", "random")]
        drawn.append(
            dots(
                f"{measure_text(measure).title} of {model} and the models of the atlas.",
                [names[name] for name in ranked],
                [
                    *(entries(label, of_kind(word), style=word) for label, word in lanes if word in kind.values()),
                    entries("permuted within element", [estimates[name].null for name in ranked], style="null"),
                ],
                axis=measure_text(measure).title,
            )
        )
    differing = [(symbol, one) for symbol, one, difference in _differing(result) if difference.bounded][:_MOST]
    if differing:
        drawn.append(
            dots(
                f"The elements for whose atoms {model} differs most from trained models, compared with these.",
                [symbol for symbol, _ in differing],
                [
                    entries("with trained models", [one.all for _, one in differing]),
                    entries("among trained models", [one.among for _, one in differing], style="baseline"),
                ],
                axis=measure_text(_NEIGHBOURS).title,
            )
        )
    return drawn
