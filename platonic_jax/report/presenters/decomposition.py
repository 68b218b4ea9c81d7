"""Presenter of the decomposition of agreement by shared factors."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from platonic_jax.analyses import Decomposition, Estimate, Explained
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Strong, Table, with_interval
from platonic_jax.report._texts import measure_text, number, series

NAME = "decomposition"
LEVEL = 0.05
_BEYOND = {"structures exchanged": "beyond the null", "exchanged within element": "beyond the element"}


def title(result: Decomposition) -> str:
    """Return the heading."""
    return f"Factors of the agreement of {result.num['models']} models"


def intro(result: Decomposition) -> str:
    """Summarise the input in a sentence."""
    left_out = f", without {len(result.dependent)} that share weights" if result.dependent else ""
    return (
        f"{result.num['pairs']} pairs of {result.num['models']} trained models{left_out}; "
        f"{result.num['permutations']:,} permutations of the models."
    )


def verdict(result: Decomposition) -> list[str]:
    """Name, for each measure, the factors that go with more similarity, and what cannot be separated."""
    sentences = [_sentence(name, null, explained) for name, null, explained in _each(result)]
    if result.inseparable:
        groups = "; ".join(series([_words(name) for name in group]) for group in result.inseparable)
        sentences.append(f"With these models the following factors cannot be separated: {groups}.")
    if result.constant:
        names = series([_words(name) for name in result.constant])
        sentences.append(f"Nothing can be said of {names}: all pairs have it in common, or none.")
    if result.repeated:
        sentences.append(f"Left out, as checkpoints of the same training as another model: {series(result.repeated)}.")
    if not result.twins:
        sentences.append("No two models share every factor, so there is no noise ceiling.")
    return sentences


def _sentence(name: str, null: str, explained: Explained) -> str:
    heading = f"{measure_text(name).title}, {_BEYOND[null]}"
    significant = [
        f"sharing the {_words(factor)} changes the similarity by {estimate:+.3f}, adjusted p = "
        f"{explained.adjusted[factor]:.2g}"
        for factor, estimate in explained.coefficients.items()
        if explained.adjusted[factor] <= LEVEL
    ]
    untested = [_words(factor) for factor, p in explained.adjusted.items() if not np.isfinite(p)]
    effect = "; ".join(significant) if significant else "no single factor has a significant effect"
    effect += f" ({series(untested)} cannot be tested with so few models)" if untested else ""
    ceiling = explained.ceiling
    beside = "" if ceiling is None else f" Models that share all of them reach {ceiling.value:.3f}."
    return f"{heading}: {effect}. All factors explain {100 * explained.total:.0f} % of the variance over pairs.{beside}"


def _each(result: Decomposition) -> Iterator[tuple[str, str, Explained]]:
    for name, nulls in result.measures.items():
        for null, explained in nulls.items():
            yield name, null, explained


def _words(factor: str) -> str:
    return factor.replace("_", " ")


def tables(result: Decomposition) -> list[Table]:
    """Coefficients, shares of the variance, means by shared factors, and the factors of each model."""
    coefficients, shares, means = [], [], []
    for name, null, explained in _each(result):
        what = (measure_text(name).title, null)
        for factor, estimate in explained.coefficients.items():
            omission = explained.omissions[factor]
            label = _words(factor)
            coefficients.append(
                (
                    *what,
                    Strong(label) if explained.adjusted[factor] <= LEVEL else label,
                    with_interval(estimate),
                    number(np.nan if estimate.p is None else estimate.p),
                    number(explained.adjusted[factor]),
                    number(explained.partial[factor]),
                    f"{number(omission.low)} to {number(omission.high)}",
                )
            )
        shares += [
            (*what, _words(factor), with_interval(estimate), number(estimate.null))
            for factor, estimate in explained.shares.items()
            if estimate.null is not None
        ]
        means += [
            (*what, _words(common), number(mean), f"{count}") for common, (mean, count) in explained.means.items()
        ]
    levels = [
        (model, *(result.factors[factor][i] for factor in result.factors)) for i, model in enumerate(result.models)
    ]
    words = (0, 1, 2)
    return [
        Table(
            "What sharing a factor adds to the similarity of two models, the others held (95 % CI)",
            (
                "measure",
                "null",
                "factor",
                "coefficient",
                "p",
                "adjusted p",
                "partial correlation",
                "one model left out",
            ),
            coefficients,
            words=words,
            caption="Tested by permuting models (MRQAP); p adjusted for the number of factors (Holm); distances "
            "negated",
        ),
        Table(
            "Share of the variance over pairs (95 % CI)",
            ("measure", "null", "factor", "share", "share when models are permuted"),
            shares,
            words=words,
        ),
        Table(
            "Mean effect of the pairs that share the same factors",
            ("measure", "null", "shared", "effect", "pairs"),
            means,
            words=words,
        ),
        Table(
            "Factors of the models",
            ("model", *map(_words, result.factors)),
            levels,
            words=range(len(result.factors) + 1),
        ),
    ]


def charts(result: Decomposition) -> list[Spec]:
    """Coefficients of every factor, and shares of the variance beside their nulls, one chart for each null."""
    drawn = []
    for null, beyond in _BEYOND.items():
        chosen = {name: nulls[null] for name, nulls in result.measures.items() if null in nulls}
        factors = list(dict.fromkeys(label for explained in chosen.values() for label in explained.shares))
        if not factors:
            continue
        share = [entries(measure_text(name).title, _column(one.shares, factors)) for name, one in chosen.items()]
        nulls = [next(iter(chosen.values())).shares[factor].null for factor in factors]
        drawn.append(
            dots(
                f"Share of the variance over pairs of models, {beyond}.",
                [_words(factor) for factor in factors],
                [*share, entries("models permuted", nulls, style="null")],
                axis="share of the variance",
            )
        )
        for name, explained in chosen.items():
            labels = list(explained.coefficients)
            if labels:
                drawn.append(
                    dots(
                        f"{measure_text(name).title}, {beyond}: what sharing a factor adds.",
                        [_words(factor) for factor in labels],
                        [entries("coefficient", _finite(explained, labels))],
                        axis="added similarity",
                        marks={"none": 0.0},
                    )
                )
    return drawn


def _column(shares: Mapping[str, Estimate], factors: Sequence[str]) -> list[Estimate | None]:
    return [shares.get(factor) for factor in factors]


def _finite(explained: Explained, labels: Sequence[str]) -> list[Estimate | float]:
    """Estimates, or the bare value where the interval has no end."""
    return [estimate if (estimate := explained.coefficients[factor]).bounded else estimate.value for factor in labels]
