"""Error ranking: measures of whether a score orders errors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from platonic_jax._checks import check_count
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, safe_sqrt


class Coverage(NamedTuple):
    """Risk-coverage curve: mean error of the rows kept when those of the largest scores are left out.

    Attributes:
        coverage: (m,) share of the rows that is kept, from 1 / m to 1.
        error: (m,) their mean error.
        gain: () the prediction-rejection ratio (`prediction_rejection`).
    """

    coverage: Float[Array, " m"]
    error: Float[Array, " m"]
    gain: Scalar


def ranks(
    x: Numeric[AnyArray, " n"],
    *,
    groups: Int[AnyArray, " n"] | None = None,
    weights: Numeric[AnyArray, " n"] | None = None,
) -> Float[Array, " n"]:
    """Rank each value among all, or among those of its group, as a share: from 0 to 1, ties get their mean.

    Unchanged by any increasing function of x.

    Args:
        x: Values.
        groups: Labels; values are ranked within each alone.
        weights: How often each value counts, 0 or more; once when absent.

    Returns:
        (r − ½) / n, r the rank from 1; n the number of values, or of those in the group. NaN of a value that is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> diagnostics.ranks(jnp.array([3.0, 1.0, 3.0, 7.0])).tolist()
        [0.5, 0.125, 0.5, 0.875]
    """
    x = as_float(x)
    n = x.shape[0]
    groups = jnp.zeros(n, jnp.int32) if groups is None else groups
    order = jnp.lexsort((x, groups))
    value, group = x[order], groups[order]
    place = jnp.arange(n)
    first_of_group = group != jnp.roll(group, 1)
    new_group = first_of_group.at[0].set(True)
    new_value = new_group | (value != jnp.roll(value, 1))

    def begin_and_end(new: Bool[Array, " n"]) -> tuple[Array, Array]:
        run = jnp.cumsum(new) - 1
        begin = jax.ops.segment_min(place, run, n)
        end = jax.ops.segment_max(place, run, n) + 1
        return begin[run], end[run]

    begin, end = begin_and_end(new_value)
    begin_of_group, end_of_group = begin_and_end(new_group)
    counted = _counted(weights, x)[order]
    below = jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum(counted)])
    middle = (below[begin] + below[end]) / 2 - below[begin_of_group]
    total = below[end_of_group] - below[begin_of_group]
    share = middle / jnp.where(total > 0, total, 1)
    return jnp.where(jnp.isnan(x), jnp.nan, jnp.zeros_like(x).at[order].set(share))


def rank_correlation(
    score: Numeric[AnyArray, " n"],
    error: Numeric[AnyArray, " n"],
    *,
    groups: Int[AnyArray, " n"] | None = None,
    weights: Numeric[AnyArray, " n"] | None = None,
) -> Scalar:
    """Compute Spearman's ρ: the correlation of the ranks, those of ties their mean.

    Args:
        score: Values that should be large where the error is.
        error: Errors.
        groups: Labels; ranks are those within each group, and their correlation is over all rows.
        weights: How often each row counts, 0 or more; once when absent.

    Returns:
        From −1 to 1; 0 by chance. NaN where one of the two is the same everywhere, or has a NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> float(diagnostics.rank_correlation(jnp.array([1.0, 2.0, 3.0]), jnp.array([0.1, 0.2, 5.0])))
        1.0

    Reference:
        Spearman, Am. J. Psychol. 15, 72 (1904).
    """
    score, error = as_float(score), as_float(error)
    a, b = (ranks(values, groups=groups, weights=weights) - jnp.asarray(0.5, score.dtype) for values in (score, error))
    counted = _counted(weights, score)
    return jnp.sum(counted * a * b) / safe_sqrt(jnp.sum(counted * a**2) * jnp.sum(counted * b**2))


def auroc(
    score: Numeric[AnyArray, " n"], positive: Bool[AnyArray, " n"], *, weights: Numeric[AnyArray, " n"] | None = None
) -> Scalar:
    """Compute the area under the ROC curve: P(score of a positive > that of a negative) + ½ P(equal).

    Args:
        score: Values that should be larger for positives.
        positive: Which rows are.
        weights: How often each row counts, 0 or more; once when absent.

    Returns:
        From 0 to 1; ½ by chance. NaN where all rows are of one kind, or a score is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> float(diagnostics.auroc(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([False, False, True, True])))
        0.75

    Reference:
        Hanley & McNeil, Radiology 143, 29 (1982).
    """
    score = as_float(score)
    counted = _counted(weights, score)
    of_positives = jnp.where(jnp.asarray(positive), counted, 0)
    number = jnp.sum(of_positives)
    mean = jnp.sum(ranks(score, weights=weights) * of_positives) / number
    # The mean share of positives lies from p/2, all below, to 1 − p/2, all above, p their own share.
    share = number / jnp.sum(counted)
    return (mean - share / 2) / (1 - share)


def prediction_rejection(
    score: Numeric[AnyArray, " n"], error: Numeric[AnyArray, " n"], *, weights: Numeric[AnyArray, " n"] | None = None
) -> Scalar:
    """Compute the prediction-rejection ratio: the error saved by leaving out large scores, over the most there is.

    It is the area between the risk-coverage curve (`error_against_coverage`) and the mean error, over that area for the
    order of the errors themselves.

    Args:
        score: Values by which rows are left out, the largest first.
        error: Errors, 0 or more.
        weights: How often each row counts, 0 or more; once when absent.

    Returns:
        1 for a perfect order, 0 for one by chance, below 0 for a worse one. NaN where a score or an error is NaN, or
        errors are equal.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> error = jnp.array([1.0, 2.0, 3.0, 4.0])
        >>> float(diagnostics.prediction_rejection(error**2, error))
        1.0

    Reference:
        Malinin, Mlodozeniec & Gales, Ensemble distribution distillation (ICLR 2020).
    """
    score, error = _known(score, error)
    counted = _counted(weights, error)
    total = jnp.sum(counted)
    mean = jnp.sum(counted * error) / total

    def saved(by: Float[Array, " n"]) -> Scalar:
        kept, own = _kept(by, error, counted)
        return mean - jnp.sum(own * kept) / total

    present = counted > 0
    largest, smallest = jnp.max(error, where=present, initial=-jnp.inf), jnp.min(error, where=present, initial=jnp.inf)
    # Equal errors have no order; rounding would make one.
    return jnp.where(largest <= smallest, jnp.nan, saved(score) / saved(error))


def _counted(weights: Numeric[AnyArray, " n"] | None, values: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.ones_like(values) if weights is None else jnp.asarray(weights).astype(values.dtype)


def _known(score: Numeric[AnyArray, " n"], error: Numeric[AnyArray, " n"]) -> tuple[Array, Array]:
    """Both in floating point; errors are NaN where anything is."""
    score, error = as_float(score), as_float(error)
    return score, jnp.where(jnp.any(jnp.isnan(score) | jnp.isnan(error)), jnp.nan, error)


def _kept(
    by: Float[Array, " n"], error: Float[Array, " n"], weights: Float[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Mean error of the rows of smallest score, up to each row in their order, and the weight of that row."""
    n, order = error.shape[0], jnp.argsort(by)
    value, own = by[order], weights[order]
    run = jnp.cumsum((value != jnp.roll(value, 1)).at[0].set(True)) - 1
    total, size = (jax.ops.segment_sum(values, run, n) for values in (own * error[order], own))
    of_ties = (total / jnp.where(size > 0, size, 1))[run]
    number = jnp.cumsum(own)
    return jnp.cumsum(own * of_ties) / jnp.where(number > 0, number, 1), own


