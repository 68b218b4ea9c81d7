"""The only importer of ott-jax: entropic optimal transport between uniform clouds, from a matrix of costs.

ott promotes dtypes and ranks freely, so strict promotion is relaxed around its calls, and only there. It is given costs
rather than points: the products behind them belong to `numerics`, and ott-jax 0.6.0 cannot compute them block by
block on jax ≥ 0.9 (`batch_size=`, ott-jax/ott#700), which clouds of a few thousand rows do not need.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float
from ott.geometry import epsilon_scheduler, geometry
from ott.problems.linear import linear_problem
from ott.solvers.linear import acceleration, sinkhorn

from platonic_jax._typing import Flag, Scalar

__all__ = ["TransportCost", "entropic_cost"]


class TransportCost(NamedTuple):
    """An entropic transport cost.

    Attributes:
        value: () the cost, in units of the cost matrix.
        converged: () whether the marginals of the plan were met.
    """

    value: Scalar
    converged: Flag


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames=("symmetric", "threshold", "max_iterations"))
def entropic_cost(
    cost: Float[Array, "n m"], *, epsilon: Scalar, symmetric: bool, threshold: float, max_iterations: int
) -> TransportCost:
    """OT_ε = min over plans P of ⟨P, C⟩ + ε KL(P | a ⊗ b), with uniform marginals a and b.

    Solved in the log domain, which does not overflow whatever the costs. The value is the semi-dual objective at the
    potential that ott returns: its error is of second order in that of the potential, and with the potential held fixed
    its derivatives with respect to the costs and to ε are those of the optimum (Danskin), first derivatives only.

    Args:
        cost: Cost of every pair of rows.
        epsilon: Strength of the entropy, in units of the cost.
        symmetric: Whether `cost` is that of a cloud against itself (static): then averaged parallel updates are used,
            which converge in a few steps.
        threshold: Largest deviation of the marginals, in the 1-norm, that counts as converged (static).
        max_iterations: Number of iterations after which it gives up (static).
    """
    solver = sinkhorn.Sinkhorn(
        threshold=threshold,
        max_iterations=max_iterations,
        # Clusters of unlike weight exchange mass slowly: over-relaxed, the slowest mode decays three times as fast.
        momentum=acceleration.Momentum(value=0.5 if symmetric else 1.5),
        parallel_dual_updates=symmetric,
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        blur = epsilon_scheduler.Epsilon(lax.stop_gradient(epsilon))
        frozen = geometry.Geometry(cost_matrix=lax.stop_gradient(cost), epsilon=blur)
        solution = solver(linear_problem.LinearProblem(frozen))
    g = lax.stop_gradient(solution.g).astype(cost.dtype)
    f = -epsilon * jax.nn.logsumexp((g[None, :] - cost) / epsilon, axis=1)
    value = jnp.mean(f) + jnp.mean(g) + epsilon * jnp.log(jnp.asarray(cost.shape[1], cost.dtype))
    return TransportCost(value, jnp.isfinite(value) & solution.converged)  # pyright: ignore[reportOperatorIssue]
