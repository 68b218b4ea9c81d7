"""Methods that need a key, and the stratification of any method by element."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from platonic_jax._checks import check_key
from platonic_jax._typing import AnyArray, Numeric, TypedKey
from platonic_jax.anchors._clusters import check_number, filled, finite_rows, k_means, representatives
from platonic_jax.numerics import as_float


def random(x: Numeric[AnyArray, "n p"], k: int, *, key: TypedKey) -> Int[Array, " {k}"]:
    """Choose k different rows, all sets of them alike.

    Args:
        x: Rows to choose from; only their number matters.
        k: Number of anchors (static), at most n.
        key: Typed key.

    Returns:
        Row indices (int32).

    Raises:
        ValueError: If `k` exceeds the number of rows.
    """
    check_key(key)
    check_number(k, x.shape[0])
    return _some_rows(key, n=x.shape[0], k=k)


@partial(jax.jit, static_argnames=("n", "k"))
def _some_rows(key: TypedKey, *, n: int, k: int) -> Int[Array, " {k}"]:
    return jax.random.permutation(key, n)[:k].astype(jnp.int32)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames="k")
def farthest_point(x: Numeric[AnyArray, "n p"], k: int, *, key: TypedKey) -> Int[Array, " {k}"]:
    """Greedy k-centre: from a random first row on, each next row is the one farthest from all before it.

    The largest distance of a row to its nearest anchor is at most twice the smallest that any k rows could give. It
    reaches for the rim of the cloud, and so for its outliers. Not invariant to scalings of columns or of rows: the
    distance is Euclidean, so normalise the rows for anchors that spread by cosine.

    Takes n k distances and memory for n of them.

    Args:
        x: Rows to choose from.
        k: Number of anchors (static), at most n.
        key: Typed key, for the first row.

    Returns:
        Indices of k different rows (int32), in the order of choice; the first j of them are the choice for k = j.
        Among equally far rows the lower index comes first.

    Raises:
        ValueError: If `k` exceeds the number of rows.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from platonic_jax import anchors
        >>> x = jnp.array([[0.0], [1.0], [2.0], [9.0]])
        >>> 3 in anchors.farthest_point(x, 2, key=jax.random.key(0))
        True

    Reference:
        Gonzalez, Clustering to minimize the maximum intercluster distance, Theor. Comput. Sci. 38, 293 (1985).
    """
    x = as_float(x)
    check_key(key)
    n = x.shape[0]
    check_number(k, n)
    first = jax.random.randint(key, (), 0, n, jnp.int32)

    def add(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, distance = state
        newest = rows[i - 1]
        # Differences, not a product: a common offset of the rows costs no digits.
        distance = jnp.minimum(distance, jnp.sum((x - x[newest][None]) ** 2, axis=1))
        distance = distance.at[newest].set(-1)  # Below that of its copies, so that no row is taken twice.
        return rows.at[i].set(jnp.argmax(distance).astype(jnp.int32)), distance

    start = (jnp.full(k, first), jnp.full(n, jnp.inf, x.dtype))
    return lax.fori_loop(1, k, add, start)[0]


def kmeans(x: Numeric[AnyArray, "n p"], k: int, *, key: TypedKey) -> Int[Array, " {k}"]:
    """The row nearest to the centroid of each of k clusters: anchors where the rows are.

    Lloyd's algorithm from one k-means++ start. Runs on the host (scikit-learn), not under jit. Not invariant to
    scalings of columns or of rows: the distance is Euclidean.

    Args:
        x: Rows to choose from.
        k: Number of anchors, at most n.
        key: Typed key, for the start.

    Returns:
        Indices of k different rows (int32), in the order of the clusters. Where a cloud has fewer than k distinct rows,
        copies fill the places.

    Raises:
        ValueError: If `k` exceeds the number of rows, or a row is not finite.

    Reference:
        Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """
    check_key(key)
    check_number(k, x.shape[0])
    rows = finite_rows(x)
    seed = int(jax.random.randint(key, (), 0, np.iinfo(np.int32).max, jnp.int32))
    cluster = k_means(rows, k, n_init=1, random_state=seed)
    return jnp.asarray(filled(rows, representatives(rows, cluster), k), jnp.int32)


def stratified(
    method: Callable[..., Int[Array, " _"]],
    x: Numeric[AnyArray, "n p"],
    k: int,
    *,
    groups: Int[AnyArray, " n"],
    key: TypedKey | None = None,
    **settings: Any,
) -> Int[Array, " _"]:
    """Anchors from every group of rows, such as every element, chosen by a method within each.

    Every group gets one place, and the other places go to the groups in proportion to their other rows, rounded by
    largest remainder. With fewer places than groups, all places are given out in proportion to the rows. Runs on the
    host, not under jit.

    Args:
        method: `random`, `farthest_point`, `kmeans`, `direct`, or any function of rows and a number that returns row
            indices.
        x: Rows to choose from.
        k: Number of anchors, at most n.
        groups: Label of each row: its atomic number.
        key: Typed key, for methods that need one; group i, in increasing order of labels, uses `fold_in(key, i)`.
        **settings: Further keyword arguments for the method.

    Returns:
        Row indices (int32), group by group in increasing order of labels: k of them, unless the method gave fewer.

    Raises:
        ValueError: If `k` exceeds the number of rows, or the method refuses.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from platonic_jax import anchors
        >>> x, species = jnp.arange(6.0)[:, None], jnp.array([8, 8, 8, 8, 26, 26])
        >>> rows = anchors.stratified(anchors.random, x, 3, groups=species, key=jax.random.key(0))
        >>> species[rows].tolist()
        [8, 8, 26]
    """
    check_number(k, x.shape[0])
    _, group, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    chosen = []
    for i, places in enumerate(_places(k, size)):
        if places:
            members = np.flatnonzero(group == i)
            chance = {} if key is None else {"key": jax.random.fold_in(key, i)}
            chosen.append(members[np.asarray(method(x[members], int(places), **chance, **settings))])
    return jnp.asarray(np.concatenate(chosen), jnp.int32)


def _places(k: int, size: np.ndarray) -> np.ndarray:
    """Allocate k anchors to groups, at most as many to each as it has rows."""
    if k < len(size):
        return _in_proportion(k, size)
    return 1 + _in_proportion(k - len(size), size - 1)


def _in_proportion(places: int, size: np.ndarray) -> np.ndarray:
    """Allocate places in proportion to sizes; equal remainders go to the first group."""
    quota, remainder = np.divmod(places * size.astype(np.int64), max(int(size.sum()), 1))
    largest = np.argsort(-remainder, kind="stable")[: places - int(quota.sum())]
    quota[largest] += 1
    return quota
