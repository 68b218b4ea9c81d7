"""Optimal-transport distances between point clouds, independent of the order of rows."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from platonic_jax import _ott, numerics
from platonic_jax._checks import check_count, check_positive, check_same_width
from platonic_jax._ott import TransportCost
from platonic_jax._typing import AnyArray, Numeric, Scalar
from platonic_jax.metrics import _exact
from platonic_jax.numerics import as_float


def sinkhorn_divergence(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "m p"],
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
        From 0 upwards, in units of the columns squared; 0 means equal clouds. NaN if not converged, as where a row is
        not finite. A cloud whose rows are all equal is a point, with a distance like any other.

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
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "m p"],
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
    x, y = as_float(x), as_float(y)
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


def wasserstein(x: Numeric[AnyArray, "n p"], y: Numeric[AnyArray, "m p"], *, order: int = 1) -> Scalar:
    """Wasserstein distance: W_p = (min over plans P of Σ P_ij ‖x_i − y_j‖^p)^(1/p), of clouds in one space.

    Exact, with equal weights for all rows. It compares the clouds as they lie: not invariant to moving, turning or
    scaling one of them. It does not use the pairing of rows. Solved on the host, in float64: an assignment between
    clouds of equal size, in time n³ at worst and memory n²; a linear program otherwise, for small clouds. Thin clouds
    of more than a few thousand rows, where `sinkhorn_divergence` is the other way out.

    Args:
        x: First cloud.
        y: Second cloud, in the same columns.
        order: p, 1 or 2 (static): 2 weighs long ways more.

    Returns:
        From 0 upwards, in units of the columns; 0 means equal clouds. NaN if a row is not finite. Differentiable where
        no rows change partners.

    Raises:
        ValueError: If the widths differ, the order is neither 1 nor 2, or clouds of unlike size have more than 2¹⁸
            pairs of rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> float(metrics.wasserstein(x, x[::-1] + 3))
        3.0

    Reference:
        Peyré & Cuturi, Computational Optimal Transport (2019), §2.2 and §3 (arXiv:1803.00567).
    """
    x, y = as_float(x), as_float(y)
    check_same_width("x", x, "y", y)
    if order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, got {order}.")
    n, m = x.shape[0], y.shape[0]
    _exact.check_solvable(n, m)
    plan = _exact.solve(partial(_cheapest_between, order=order), x, y, n=n, m=m)
    way = x[plan.row] - y[plan.column]
    if order == 1:
        value = jnp.sum(plan.mass * numerics.safe_norm(way))
    else:
        value = numerics.safe_sqrt(jnp.sum(plan.mass * jnp.sum(way * way, axis=1)))
    return jnp.where(plan.converged, value, jnp.nan)


def _cheapest_between(x: np.ndarray, y: np.ndarray, *, order: int) -> tuple[np.ndarray, bool]:
    from scipy.spatial.distance import cdist

    plan = _exact.cheapest_plan(cdist(x, y, "euclidean" if order == 1 else "sqeuclidean"))
    return plan, bool(np.isfinite(plan).all())


def gromov_wasserstein(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "m q"],
    *,
    epsilon: float = 0.05,
    threshold: float = 1e-3,
    max_iterations: int = 100,
) -> Scalar:
    """Gromov–Wasserstein energy: GW = min over plans P of Σ (C_ij − D_kl)² P_ik P_jl, for clouds in any two spaces.

    C and D are the Euclidean distances within each cloud, over their mean; all rows weigh the same. It asks whether the
    clouds have the same shape, whichever row is which, and in whatever space they lie. Memory: n² + m², time n³, so
    thin clouds to a few hundred rows, equally many of both: then assignments replace linear programs.

    It is not convex, and this is an upper bound: the least of the local minima that conditional gradients with exact
    plans reach from three starts, the entropic solution, the pairing of rows with like distributions of distances, and
    the plan that knows nothing. Between Euclidean distances the energy is concave, so they end at an assignment, and a
    cloud and a moved copy of it get 0. The rows' own pairing is no start, since the value would then depend on it.

    Args:
        x: First cloud.
        y: Second cloud, of any width and number of rows.
        epsilon: Entropic blur of the first start, in units of the scaled distances squared (static).
        threshold: Relative change of the energy at which the entropic iterations stop (static).
        max_iterations: Number of iterations after which the entropic solution, and each descent, give up (static).

    Returns:
        From 0 upwards, without units; 0 means equal up to translation, rotation, scale and order of the rows. NaN if
        not converged, if a row is not finite, and if all rows of a cloud are equal, which has no scale.
        Differentiable where the plan does not change.

    Raises:
        ValueError: If `epsilon` is not positive, or clouds of unlike size have more than 2¹⁸ pairs of rows.

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> y = jnp.array([[5.0, 1.0], [3.0, 5.0], [5.0, 5.0]])  # x, turned, doubled, moved and reordered.
        >>> round(float(metrics.gromov_wasserstein(x, y)), 5)
        0.0

    Reference:
        Mémoli, Gromov–Wasserstein distances and the metric approach to object matching, Found. Comput. Math. 11, 417
        (2011); Peyré, Cuturi & Solomon, ICML 2016; concavity: Maron & Lipman, (Probably) concave graph matching,
        NeurIPS 2018 (arXiv:1807.09722).
    """
    return gromov_wasserstein_with_status(
        x, y, epsilon=epsilon, threshold=threshold, max_iterations=max_iterations
    ).value


def gromov_wasserstein_with_status(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "m q"],
    *,
    epsilon: float = 0.05,
    threshold: float = 1e-3,
    max_iterations: int = 100,
) -> TransportCost:
    """`gromov_wasserstein` and whether all its iterations converged, for a driver that has to raise or to mark.

    Args:
        x: First cloud.
        y: Second cloud, of any width and number of rows.
        epsilon: Entropic blur of the first start, in units of the scaled distances squared (static).
        threshold: Relative change of the energy at which the entropic iterations stop (static).
        max_iterations: Number of iterations after which the entropic solution, and each descent, give up (static).

    Returns:
        The value, NaN if not converged, and the flag.
    """
    x, y = as_float(x), as_float(y)
    check_positive("epsilon", epsilon)
    check_count("max_iterations", max_iterations)
    n, m = x.shape[0], y.shape[0]
    _exact.check_solvable(n, m)
    cost_x, cost_y = _scaled_distances(x), _scaled_distances(y)
    entropic = _ott.entropic_gromov_plan(
        cost_x, cost_y, epsilon=epsilon, threshold=threshold, max_iterations=max_iterations
    )
    descent = partial(_best_of_three_descents, max_iterations=max_iterations)
    plan = _exact.solve(descent, cost_x, cost_y, entropic.plan, n=n, m=m)
    gap = cost_x[plan.row[:, None], plan.row] - cost_y[plan.column[:, None], plan.column]
    value = jnp.sum(plan.mass[:, None] * plan.mass[None, :] * gap**2)
    undefined = numerics.is_degenerate(x) | numerics.is_degenerate(y)
    converged = entropic.converged & plan.converged & ~undefined
    return TransportCost(jnp.where(converged, value, jnp.nan), converged)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@jax.jit
def _scaled_distances(x: Float[Array, "n p"]) -> Float[Array, "n n"]:
    """Distances within a cloud, over their mean: from differences, so that coinciding rows are at distance 0."""
    n, p = x.shape
    # Evaluated anew for the gradient, which would have to keep every difference otherwise.
    from_row = jax.checkpoint(lambda row: numerics.safe_norm(row[None] - x))
    distance = numerics.map_rows(from_row, x, batch_size=min(n, numerics.rows_per_tile(n * p)))
    mean = jnp.mean(distance)
    return distance / jnp.where(mean > 0, mean, 1)


def _best_of_three_descents(
    cost_x: np.ndarray, cost_y: np.ndarray, entropic: np.ndarray, *, max_iterations: int
) -> tuple[np.ndarray, bool]:
    alike, uninformed = _exact.profile_plan(cost_x, cost_y), np.full(entropic.shape, 1 / entropic.size)
    return _exact.gromov_plan(cost_x, cost_y, entropic, alike, uninformed, max_iterations=max_iterations)
