"""How many directions one cloud fills, whatever the number of its columns."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from platonic_jax import numerics
from platonic_jax._checks import check_choice, check_fraction
from platonic_jax._typing import Scalar

METHODS = ("twonn", "mle")


def intrinsic_dimension(
    x: Float[Array, "n p"],
    *,
    method: str = "twonn",
    num_neighbours: int = 10,
    discard: float = 0.1,
    tolerance: float = 1e-6,
    batch_size: int | None = None,
) -> Scalar:
    """Intrinsic dimension of one cloud, from how fast the number of neighbours grows with their distance.

    TwoNN: where the density is even over the second neighbour, the ratio μ = r₂ / r₁ of the distances to the two
    nearest rows has P(μ > m) = m^−d, so d is the slope of −log(1 − F) against log μ, a line through the origin. MLE:
    1 / d = the mean over rows and neighbours i < j = `num_neighbours` of log(r_j / r_i).

    Local, and blind to what is larger than a neighbourhood. Not invariant to maps of the space other than rotations.
    Both err downwards in many dimensions, for which no cloud has rows enough: compare clouds of one size.

    Args:
        x: Embedding.
        method: `"twonn"` or `"mle"` (static).
        num_neighbours: Number of neighbours of `"mle"` (static), from 2 to n − 1.
        discard: Share of the largest ratios that `"twonn"` leaves out of its line (static), between 0 and 1.
        tolerance: Rows whose nearest row lies within this share of the spread of the cloud (the root of the mean
            squared distance from its centre) have collapsed onto it and say nothing of dimension: they are left out,
            and `collapsed_fraction` counts them. 0 leaves out exact copies only.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 upwards. NaN if no rows, or no unequal distances, are left.

    Raises:
        ValueError: If there are fewer rows than neighbours, or `method` is unknown.

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
    check_choice("method", method, METHODS)
    check_fraction("discard", discard)
    if num_neighbours < 2:
        raise ValueError(f"`num_neighbours` must be at least 2, got {num_neighbours}.")
    distance = numerics.neighbours(
        x, num_neighbours=2 if method == "twonn" else num_neighbours, metric="l2", batch_size=batch_size
    )[1]
    kept = ~_collapsed(x, distance[:, 0], tolerance=tolerance)
    distance = jnp.where(kept[:, None], distance, 1)  # Any number above zero: these rows carry no weight.
    if method == "mle":
        return _mle(distance, kept)
    return _twonn(jnp.log(distance[:, 1] / distance[:, 0]), kept, discard=discard)


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


def collapsed_fraction(x: Float[Array, "n p"], *, tolerance: float = 1e-6, batch_size: int | None = None) -> Scalar:
    """The share of rows that coincide with another row: those that `intrinsic_dimension` leaves out.

    Atoms that symmetry makes equivalent coincide in an invariant model, and not in one that breaks the symmetry; in a
    model that has collapsed, others do too.

    Args:
        x: Embedding.
        tolerance: Distance that counts as none, relative to the spread of the cloud: the root of the mean squared
            distance from its centre. 0 counts exact copies only.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 to 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> float(metrics.collapsed_fraction(jnp.array([[0.0], [0.0], [1.0], [2.0]])))
        0.5
    """
    nearest = numerics.neighbours(x, num_neighbours=1, metric="l2", batch_size=batch_size)[1][:, 0]
    return jnp.mean(_collapsed(x, nearest, tolerance=tolerance).astype(nearest.dtype))


def _collapsed(x: Float[Array, "n p"], nearest: Float[Array, " n"], *, tolerance: float) -> Bool[Array, " n"]:
    if tolerance < 0:
        raise ValueError(f"`tolerance` must not be negative, got {tolerance}.")
    spread = jnp.sqrt(jnp.mean(jnp.sum(numerics.centre(x) ** 2, axis=1)))
    return nearest <= tolerance * spread
