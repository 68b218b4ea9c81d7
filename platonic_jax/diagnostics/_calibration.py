"""Does a score tell where a model errs?"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from platonic_jax._checks import check_count
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, safe_sqrt


class Coverage(NamedTuple):
    """The mean error of what is kept when the rows of the largest scores are left out.

    Attributes:
        coverage: (m,) share of the rows that is kept, from 1 / m to 1.
        error: (m,) their mean error.
        gain: () how much of what a perfect order would save is saved: 1 for the order of the errors themselves, 0 for
            one by chance, below 0 for a worse one; the area between the curve and the mean error over that of the
            perfect order.
    """

    coverage: Float[Array, " m"]
    error: Float[Array, " m"]
    gain: Scalar


def ranks(x: Numeric[AnyArray, " n"], *, groups: Int[AnyArray, " n"] | None = None) -> Float[Array, " n"]:
    """Rank of each value among all, or among those of its group, as a share: from 0 to 1, ties get their mean.

    Unchanged by any increasing function of x.

    Args:
        x: Values.
        groups: Labels; values are ranked within each alone.

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
    middle = (begin + end).astype(x.dtype) / 2 - begin_of_group.astype(x.dtype)
    share = middle / (end_of_group - begin_of_group).astype(x.dtype)
    return jnp.where(jnp.isnan(x), jnp.nan, jnp.zeros_like(x).at[order].set(share))


def rank_correlation(score: Numeric[AnyArray, " n"], error: Numeric[AnyArray, " n"]) -> Scalar:
    """Spearman's ρ: the correlation of the ranks, those of ties their mean.

    Given shares of `ranks` within groups, it is the correlation within groups.

    Args:
        score: Values that should be large where the error is.
        error: Errors.

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
    a, b = (ranks(values) - jnp.asarray(0.5, score.dtype) for values in (score, error))
    return jnp.sum(a * b) / safe_sqrt(jnp.sum(a**2) * jnp.sum(b**2))


def auroc(score: Numeric[AnyArray, " n"], positive: Bool[AnyArray, " n"]) -> Scalar:
    """Area under the receiver operating characteristic: P(score of a positive > that of a negative) + ½ P(equal).

    Args:
        score: Values that should be larger for positives.
        positive: Which rows are.

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
    n = jnp.asarray(score.shape[0], score.dtype)
    weight = jnp.asarray(positive).astype(score.dtype)
    number = jnp.sum(weight)
    mean = jnp.sum(ranks(score) * weight) / number
    # The mean share of positives lies from p/2, all below, to 1 − p/2, all above, p their own share.
    share = number / n
    return (mean - share / 2) / (1 - share)


def error_against_coverage(
    score: Numeric[AnyArray, " n"], error: Numeric[AnyArray, " n"], *, num_points: int = 20
) -> Coverage:
    """Mean error of the rows of smallest score, against how many of them are kept.

    Rows of equal score count by the mean error of all of them: their order tells nothing.

    Args:
        score: Values by which rows are left out, the largest first.
        error: Errors, 0 or more.
        num_points: Points m of the curve (static), at most n.

    Returns:
        The curve and its gain over chance. NaN where a score or an error is NaN.

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
    score, error = as_float(score), as_float(error)
    n = error.shape[0]
    check_count("num_points", num_points, most=n, of="the number of rows n", fix="give more rows")

    def kept(by: Float[Array, " n"]) -> Float[Array, " n"]:
        share = ranks(by)
        order = jnp.argsort(share)
        run = jnp.cumsum(jnp.diff(share[order], prepend=-1) > 0) - 1
        total, size = (jax.ops.segment_sum(of, run, n) for of in (error[order], jnp.ones_like(error)))
        return jnp.cumsum((total / jnp.maximum(size, 1))[run]) / (1 + jnp.arange(n)).astype(error.dtype)

    error = jnp.where(jnp.any(jnp.isnan(score) | jnp.isnan(error)), jnp.nan, error)
    curve, best, mean = kept(score), kept(error), jnp.mean(error)
    saved, most = (jnp.mean(mean - of) for of in (curve, best))
    places = np.arange(1, num_points + 1, dtype=np.int64) * n // num_points - 1
    coverage = jnp.asarray((places + 1) / n, error.dtype)
    return Coverage(coverage, curve[places], saved / most)
