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
from ott.problems.quadratic import quadratic_problem
from ott.solvers.linear import acceleration, sinkhorn
from ott.solvers.quadratic import gromov_wasserstein

from platonic_jax._typing import Flag, Scalar

__all__ = ["GromovPlan", "TransportCost", "entropic_cost", "entropic_gromov_plan"]


class TransportCost(NamedTuple):
    """A cost of transport.

    Attributes:
        value: () the cost, in units of the cost matrix.
        converged: () whether the iterations behind it met their tolerance.
    """

    value: Scalar
    converged: Flag


class GromovPlan(NamedTuple):
    """A plan between clouds of which only the distances within are known.

    Attributes:
        plan: (n, m) what is carried from each row to each other.
        converged: () whether the iterations met their tolerance, and the plan is finite.
    """

    plan: Float[Array, "n m"]
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


@partial(jax.jit, static_argnames=("epsilon", "threshold", "max_iterations"))
def entropic_gromov_plan(
    cost_x: Float[Array, "n n"], cost_y: Float[Array, "m m"], *, epsilon: float, threshold: float, max_iterations: int
) -> GromovPlan:
    """A plan P of low Σ (C_ij − D_kl)² P_ik P_jl + ε KL(P | a ⊗ b), with uniform marginals a and b; nothing flows back.

    The problem is not convex, so it is a local minimum; nor is it invariant to the units of the costs, and costs far
    from one can end in a value that is no cost at all: scale both by their mean beforehand.

    Args:
        cost_x: Cost of every pair of rows of the first cloud.
        cost_y: The same of the second.
        epsilon: Strength of the entropy, in units of the costs squared (static).
        threshold: Relative change of the energy at which the outer iterations stop (static).
        max_iterations: Number of outer iterations after which it gives up, each of a hundred times as many inner ones
            at most (static).
    """
    solver = gromov_wasserstein.GromovWasserstein(
        linear_solver=sinkhorn.Sinkhorn(max_iterations=100 * max_iterations),
        epsilon=epsilon,
        threshold=threshold,
        max_iterations=max_iterations,
        warm_start=True,
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        within_x, within_y = (geometry.Geometry(cost_matrix=lax.stop_gradient(cost)) for cost in (cost_x, cost_y))
        solution = solver(quadratic_problem.QuadraticProblem(within_x, within_y))
        plan = lax.stop_gradient(solution.matrix).astype(cost_x.dtype)
    return GromovPlan(plan, jnp.all(jnp.isfinite(plan)) & solution.converged)
