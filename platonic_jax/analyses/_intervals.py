"""95 % intervals over independent groups of rows: structures, chemical systems, formulas, connected reactions.

A standard error from drawing whole groups becomes an interval on a scale on which the figure has no bounds, by
Student's t with as many degrees of freedom as there are groups of equal size, less one. An interval so never leaves the
range of its figure.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array, Float, Int, Shaped

from platonic_jax import statistics
from platonic_jax.analyses._result import Estimate

LEAST_GROUPS = 5
LEAST_EFFECTIVE = 3.0
_LEVEL = 0.95
_TAIL = (1 - _LEVEL) / 2
_ROUNDING = 1e-6  # At the end of a range.
JACKKNIFE = "jackknife over whole groups"
BOOTSTRAP = "bootstrap of whole groups"
END_OF_RANGE = "at the end of its range"
METHOD = "Student's t on a scale without bounds (logit, Fisher's z or log), standard errors from whole groups"


class _Scale(NamedTuple):
    """A range, and the map from it to all real numbers, with its derivative and inverse."""

    range: tuple[float, float]
    forward: Callable[[float], float]
    slope: Callable[[float], float]
    backward: Callable[[float], float]


_SCALES: Mapping[str, _Scale] = {
    # Shares and AUROC.
    "share": _Scale((0, 1), lambda v: np.log(v / (1 - v)), lambda v: 1 / (v * (1 - v)), lambda z: 1 / (1 + np.exp(-z))),
    "correlation": _Scale((-1, 1), np.arctanh, lambda v: 1 / (1 - v**2), np.tanh),
    # The prediction-rejection ratio.
    "at most 1": _Scale((-np.inf, 1), lambda v: -np.log(1 - v), lambda v: 1 / (1 - v), lambda z: 1 - np.exp(-z)),
    # Errors and ranks.
    "positive": _Scale((0, np.inf), np.log, lambda v: 1 / v, np.exp),
}


def interval(
    value: float, error: float, *, scale: str, sizes: Int[np.ndarray, " g"], method: str = JACKKNIFE
) -> Estimate:
    """Compute the 95 % interval of a figure from its standard error over groups.

    At the end of its range a figure varies over no group, and has no standard error. A share of 1 is 1 in each of g
    groups, which a true share a reaches with a probability of at most a^g: its bound is 0.025^(1/g).

    Args:
        value: The figure.
        error: Its standard error over groups.
        scale: Range of the figure: `share`, `correlation`, `at most 1` or `positive`.
        sizes: Number of rows of each group.
        method: How the standard error was found.

    Returns:
        The estimate; its ends are NaN for fewer than five groups, or fewer than three of equal size
        (`effective_number`).
    """
    ends = _SCALES[scale].range
    value = float(np.clip(value, *ends))  # It lies there but for rounding.
    number, effective = len(sizes), effective_number(sizes)
    unknown = Estimate(value)
    if number < LEAST_GROUPS or effective < LEAST_EFFECTIVE or not np.isfinite(value):
        return unknown
    if min(value - ends[0], ends[1] - value) <= _ROUNDING:
        if scale != "share":
            return Estimate(value, value, value, method=END_OF_RANGE)
        bound = _TAIL ** (1 / number)
        low, high = (bound, 1.0) if value > 0.5 else (0.0, 1 - bound)
        return Estimate(value, low, high, method=END_OF_RANGE)
    if not np.isfinite(error):
        return unknown
    return on_scale(value, error, scale=scale, freedom=effective - 1, method=method)


def on_scale(value: float, error: float, *, scale: str, freedom: float, method: str) -> Estimate:
    """Compute the 95 % interval of a figure within its range from a standard error of so many degrees of freedom.

    Args:
        value: The figure, inside its range.
        error: Its standard error.
        scale: Range of the figure, as in `interval`.
        freedom: Degrees of freedom of the standard error.
        method: How the standard error was found.

    Returns:
        The estimate.
    """
    from scipy.stats import t

    _, forward, slope, backward = _SCALES[scale]
    half = float(t.ppf(1 - _TAIL, freedom)) * error * slope(value)
    low, high = (float(backward(forward(value) + sign * half)) for sign in (-1, 1))
    return Estimate(value, low, high, method=method)


def of_draws(value: float, draws: Float[np.ndarray, " d"], *, scale: str, sizes: Int[np.ndarray, " g"]) -> Estimate:
    """Compute the 95 % interval of a figure from bootstrap draws of whole groups.

    Args:
        value: The figure.
        draws: The figure of each draw; those where it is not defined are NaN, at most half of them.
        scale: Range of the figure, as in `interval`.
        sizes: Number of rows of each group.

    Returns:
        The estimate, as `interval` returns it.
    """
    defined, number = draws[np.isfinite(draws)], len(sizes)
    error = np.nan
    if number > 1 and 2 * len(defined) >= len(draws):
        # Draws of g groups spread as if there were g − 1.
        error = float(defined.std()) * np.sqrt(number / (number - 1))
    return interval(value, error, scale=scale, sizes=sizes, method=BOOTSTRAP)


def effective_number(sizes: Int[np.ndarray, " g"]) -> float:
    """Compute (Σ n)² / Σ n², the number of equal groups that vary as much as groups of n rows: from 1 to g."""
    sizes = np.asarray(sizes, float)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def connected_groups(
    units: Int[np.ndarray, " e"], members: Int[np.ndarray, " e"], *, num_units: int
) -> Int[np.ndarray, " u"]:
    """Label units that hang together by shared members, directly or through other units.

    Args:
        units: Unit (a reaction, counted from 0) of each of e memberships.
        members: Member (a compound, counted from 0) of each of them.
        num_units: Number of units; one without members is a group of its own.

    Returns:
        Label of the connected component of each unit, from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes = num_units + int(max(members, default=-1)) + 1
    edges = coo_array((np.ones(len(units), np.int8), (units, num_units + members)), shape=(nodes, nodes))
    label = connected_components(edges, directed=False)[1][:num_units]
    return np.unique(label, return_inverse=True)[1].astype(np.int32)


