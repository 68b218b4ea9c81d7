"""The only importer of ott-jax: entropic optimal transport between point clouds, from a matrix of costs.

It takes seconds to import, with an optimiser and a plotting library behind it, so each function does so when it is
called.

ott promotes dtypes and ranks freely, so strict promotion is relaxed around its calls, and only there. It is given costs
rather than points: the products behind them belong to `numerics`, and ott-jax 0.6.0 cannot compute them block by
block on jax ≥ 0.9 (`batch_size=`, ott-jax/ott#700), which clouds of a few thousand rows do not need.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

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
@partial(jax.jit, static_argnames=("symmetric", "threshold", "max_iterations", "tau"))
def entropic_cost(
    cost: Float[Array, "n m"],
    *,
    epsilon: Scalar,
    symmetric: bool,
    threshold: float,
    max_iterations: int,
    a: Float[Array, " n"] | None = None,
    b: Float[Array, " m"] | None = None,
    tau: float = 1.0,
) -> TransportCost:
    """OT_ε = min over plans P of ⟨P, C⟩ + ε KL(P | a ⊗ b), whose marginals are a and b, or near them.

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
        a: Masses of the rows, 0 for rows that are not there; uniform, 1 in all, when absent.
        b: Masses of the columns.
        tau: 1 where marginals must be met; below, ρ KL(P1 | a) + ρ KL(Pᵀ1 | b) is added, ρ = ε τ / (1 − τ) (static).
            The value is then that of the plan found, which errs in first order of the potentials.
    """
    from ott.geometry import epsilon_scheduler, geometry
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import acceleration, sinkhorn

    n, m = cost.shape
    a = jnp.full(n, 1 / n, cost.dtype) if a is None else a
    b = jnp.full(m, 1 / m, cost.dtype) if b is None else b
    solver = sinkhorn.Sinkhorn(
        threshold=threshold,
        max_iterations=max_iterations,
        # Clusters of unlike weight exchange mass slowly: over-relaxed, the slowest mode decays three times as fast.
        momentum=acceleration.Momentum(value=0.5 if symmetric else 1.5),
        parallel_dual_updates=symmetric,
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        blur = epsilon_scheduler.Epsilon(lax.stop_gradient(epsilon))
        # Where masses need not be met, ott takes the entropy by itself: moved into the costs, it is that from a ⊗ b.
        of_mass = _logarithm(a)[:, None] + _logarithm(b)[None, :] if tau < 1 else jnp.zeros_like(cost)
        frozen = geometry.Geometry(cost_matrix=lax.stop_gradient(cost - epsilon * of_mass), epsilon=blur)
        problem = linear_problem.LinearProblem(
            frozen, a=lax.stop_gradient(a), b=lax.stop_gradient(b), tau_a=tau, tau_b=tau
        )
        solution = solver(problem)
    f, g = (lax.stop_gradient(potential).astype(cost.dtype) for potential in (solution.f, solution.g))
    if tau < 1:
        value = _of_plan(cost, f, g, a, b, epsilon=epsilon, tau=tau)
    else:
        g = jnp.where(b > 0, g - lax.stop_gradient(epsilon * _logarithm(b)), 0)
        f = -epsilon * jax.nn.logsumexp((g[None, :] - cost) / epsilon, axis=1, b=b[None, :])
        value = jnp.sum(a * f) + jnp.sum(b * g)
    return TransportCost(value, jnp.isfinite(value) & solution.converged)  # pyright: ignore[reportOperatorIssue]


def _logarithm(mass: Float[Array, " n"]) -> Float[Array, " n"]:
    """Zero where there is none."""
    return jnp.log(jnp.where(mass > 0, mass, 1))


def _of_plan(
    cost: Float[Array, "n m"],
    f: Float[Array, " n"],
    g: Float[Array, " m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    *,
    epsilon: Scalar,
    tau: float,
) -> Scalar:
    """The cost of the plan a b exp((f + g − C) / ε), whose derivative with respect to C is the plan itself."""
    there = (a > 0)[:, None] & (b > 0)[None, :]
    logarithm = lax.stop_gradient(jnp.where(there, (f[:, None] + g[None, :] - cost) / epsilon, 0))
    ratio, product = jnp.exp(logarithm), a[:, None] * b[None, :]
    entropy = jnp.sum(product * (ratio * (logarithm - 1) + 1))
    carried = jnp.sum(ratio * b[None, :], axis=1), jnp.sum(ratio * a[:, None], axis=0)
    divergences = sum(
        jnp.sum(mass * (xlogy(marginal, marginal) - marginal + 1))
        for marginal, mass in zip(carried, (a, b), strict=True)
    )
    return jnp.sum(product * ratio * cost) + epsilon * entropy + epsilon * tau / (1 - tau) * divergences


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
    from ott.geometry import geometry
    from ott.problems.quadratic import quadratic_problem
    from ott.solvers.linear import sinkhorn
    from ott.solvers.quadratic import gromov_wasserstein

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
