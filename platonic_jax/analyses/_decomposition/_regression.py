"""Regression of a symmetric matrix over pairs of objects on other such matrices, with inference by permuting objects.

Pairs that have an object in common are dependent, so the usual standard errors of a regression are far too small. Here
the objects are permuted, and with them rows and columns together (MRQAP).

- D. Dekker, D. Krackhardt, T. A. B. Snijders, Psychometrika 72, 563 (2007): permutation of the residual of a factor on
  the others (double semi-partialing), by the statistic t.
- P. E. Smouse, J. C. Long, R. R. Sokal, Syst. Zool. 35, 627 (1986): the partial correlation, the partial Mantel test.
- U. Grömping, J. Stat. Softw. 17, 1 (2006): shares of the variance, averaged over the orders of the factors (LMG).
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize

from platonic_jax.analyses._nulls import SIGNIFICANT


class Pairs(NamedTuple):
    """Pairs of n objects as a vector.

    Attributes:
        i: (m,) the smaller object of each pair.
        j: (m,) the larger one.
        used: (m,) pairs in the regression.
    """

    i: Int[np.ndarray, " m"]
    j: Int[np.ndarray, " m"]
    used: Bool[np.ndarray, " m"]

    def of(self, matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " m"]:
        """Return the entries of a symmetric matrix, one for each pair."""
        return matrix[self.i, self.j]


class Coefficient(NamedTuple):
    """One factor of a regression over pairs.

    Attributes:
        value: Coefficient.
        low: Lower end of its 95 % interval, by inversion of the test; −inf if no value can be excluded.
        high: Upper end.
        partial: Correlation of the matrix and the factor, both without what the other factors explain.
        p: Two-sided p-value of both; NaN where so many permutations leave the factor as it is that none can reach 0.05.
    """

    value: float
    low: float
    high: float
    partial: float
    p: float


def pairs_of(n: int, used: Bool[np.ndarray, "n n"]) -> Pairs:
    """List the pairs of n objects.

    Args:
        n: Number of objects.
        used: (n, n) whether a pair takes part.
    """
    i, j = np.triu_indices(n, 1)
    return Pairs(i, j, used[i, j])


def orders(n: int, *, number: int, rng: np.random.Generator) -> Int[np.ndarray, "d n"]:
    """Permutations of n objects without the identity: all of them if they are at most `number`, else a random draw."""
    if math.factorial(n) - 1 <= number:
        return np.array(list(itertools.permutations(range(n)))[1:])
    return np.array([rng.permutation(n) for _ in range(number)])


def coefficient(
    y: Float[np.ndarray, "n n"],
    factor: Float[np.ndarray, "n n"],
    others: Float[np.ndarray, "f n n"],
    *,
    pairs: Pairs,
    orders: Int[np.ndarray, "d n"],
) -> Coefficient:
    """Estimate and test the coefficient of a factor, given the others.

    Args:
        y: The matrix that is explained.
        factor: The factor.
        others: The other factors; none may be a linear combination of the rest.
        pairs: The pairs that take part.
        orders: Permutations of the objects.
    """
    used = pairs.used
    every = _basis([pairs.of(other) for other in others], len(used))
    basis = _basis([pairs.of(other)[used] for other in others], int(used.sum()))
    rest = np.zeros_like(factor)
    rest[pairs.i, pairs.j] = rest[pairs.j, pairs.i] = _without(every, pairs.of(factor))
    permuted = rest[orders[:, pairs.i[used]], orders[:, pairs.j[used]]]
    target = _without(basis, pairs.of(y)[used])
    own = _without(basis, pairs.of(factor)[used])
    drawn = _without(basis, permuted)
    freedom = len(target) - basis.shape[1] - 1
    size, value = float(own @ own), float(own @ target / (own @ own))
    sizes, shared, slopes = np.sum(drawn**2, axis=1), drawn @ target, drawn @ own
    norm, mixed = float(target @ target), float(own @ target)

    def t_of(dot: Any, length: Any, total: float) -> Any:
        left = np.maximum(total - dot**2 / length, 1e-12 * max(total, 1e-300))
        return np.abs(dot) / np.sqrt(length * left / freedom)

    def p_value(shift: float) -> float:
        """P of the hypothesis that the coefficient is `shift`."""
        total = norm - 2 * shift * mixed + shift**2 * size
        observed = t_of(mixed - shift * size, size, total)
        draws = t_of(shared - shift * slopes, sizes, total)
        # Ties count: rounding must not hide a permutation that changes nothing.
        return float((1 + np.sum(draws >= observed * (1 - 1e-9))) / (1 + len(orders)))

    same = np.sum(np.all(np.abs(permuted - rest[pairs.i[used], pairs.j[used]]) < 1e-9, axis=1))
    testable = (1 + same) / (1 + len(orders)) <= SIGNIFICANT
    low, high = (_end(p_value, value, sign * math.sqrt(norm / size)) for sign in (-1, 1))
    partial = mixed / math.sqrt(norm * size) if norm > 0 else 0.0
    return Coefficient(value, low, high, partial, p_value(0.0) if testable else math.nan)


def slope(
    y: Float[np.ndarray, "n n"],
    factor: Float[np.ndarray, "n n"],
    others: Float[np.ndarray, "f n n"],
    *,
    pairs: Pairs,
) -> float:
    """Estimate the coefficient of a factor, given the others, without a test."""
    basis = _basis([pairs.of(other)[pairs.used] for other in others], int(pairs.used.sum()))
    own = _without(basis, pairs.of(factor)[pairs.used])
    return float(own @ pairs.of(y)[pairs.used] / (own @ own))


def shares(
    y: Float[np.ndarray, "n n"], factors: Float[np.ndarray, "f n n"], *, pairs: Pairs, groups: list[list[int]]
) -> Float[np.ndarray, " g"]:
    """Split the share of the variance that a regression explains among groups of factors.

    Each gets what it adds to R², averaged over all orders in which the groups may enter.

    Args:
        y: The matrix that is explained.
        factors: The factors.
        pairs: The pairs that take part.
        groups: Indices of the factors that enter together.

    Returns:
        (g,) shares, which sum to R².
    """
    target = pairs.of(y)[pairs.used]
    columns = [pairs.of(factor)[pairs.used] for factor in factors]
    total = float(np.sum((target - target.mean()) ** 2))
    explained = {}
    for chosen in itertools.chain.from_iterable(
        itertools.combinations(range(len(groups)), size) for size in range(len(groups) + 1)
    ):
        basis = _basis([columns[f] for g in chosen for f in groups[g]], len(target))
        explained[chosen] = 1 - float(np.sum(_without(basis, target) ** 2)) / total
    number = len(groups)
    result = np.zeros(number)
    for g in range(number):
        for chosen, before in explained.items():
            if g not in chosen:
                weight = math.factorial(len(chosen)) * math.factorial(number - len(chosen) - 1)
                result[g] += weight * (explained[tuple(sorted((*chosen, g)))] - before)
    return result / math.factorial(number)


def tolerances(factors: Float[np.ndarray, "f n n"], *, pairs: Pairs) -> Float[np.ndarray, " f"]:
    """Share of each factor's variance over the pairs that the other factors do not explain, 0 to 1; NaN if constant."""
    columns = [pairs.of(factor)[pairs.used] for factor in factors]
    result = np.full(len(columns), np.nan)
    for f, column in enumerate(columns):
        total = float(np.sum((column - column.mean()) ** 2))
        if total > 0:
            basis = _basis([other for g, other in enumerate(columns) if g != f], len(column))
            result[f] = float(np.sum(_without(basis, column) ** 2)) / total
    return result


def _basis(columns: list[np.ndarray], length: int) -> np.ndarray:
    """Orthonormal basis of what a constant and some columns span."""
    left, singular, _ = np.linalg.svd(np.stack([np.ones(length), *columns], axis=1), full_matrices=False)
    return left[:, singular > 1e-9 * singular[0]]


def _without(basis: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows, or one, without what a basis explains."""
    return rows - (rows @ basis) @ basis.T


def _end(p_value: Callable[[float], float], value: float, step: float) -> float:
    """Find an end of the interval, where the p-value falls to the level; infinite if it does not within reach."""
    excess = lambda shift: p_value(value + shift) - SIGNIFICANT
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        if excess(factor * step) <= 0:
            inside: Any = optimize.bisect(excess, 0.0, factor * step, xtol=1e-3 * abs(step))
            return value + float(inside)
    return math.copysign(math.inf, step)
