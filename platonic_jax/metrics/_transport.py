"""How far one cloud is from another as a whole, whichever row is which."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from platonic_jax import _ott, numerics
from platonic_jax._checks import check_count, check_positive, check_same_width
from platonic_jax._ott import TransportCost
from platonic_jax._typing import Scalar


def sinkhorn_divergence(
    x: Float[Array, "n p"],
    y: Float[Array, "m p"],
    *,
    epsilon: float = 0.05,
    threshold: float = 3e-4,
    max_iterations: int = 10_000,
) -> Scalar:
    """Sinkhorn divergence: S = OT_ε(x, y) − ½ OT_ε(x, x) − ½ OT_ε(y, y), of clouds in one space.

    OT_ε = min over plans P of ⟨P, C⟩ + ε KL(P | a ⊗ b) with squared Euclidean costs C and equal weights for all rows.
    It compares the clouds as they lie: not invariant to moving, turning or scaling one of them, so bring both into a
    shared space first. It does not use the pairing of rows, and they may differ in number. Memory: n × m, so thin
    large clouds.

    Args:
        x: First cloud.
        y: Second cloud, in the same columns.
        epsilon: Entropic blur relative to the mean cost between `x` and `y`; the same absolute value serves the three
            terms (static). Details of the clouds finer than √(ε × mean cost) are not seen.
        threshold: Deviation of the marginals, in the 1-norm, at which the iterations stop (static). The value errs in
            proportion to its square, by some 1e-6 of the mean cost at the default; derivatives in proportion to itself.
        max_iterations: Number of iterations after which they give up (static).

    Returns:
        From 0 upwards, in units of the columns squared; 0 means equal clouds. NaN if not converged.

    Raises:
        ValueError: If the widths differ, or `epsilon` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> round(float(metrics.sinkhorn_divergence(x, x + 3)), 3)
        9.0

    Reference:
        Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn divergences, AISTATS 2019
        (arXiv:1810.08278); solved by ott-jax (arXiv:2201.12324).
    """
    return sinkhorn_divergence_with_status(
        x, y, epsilon=epsilon, threshold=threshold, max_iterations=max_iterations
    ).value


def sinkhorn_divergence_with_status(
    x: Float[Array, "n p"],
    y: Float[Array, "m p"],
    *,
    epsilon: float = 0.05,
    threshold: float = 3e-4,
    max_iterations: int = 10_000,
) -> TransportCost:
    """`sinkhorn_divergence` and whether its three problems converged, for a driver that has to raise or to mark.

    Args:
        x: First cloud.
        y: Second cloud, in the same columns.
        epsilon: Entropic blur relative to the mean cost between `x` and `y` (static).
        threshold: Deviation of the marginals at which the iterations stop (static).
        max_iterations: Number of iterations after which they give up (static).

    Returns:
        The value, NaN if not converged, and the flag.
    """
    check_same_width("x", x, "y", y)
    check_positive("epsilon", epsilon)
    check_count("max_iterations", max_iterations)
    between = numerics.squared_distances(x, y)
    mean_cost = jnp.mean(between)
    blur = epsilon * jnp.where(mean_cost > 0, mean_cost, 1)

    def cost_of(cost: Float[Array, "a b"], *, symmetric: bool) -> TransportCost:
        return _ott.entropic_cost(
            cost, epsilon=blur, symmetric=symmetric, threshold=threshold, max_iterations=max_iterations
        )

    xy = cost_of(between, symmetric=False)
    xx = cost_of(numerics.squared_distances(x, x), symmetric=True)
    yy = cost_of(numerics.squared_distances(y, y), symmetric=True)
    converged = xy.converged & xx.converged & yy.converged
    value = xy.value - (xx.value + yy.value) / 2
    return TransportCost(jnp.where(converged, value, jnp.nan), converged)
