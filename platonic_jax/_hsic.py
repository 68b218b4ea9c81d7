"""The debiased Hilbert–Schmidt independence criterion of linear kernels, from sums over rows."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from platonic_jax._typing import Scalar
from platonic_jax.numerics import squared_norm


def debiased_hsic(
    cross: Float[Array, "p q"],
    norms_x: Float[Array, " n"],
    norms_y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
) -> Scalar:
    """The unbiased estimate of HSIC for centred clouds, up to a factor common to all clouds of n rows.

    With K̃ = K less its diagonal k, the estimate is tr(K̃ L̃) + 1ᵀK̃1 1ᵀL̃1 / ((n−1)(n−2)) − 2 1ᵀK̃L̃1 / (n−2). It
    does not change when the columns are centred, and then K̃1 = −k, so the norms of the rows are all that it needs.

    Args:
        cross: XᵀY, with the weights of the rows, if any, inside.
        norms_x: Squared norm of each row of X.
        norms_y: Squared norm of each row of Y.
        weights: How often each row counts; once when absent.

    Returns:
        The estimate.
    """
    n = norms_x.shape[0] if weights is None else jnp.sum(weights)
    k, l = (norms if weights is None else weights * norms for norms in (norms_x, norms_y))
    return hsic_of_sums(cross, jnp.sum(k), jnp.sum(l), jnp.sum(k * norms_y), n=n)


def hsic_of_sums(cross: Float[Array, "p q"], k: Scalar, l: Scalar, kl: Scalar, *, n: int | Scalar) -> Scalar:
    """`debiased_hsic` of sums over n rows: XᵀY, Σ ‖x‖², Σ ‖y‖² and Σ ‖x‖² ‖y‖²."""
    return sum_of_squares(cross) - n / (n - 2) * kl + k / (n - 1) * (l / (n - 2))


def sum_of_squares(x: Float[Array, "n p"]) -> Scalar:
    return jnp.sum(squared_norm(x))
