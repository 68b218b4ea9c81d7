"""Measures of a single embedding: its intrinsic dimension, and the share of its rows that coincide."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from platonic_jax import numerics
from platonic_jax._checks import check_choice, check_fraction
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float

METHODS = ("twonn", "mle")
_SPACING = 10  # The neighbour whose distance is the unit of near copies: beyond the copies that symmetry makes.


def intrinsic_dimension(
    x: Numeric[AnyArray, "n p"],
    *,
    method: str = "twonn",
    num_neighbours: int = 10,
    discard: float = 0.1,
    tolerance: float = 0.003,
    batch_size: int | None = None,
) -> Scalar:
    """Intrinsic dimension of one embedding, from how fast the number of neighbours grows with their distance.

    TwoNN: where the density is even over the second neighbour, the ratio μ = r₂ / r₁ of the distances to the two
    nearest rows has P(μ > m) = m^−d, so d is the slope of −log(1 − F) against log μ, a line through the origin. MLE:
    1 / d = the mean over rows and neighbours i < j = `num_neighbours` of log(r_j / r_i).

    Both hold for distinct points: of rows that coincide, or nearly so, one is kept, and the others are neither rows
    nor neighbours.

    Local, and blind to what is larger than a neighbourhood. Not invariant to maps of the space other than rotations.
    Both err downwards in many dimensions, for which no embedding has rows enough: compare embeddings of one size.

    Args:
        x: Embedding.
        method: `"twonn"` or `"mle"` (static).
        num_neighbours: Number of neighbours of `"mle"` (static), from 2 to n − 1.
        discard: Share of the largest ratios that `"twonn"` leaves out of its line (static), between 0 and 1.
        tolerance: Distance within which rows count as copies, relative to the median distance from a row to its tenth
            neighbour (static). 0 leaves out exact copies only. Points of one dimension lose a few per cent by
            the default, and rise by as much; of two and more next to none.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 upwards. NaN if a row is not finite, or fewer distinct rows are left than the neighbours need.

    Raises:
        ValueError: If there are fewer rows than neighbours, `method` is unknown, or `tolerance` is negative.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> plane = jax.random.uniform(jax.random.key(0), (500, 2))
        >>> x = jnp.concatenate([plane, plane], axis=1)  # Four columns, two dimensions.
        >>> round(float(metrics.intrinsic_dimension(x)))
        2

    Reference:
        Facco et al., Estimating the intrinsic dimension of datasets by a minimal neighborhood information, Sci. Rep. 7,
        12140 (2017); Levina & Bickel, Maximum likelihood estimation of intrinsic dimension, NeurIPS 2004, averaged as
        MacKay & Ghahramani (2005) advise.
    """
    x = as_float(x)
    check_choice("method", method, METHODS)
    check_fraction("discard", discard)
    _check_tolerance(tolerance)
    if num_neighbours < 2:
        raise ValueError(f"`num_neighbours` must be at least 2, got {num_neighbours}.")
    kept = _distinct(lax.stop_gradient(x), tolerance=tolerance, batch_size=batch_size)
    distance = numerics.neighbours(
        x, num_neighbours=2 if method == "twonn" else num_neighbours, metric="l2", among=kept, batch_size=batch_size
    )[1]
    kept = kept & jnp.isfinite(distance[:, -1])
    distance = jnp.where(kept[:, None], distance, 1)  # Any number above zero: these rows carry no weight.
    if method == "mle":
        return _mle(distance, kept)
    return _twonn(jnp.log(distance[:, 1] / distance[:, 0]), kept, discard=discard)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames=("tolerance", "batch_size"))
def _distinct(x: Float[Array, "n p"], *, tolerance: float, batch_size: int | None) -> Bool[Array, " n"]:
    """Select rows so that no two coincide: those without a copy of lower index among the rows kept so far."""
    n = x.shape[0]
    rows = jnp.arange(n, dtype=jnp.int32)[:, None]

    def leave_out(state: tuple[Array, Array]) -> tuple[Array, Array]:
        kept, _ = state
        index, distance = numerics.neighbours(
            x, num_neighbours=min(_SPACING, n - 1), metric="l2", among=kept, batch_size=batch_size
        )
        last = distance[:, -1]
        spacing = jnp.nanmedian(jnp.where(kept & jnp.isfinite(last), last, jnp.nan))
        within = distance <= jnp.where(spacing > 0, tolerance * spacing, 0)
        copies = kept & jnp.any(within & (index >= 0) & (index < rows), axis=1)
        return kept & ~copies, jnp.any(copies)

    return lax.while_loop(lambda state: state[1], leave_out, (jnp.ones(n, bool), jnp.ones((), bool)))[0]


def _twonn(log_ratio: Float[Array, " n"], kept: Bool[Array, " n"], *, discard: float) -> Scalar:
    n, dtype = log_ratio.shape[0], log_ratio.dtype
    count = jnp.sum(kept)
    log_ratio = jnp.sort(jnp.where(kept, log_ratio, jnp.inf))
    place = jnp.arange(1, n + 1)
    used = place <= jnp.floor(count.astype(dtype) * (1 - discard)).astype(place.dtype)
    share = jnp.where(used, place, 0).astype(dtype) / jnp.maximum(count, 1).astype(dtype)
    log_ratio = jnp.where(used, log_ratio, 0)
    return jnp.sum(-jnp.log1p(-share) * log_ratio) / jnp.sum(log_ratio**2)


def _mle(distance: Float[Array, "n j"], kept: Bool[Array, " n"]) -> Scalar:
    j = distance.shape[1]
    log_ratios = jnp.log(distance[:, -1:] / distance[:, :-1])
    return jnp.sum(kept).astype(distance.dtype) * (j - 1) / jnp.sum(log_ratios)


def collapsed_fraction(
    x: Numeric[AnyArray, "n p"], *, tolerance: float = 1e-6, batch_size: int | None = None
) -> Scalar:
    """Compute the share of rows that coincide with another row.

    Atoms that symmetry makes equivalent coincide in an invariant model, and not in one that breaks the symmetry; in a
    model that has collapsed, others do too.

    Args:
        x: Embedding.
        tolerance: Distance that counts as none, relative to the spread of the embedding: the root of the mean squared
            distance from its centre (static). 0 counts exact copies only.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 to 1; 1 where all rows are equal. NaN if a row is not finite.

    Raises:
        ValueError: If `tolerance` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> float(metrics.collapsed_fraction(jnp.array([[0.0], [0.0], [1.0], [2.0]])))
        0.5
    """
    x = as_float(x)
    _check_tolerance(tolerance)
    nearest = numerics.neighbours(x, num_neighbours=1, metric="l2", batch_size=batch_size)[1][:, 0]
    spread = jnp.sqrt(jnp.mean(jnp.sum(numerics.centre(x) ** 2, axis=1)))
    share = jnp.mean((nearest <= tolerance * spread).astype(nearest.dtype))
    return jnp.where(jnp.isfinite(spread), share, jnp.nan)


def _check_tolerance(tolerance: float) -> None:
    if tolerance < 0:
        raise ValueError(f"`tolerance` must not be negative, got {tolerance}.")
