"""Intervals without draws: the influence of every structure on a value, and on the mean of its null.

An interval is value ± t standard errors. What was random is in it: the structures, by the infinitesimal jackknife, and
the anchors where they were drawn, by drawing them again.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import special

from platonic_jax._typing import AnyArray
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._pairs import Cloud


@partial(jax.jit, static_argnames=("num_neighbours", "measures"))
def cloud_of(
    shared: Array,
    structures: Array,
    key: Array,
    *,
    num_neighbours: int,
    weights: Array | None = None,
    measures: tuple[str, ...] = _pairs.MEASURES,
) -> Cloud:
    """Rows in the space of the anchors as measures see them; the key breaks ties between neighbours.

    With weights, those of a bootstrap sample of structures: rows count by weight, and neighbours are among those drawn.
    Which structures there are decides who is nearest: with the lists of all rows, intervals of neighbours among other
    structures covered 0.90 of real samples.
    """
    among = None if weights is None else weights > 0
    nearest = _pairs.neighbour_lists(
        shared, structures, num_neighbours=num_neighbours, key=key, among=among, measures=measures
    )
    return _pairs.make_cloud(shared, nearest, jnp.ones(shared.shape[0], shared.dtype) if weights is None else weights)


def estimates_of(
    left: Sequence[Cloud],
    right: Sequence[Cloud],
    pairs: Sequence[tuple[int, int]],
    structures: AnyArray,
    *,
    measures: Sequence[str],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each measure its value for p pairs, (p,), and the influence of each of s structures on it, (p, s)."""
    number = len(np.unique(np.asarray(structures)))
    estimates = [_estimate(left[i], right[j], structures, measures=tuple(measures)) for i, j in pairs]
    return _stacked(estimates, number, measures)


def null_influences_of(
    left: Sequence[Cloud],
    right: Sequence[Cloud],
    pairs: Sequence[tuple[int, int]],
    structures: AnyArray,
    orders: AnyArray,
    groups: AnyArray,
    *,
    measures: Sequence[str],
) -> dict[str, np.ndarray]:
    """For each measure the influence of each of s structures on the mean of its null, (p, s), from a few orders."""
    number = len(np.unique(np.asarray(structures)))
    settings = {"measures": tuple(measures)}
    estimates = [_null_estimate(left[i], right[j], structures, orders, groups, **settings) for i, j in pairs]
    return {name: influence for name, (_, influence) in _stacked(estimates, number, measures).items()}


def _stacked(
    estimates: Sequence[Mapping[str, tuple[Array, Array]]], number: int, measures: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: (
            np.array([float(one[name][0]) for one in estimates]),
            np.array([np.asarray(one[name][1])[:number] for one in estimates]),
        )
        for name in measures
    }


@partial(jax.jit, static_argnames="measures")
def _estimate(a: Cloud, b: Cloud, structures: Array, *, measures: tuple[str, ...]) -> dict[str, tuple[Array, Array]]:
    """The measures of one pair, and the influence of each structure, (n,), of which only so many are not zero."""
    values, slopes = _pairs.influences(a, b, jnp.ones_like(a.norms), measures=measures)
    return {name: (values[name], _of_structures(slopes[name], structures)) for name in measures}


@partial(jax.jit, static_argnames="measures")
def _null_estimate(
    a: Cloud, b: Cloud, structures: Array, orders: Array, groups: Array, *, measures: tuple[str, ...]
) -> dict[str, tuple[Array, Array]]:
    """The same of permuted pairs, on average over orders.

    A structure enters the null twice, with its rows of `a` and with those of `b`; how much of each group there is
    enters once.
    """

    def of_order(order: Array) -> dict[str, tuple[Array, Array]]:
        values, slopes = _pairs.influences(a, _pairs.permuted(b, order), jnp.ones_like(a.norms), measures=measures)
        out = {}
        for name in measures:
            slope = slopes[name]
            of_group = jnp.zeros_like(slope).at[groups].add(slope) / jnp.maximum(
                jnp.zeros_like(slope).at[groups].add(1), 1
            )
            both = slope + jnp.zeros_like(slope).at[order].set(slope) - of_group[groups]
            out[name] = (values[name], _of_structures(both, structures))
        return out

    return jax.tree.map(lambda stacked: jnp.mean(stacked, axis=0), jax.lax.map(of_order, orders))


def _of_structures(slope: Array, structures: Array) -> Array:
    place = jnp.cumsum(jnp.diff(structures, prepend=structures[:1]) > 0)
    return jnp.zeros_like(slope).at[place].add(slope)


def standard_errors(influence: np.ndarray) -> np.ndarray:
    """Standard errors, from influences of s structures along the last axis: `statistics.cluster_error` of whole ones.

    NaN for a single structure.
    """
    number = influence.shape[-1]
    if number < 2:
        return np.full(influence.shape[:-1], np.nan, influence.dtype)
    return np.asarray(np.sqrt(number) * np.std(influence, axis=-1, ddof=1))


def half_width(*parts: tuple[np.ndarray, int], level: float = 0.95) -> np.ndarray:
    """Half of an interval from independent standard errors, each with its degrees of freedom (Welch–Satterthwaite)."""
    variance = np.sum([error**2 for error, _ in parts], axis=0)
    fourth = np.sum([error**4 / max(freedom, 1) for error, freedom in parts], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(fourth > 0, variance**2 / fourth, 1)
    return np.asarray(special.stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance))
