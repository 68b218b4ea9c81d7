"""Results of a decomposition."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from platonic_jax.analyses._result import Estimate, Result


class Omission(NamedTuple):
    """Range of a coefficient when one model after the other is left out.

    Attributes:
        low: Least coefficient; NaN where it cannot be estimated without any model.
        high: Largest coefficient.
        without_low: Model without which it is least.
        without_high: Model without which it is largest.
        undefined: Models without which it cannot be estimated.
    """

    low: float
    high: float
    without_low: str
    without_high: str
    undefined: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """One measure beyond one null, explained by factors that two models share.

    Attributes:
        coefficients: Factor → what sharing it adds to the similarity of two models while the other factors are held,
            in units of the measure (of a distance, what it takes away), with p; NaN where these models cannot test it.
        adjusted: Factor → p-value, adjusted for the number of factors (Holm).
        partial: Factor → correlation with the similarity, both without what the other factors explain, −1 to 1.
        shares: Factor, or factors that cannot be separated → share of the variance over pairs, averaged over the orders
            in which factors enter; `null` is its mean when models are permuted.
        total: Share of the variance that all factors explain together, 0 to 1.
        omissions: Factor → range of its coefficient when single models are left out.
        means: Factors that two models share, in words → mean effect of these pairs, and their number.
        ceiling: Mean effect of twins, pairs that share every factor, with the extremes as its ends; None without twins.
    """

    coefficients: Mapping[str, Estimate]
    adjusted: Mapping[str, float]
    partial: Mapping[str, float]
    shares: Mapping[str, Estimate]
    total: float
    omissions: Mapping[str, Omission]
    means: Mapping[str, tuple[float, int]]
    ceiling: Estimate | None


@dataclasses.dataclass(frozen=True, eq=False)
class Decomposition(Result):
    """Agreement between models, explained by what they share.

    Attributes:
        models: Names of the trained models that take part.
        factors: Factor → its level of each model.
        measures: Measure → null → `Explained`; nulls are `structures exchanged` and `exchanged within element`.
        constant: Factors that all pairs share, or none: nothing can be said of them.
        inseparable: Sets of factors that the models given cannot separate: no coefficient is estimated.
        repeated: Models left out: another has the same weights, or is of the same training, and the same factors.
        dependent: Pairs that take no part: the same weights, or a fine-tune.
        twins: Pairs that share every factor, but not their weights.
        undefined: Measures that take no part, and the reason.
        num: Numbers of `models`, `pairs` and `permutations`.
        settings: Parameters, and the methods of tests and intervals.
        provenance: Of the comparison.
    """

    models: list[str]
    factors: Mapping[str, list[str]]
    measures: Mapping[str, Mapping[str, Explained]]
    constant: list[str]
    inseparable: list[list[str]]
    repeated: list[str]
    dependent: list[list[str]]
    twins: list[list[str]]
    undefined: Mapping[str, str]
    num: Mapping[str, int]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