def error_against_coverage(
    score: Numeric[AnyArray, " n"], error: Numeric[AnyArray, " n"], *, num_points: int = 20
) -> Coverage:
    """Compute the risk-coverage curve: the mean error of the rows of smallest score, against how many are kept.

    Rows of equal score count by the mean error of all of them: their order tells nothing.

    Args:
        score: Values by which rows are left out, the largest first.
        error: Errors, 0 or more.
        num_points: Points m of the curve (static), at most n.

    Returns:
        The curve and its prediction-rejection ratio. NaN where a score or an error is NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import diagnostics
        >>> error = jnp.array([1.0, 2.0, 3.0, 4.0])
        >>> found = diagnostics.error_against_coverage(error, error, num_points=4)
        >>> found.error.tolist(), float(found.gain)
        ([1.0, 1.5, 2.0, 2.5], 1.0)

    Reference:
        Geifman & El-Yaniv, Selective classification for deep neural networks (NeurIPS 2017).
    """
    score, error = _known(score, error)
    n = error.shape[0]
    check_count("num_points", num_points, most=n, bound="the number of rows n", fix="give more rows")
    curve, _ = _kept(score, error, jnp.ones_like(error))
    places = np.arange(1, num_points + 1, dtype=np.int64) * n // num_points - 1
    coverage = jnp.asarray((places + 1) / n, error.dtype)
    return Coverage(coverage, curve[places], prediction_rejection(score, error))
