"""Exact transport between uniform clouds, solved on the host: vertices of the polytope of plans.

A vertex has few entries: one a row between clouds of equal size, an assignment, and at most n + m − 1 otherwise. So a
plan is handed over as a list of its entries, and its cost is a sum over them that can be differentiated.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from platonic_jax._typing import Flag

MOST_PAIRS = 2**18  # Pairs of rows of a linear program: beyond, an exact plan is a matter of minutes.
_LEAST_GAIN = 1e-12  # Of an energy between costs whose mean is one: less is rounding.


class Plan(NamedTuple):
    """The entries of a plan between clouds of n and m rows.

    Attributes:
        row: (e,) row of the first cloud.
        column: (e,) row of the second.
        mass: (e,) what is carried from one to the other; zero where an entry is only there to fill up the list.
        converged: () whether the search for it came to its end.
    """

    row: Int[Array, " e"]
    column: Int[Array, " e"]
    mass: Float[Array, " e"]
    converged: Flag


def check_solvable(n: int, m: int) -> None:
    """Refuse clouds of unlike size with too many pairs of rows for a linear program."""
    if n != m and n * m > MOST_PAIRS:
        raise ValueError(
            f"`x` and `y` must have equally many rows, or at most {MOST_PAIRS} pairs of them, got {n} and {m}: "
            "thin the larger cloud to the size of the smaller."
        )


def solve(solver: Callable[..., tuple[np.ndarray, bool]], *arrays: Float[Array, "_ _"], n: int, m: int) -> Plan:
    """Run a solver of numpy arrays, which returns a vertex as a dense plan, and a flag, under jit and vmap.

    Nothing flows back through it. If not converged, as where the arrays are not finite, the entries mean nothing.
    """
    entries, unit = (n if n == m else n + m - 1), math.lcm(n, m)

    # Integers only: a callback may run in a thread where the caller's float64 is not enabled. The masses of a vertex
    # are multiples of one over the least common multiple of n and m.
    def on_host(*arrays: Array) -> tuple[np.ndarray, ...]:
        clouds = [np.asarray(array, np.float64) for array in arrays]
        if not all(np.isfinite(cloud).all() for cloud in clouds):
            return *np.zeros((3, entries), np.int32), np.zeros((), bool)
        plan, converged = solver(*clouds)
        largest = np.argsort(-plan, axis=None, kind="stable")[:entries]
        row, column = np.unravel_index(np.sort(largest), plan.shape)
        multiple = np.round(np.nan_to_num(plan[row, column]) * unit)
        return *(part.astype(np.int32) for part in (row, column, multiple)), np.asarray(converged)

    integers, flag = jax.ShapeDtypeStruct((entries,), jnp.int32), jax.ShapeDtypeStruct((), bool)
    frozen = [lax.stop_gradient(array) for array in arrays]
    row, column, multiple, converged = jax.pure_callback(
        on_host, (integers, integers, integers, flag), *frozen, vmap_method="sequential"
    )
    return Plan(row, column, multiple.astype(arrays[0].dtype) / unit, converged)


def cheapest_plan(cost: np.ndarray) -> np.ndarray:
    """The plan of least cost between uniform clouds: a vertex, in float64."""
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import csr_array

    n, m = cost.shape
    if n == m:
        plan = np.zeros(cost.shape)
        plan[linear_sum_assignment(cost)] = 1 / n
        return plan
    pair = np.arange(n * m)
    row_and_column = np.concatenate([pair // m, n + pair % m])
    marginals = csr_array((np.ones(2 * n * m), (row_and_column, np.concatenate([pair, pair]))), shape=(n + m, n * m))
    masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    # The last marginal follows from the others. The dual simplex method ends at a vertex.
    solution = linprog(cost.ravel(), A_eq=marginals[:-1], b_eq=masses[:-1], method="highs-ds")
    if solution.x is None:
        return np.full(cost.shape, np.nan)
    return solution.x.reshape(cost.shape)


def gromov_plan(
    cost_x: np.ndarray, cost_y: np.ndarray, *starts: np.ndarray, max_iterations: int
) -> tuple[np.ndarray, bool]:
    """The best vertex reached by conditional gradients from each start, and whether all of them ended.

    Between Euclidean distances the energy is concave along every direction that keeps the marginals: its Hessian there
    is minus a product of two positive matrices. So a full step to the cheapest vertex never raises it, and a local
    minimum is reached in finitely many.
    """
    best, least, ended = None, np.inf, True
    for plan in starts:
        energy, converged = np.inf, False
        for _ in range(max_iterations):
            candidate = cheapest_plan(-cost_x @ plan @ cost_y)  # In proportion to the slope of the energy.
            reached = _energy(cost_x, cost_y, candidate)
            if not reached < energy - _LEAST_GAIN:
                converged = np.isfinite(reached)
                break
            plan, energy = candidate, reached
        ended &= bool(converged)
        if energy < least:
            best, least = plan, energy
    return (starts[0] if best is None else best), ended


def profile_plan(cost_x: np.ndarray, cost_y: np.ndarray) -> np.ndarray:
    """The plan that pairs rows with like distributions of distances: Mémoli's third lower bound, as a start."""
    levels = np.linspace(0, 1, max(len(cost_x), len(cost_y)))
    profile_x, profile_y = np.quantile(cost_x, levels, axis=0).T, np.quantile(cost_y, levels, axis=0).T
    squares = np.sum(profile_x**2, axis=1)[:, None] + np.sum(profile_y**2, axis=1)[None]
    return cheapest_plan(squares - 2 * profile_x @ profile_y.T)


def _energy(cost_x: np.ndarray, cost_y: np.ndarray, plan: np.ndarray) -> float:
    """Σ (C_ij − D_kl)² P_ik P_jl, of a plan with uniform marginals."""
    return float(np.mean(cost_x**2) + np.mean(cost_y**2) - 2 * np.sum(cost_x @ plan @ cost_y * plan))
