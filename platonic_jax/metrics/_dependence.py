"""Statistical dependence of two embeddings through the distances between their rows."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax._checks import check_paired
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.numerics import as_float, centre, map_rows, rows_per_tile, safe_sqrt, squared_distances


def distance_correlation(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    debiased: bool = False,
    batch_size: int | None = None,
) -> Scalar:
    """Distance correlation: dCor² = ⟨A, B⟩ / √(⟨A, A⟩ ⟨B, B⟩), A and B the doubly centred matrices of distances.

    For infinitely many rows it vanishes only if the clouds are independent, which no correlation of the rows
    themselves can promise. Not invariant to linear maps other than rotations, nor to shuffling the rows of one cloud.
    Exact in one pass over tiles of distances, in memory proportional to n.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        debiased: Whether to return the estimate of dCor² without bias, from U-centred distances, rather than dCor
            (static). The plain estimate of unrelated clouds is far above zero where columns are not few beside rows.
        batch_size: Rows handled at once (static). By default as many as keep a tile of distances at 64 MiB.

    Returns:
        dCor, from 0 to 1, or if debiased an estimate of dCor², from −1 to 1, zero on average for unrelated clouds. 1
        means equal up to translation, rotation and scale. NaN if all rows of a cloud are equal.

    Raises:
        ValueError: If there are fewer than four rows (two, if not debiased), or the rows do not pair.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.linspace(-1, 1, 50)[:, None]
        >>> round(float(metrics.distance_correlation(x, x**2)), 2)  # Uncorrelated, and yet dependent.
        0.49

    Reference:
        Székely, Rizzo & Bakirov, Measuring and testing dependence by correlation of distances, Ann. Stat. 35, 2769
        (2007); without bias: Székely & Rizzo, The distance correlation t-test of independence in high dimension,
        J. Multivar. Anal. 117, 193 (2013).
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y, least=4 if debiased else 2)
    ab, aa, bb, a, b = _row_sums(centre(x), centre(y), debiased=debiased, batch_size=batch_size)
    product = _product_without_bias if debiased else _product
    squared = product(ab, a, b) / jnp.sqrt(product(aa, a, a) * product(bb, b, b))
    return squared if debiased else safe_sqrt(squared)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames=("debiased", "batch_size"))
def _row_sums(
    x: Float[Array, "n p"], y: Float[Array, "n q"], *, debiased: bool, batch_size: int | None
) -> tuple[Float[Array, " n"], ...]:
    """Row sums of a ∘ b, a ∘ a, b ∘ b, a and b: the distances within the clouds, less a constant for each."""
    n = x.shape[0]
    # Centring removes any constant: taken off beforehand, the sums keep the digits that it would have cost.
    shift_x, shift_y = _typical_distance(x), _typical_distance(y)

    # Evaluated anew for the gradient, which would have to keep every distance otherwise.
    @jax.checkpoint
    def sums(i: Int[Array, ""]) -> tuple[Scalar, ...]:
        itself = jnp.arange(n) == i
        a = jnp.where(itself, 0, safe_sqrt(squared_distances(x[i][None], x)[0])) - shift_x
        b = jnp.where(itself, 0, safe_sqrt(squared_distances(y[i][None], y)[0])) - shift_y
        if debiased:  # The diagonal has no part in it.
            a, b = jnp.where(itself, 0, a), jnp.where(itself, 0, b)
        return jnp.sum(a * b), jnp.sum(a * a), jnp.sum(b * b), jnp.sum(a), jnp.sum(b)

    batch_size = min(n, rows_per_tile(n)) if batch_size is None else batch_size
    return map_rows(sums, jnp.arange(n), batch_size=batch_size)


def _typical_distance(x: Float[Array, "n p"]) -> Scalar:
    """√2 times the spread of a centred cloud: the root of the mean squared distance of its rows."""
    return jax.lax.stop_gradient(safe_sqrt(2 * jnp.mean(jnp.sum(x * x, axis=1))))


def _product(ab: Float[Array, " n"], a: Float[Array, " n"], b: Float[Array, " n"]) -> Scalar:
    """⟨A, B⟩ / n², of doubly centred matrices, from the row sums of a ∘ b, a and b."""
    n = ab.shape[0]
    return jnp.mean(ab / n) - 2 * jnp.mean(a / n * (b / n)) + jnp.mean(a / n) * jnp.mean(b / n)


def _product_without_bias(ab: Float[Array, " n"], a: Float[Array, " n"], b: Float[Array, " n"]) -> Scalar:
    """⟨A, B⟩ / (n (n − 3)), of U-centred matrices, from the row sums of a ∘ b, a and b, without their diagonals."""
    n = ab.shape[0]
    means = jnp.mean(ab / n) - 2 / (n - 2) * jnp.mean(a * (b / n))
    return n / (n - 3) * (means + n**2 / ((n - 1) * (n - 2)) * jnp.mean(a / n) * jnp.mean(b / n))
