"""Values of many pairs, with the influence of every structure on each: intervals without draws."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import _pairs, numerics, statistics
from platonic_jax._pairs import Cloud


@partial(jax.jit, static_argnames="num_neighbours")
def cloud_of(shared: Array, *, num_neighbours: int) -> Cloud:
    """Rows in the space of the anchors as measures see them."""
    nearest, _ = numerics.neighbours(shared, num_neighbours=num_neighbours)
    return _pairs.make_cloud(shared, nearest, jnp.ones(shared.shape[0], shared.dtype))


def estimates_of(
    left: Sequence[Cloud],
    right: Sequence[Cloud],
    pairs: Sequence[tuple[int, int]],
    structures: Array,
    *,
    measures: Sequence[str],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each measure its value for p pairs, (p,), and the influence of each of s structures on it, (p, s)."""
    number = len(np.unique(np.asarray(structures)))
    found = [_estimate(left[i], right[j], structures, measures=tuple(measures)) for i, j in pairs]
    return {
        name: (
            np.array([float(one[name][0]) for one in found]),
            np.array([np.asarray(one[name][1])[:number] for one in found]),
        )
        for name in measures
    }


@partial(jax.jit, static_argnames="measures")
def _estimate(a: Cloud, b: Cloud, structures: Array, *, measures: tuple[str, ...]) -> dict[str, tuple[Array, Array]]:
    """The measures of one pair, and the influence of each structure, (n,), of which only so many are not zero."""
    n = structures.shape[0]
    values, slopes = _pairs.influences(a, b, jnp.ones(n, a.rows.dtype), measures=measures)
    place = jnp.cumsum(jnp.diff(structures, prepend=structures[:1]) > 0)
    return {name: (values[name], jnp.zeros(n, a.rows.dtype).at[place].add(slopes[name])) for name in measures}


def standard_errors(influence: np.ndarray) -> np.ndarray:
    """Standard errors, from influences of s structures along the last axis."""
    of_each = partial(statistics.cluster_error, clusters=jnp.arange(influence.shape[-1]))
    flat = jnp.asarray(influence.reshape(-1, influence.shape[-1]))
    return np.asarray(jax.vmap(of_each)(flat)).reshape(influence.shape[:-1])