class Groups(NamedTuple):
    """Independent groups that intervals rest on.

    Attributes:
        num: Number of groups.
        largest: Size of the largest.
        effective: Number of groups of equal size that would vary as much.
    """

    num: int
    largest: int
    effective: float

    @property
    def enough(self) -> bool:
        """True if they are enough for an interval."""
        return self.num >= LEAST_GROUPS and self.effective >= LEAST_EFFECTIVE


def described(sizes: Int[np.ndarray, " g"]) -> Groups:
    """Describe groups of these sizes."""
    return Groups(len(sizes), int(max(sizes, default=0)), effective_number(sizes))


_weights = jax.jit(statistics.bootstrap_weights, static_argnames="num_bootstraps")


def draw_weights(key: Array, number: int, *, num_bootstraps: int) -> Float[np.ndarray, "{num_bootstraps} {number}"]:
    """Draw how often each of so many groups stands in each bootstrap sample."""
    return np.asarray(_weights(key, jnp.arange(number), num_bootstraps=num_bootstraps), float)


def with_interval(
    values: Float[np.ndarray, " n"],
    *,
    clusters: Shaped[np.ndarray, " n"],
    scale: str,
    average: str = "mean",
    num_bootstraps: int,
    key: Array,
) -> Estimate:
    """Compute a mean or median with its 95 % interval over whole groups.

    Args:
        values: NaN where unknown.
        clusters: Label of the group of each value.
        scale: Range of the values, as in `interval`.
        average: `mean` or `median`.
        num_bootstraps: Number of draws.
        key: Typed key.

    Returns:
        The estimate.
    """
    known = np.isfinite(values)
    if not known.any():
        return Estimate(np.nan)
    values = np.asarray(values, float)[known]
    group = np.unique(clusters[known], return_inverse=True)[1]
    sizes = np.bincount(group)
    weights = draw_weights(key, len(sizes), num_bootstraps=num_bootstraps)
    if average == "mean":
        value, draws = values.mean(), (weights @ np.bincount(group, values)) / (weights @ sizes)
    else:
        value, draws = np.median(values), weighted_medians(values, weights[:, group])
    return of_draws(float(value), draws, scale=scale, sizes=sizes)


def weighted_medians(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, "d n"]) -> Float[np.ndarray, " d"]:
    """Compute the value that half of the weight does not exceed, for each draw of weights."""
    order = np.argsort(values)
    share = np.cumsum(weights[:, order], axis=1)
    return values[order][(share >= share[:, -1:] / 2).argmax(axis=1)]


def elements_counted(species: Int[np.ndarray, " n"]) -> dict[str, int]:
    """Count the atoms of each element, by symbol."""
    symbols, number = np.unique(np.array(chemical_symbols)[species], return_counts=True)
    return dict(zip(symbols.tolist(), number.tolist(), strict=True))
