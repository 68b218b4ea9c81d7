"""Nearest-neighbour overlap measures."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax import numerics
from platonic_jax._checks import check_choice, check_paired
from platonic_jax._typing import AnyArray, Flag, Numeric, Scalar, TypedKey
from platonic_jax.numerics import as_float, map_rows, rows_per_tile

KERNELS = ("cosine", "inner")


def mutual_knn(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    exclude: Int[AnyArray, " n"] | None = None,
    weights: Numeric[AnyArray, " n"] | None = None,
    key: TypedKey | None = None,
    batch_size: int | None = None,
) -> Scalar:
    """Mutual nearest neighbours: the share of the nearest rows that both embeddings have in common, averaged over rows.

    Local, and blind to distances: which rows are nearest counts, not how near they are. Not invariant to anything that
    reorders neighbours; `metric` decides what does not. No gradient: it is piecewise constant.

    Ties do not create agreement: of rows that are equally near, those that fill a list are chosen at random,
    independently for the two embeddings. So an embedding of which many rows coincide does not reach 1 with itself.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), at most n − 1. Self is never among them.
        metric: Measure of nearness (static): `"cosine"`, `"l2"` or `"inner"`, as in `numerics.neighbours`.
        exclude: Label of each row, such as its structure; rows of the same label are not neighbours. Most neighbours
            that two models share are atoms of the same crystal; with `exclude=structure_index` only others count.
        weights: Weight of each row in the mean, from 0 upwards; all alike when absent. With 1 / (number of equivalent
            atoms of the structure) every orbit of a symmetry counts once.
        key: Typed key of the choice among ties; a fixed one when absent.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 to 1; 1 means the same neighbours everywhere, and unrelated embeddings give about j / (n − 1) for j
        neighbours. NaN if a row is not finite, or all rows of an embedding are equal (in the cosine metric: parallel).

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0], [1.0], [3.0], [7.0]])
        >>> float(metrics.mutual_knn(x, -2 * x, num_neighbours=1, metric="l2"))
        1.0

    Reference:
        Huh et al., The platonic representation hypothesis, ICML 2024 (arXiv:2405.07987).
    """
    shares = mutual_knn_rows(
        x, y, num_neighbours=num_neighbours, metric=metric, exclude=exclude, key=key, batch_size=batch_size
    )
    if weights is None:
        return jnp.mean(shares)
    weights = as_float(weights).astype(shares.dtype)
    return jnp.sum(weights * shares) / jnp.sum(weights)


def mutual_knn_rows(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    exclude: Int[AnyArray, " n"] | None = None,
    key: TypedKey | None = None,
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """Compute the share of common neighbours of each row: `mutual_knn` before it is averaged.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), at most n − 1.
        metric: Measure of nearness (static), as in `numerics.neighbours`.
        exclude: Label of each row; rows of the same label are not neighbours.
        key: Typed key of the choice among ties, independent for the two embeddings; a fixed one when absent.
        batch_size: Rows handled at once (static).

    Returns:
        For each row, from 0 to 1. A row with fewer rows of another label than neighbours asked for reaches no more
        than their share. NaN in all rows where `mutual_knn` is.
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y)
    search = partial(
        numerics.neighbours, num_neighbours=num_neighbours, metric=metric, exclude=exclude, batch_size=batch_size
    )
    key_x, key_y = _keys(key)
    (index_x, _), (index_y, _) = search(x, key=key_x), search(y, key=key_y)
    overlap = neighbour_overlap(index_x, index_y).astype(x.dtype)
    return jnp.where(_undefined(x, y, metric=metric), jnp.nan, overlap)


def _keys(key: TypedKey | None) -> tuple[TypedKey, TypedKey]:
    """Two independent keys, one for each embedding."""
    first, second = jax.random.split(jax.random.key(0) if key is None else key)
    return first, second


def _undefined(x: Float[Array, "n p"], y: Float[Array, "n q"], *, metric: str) -> Flag:
    """Test whether the neighbours of either embedding are undefined."""
    clouds = (numerics.normalise(x), numerics.normalise(y)) if metric == "cosine" else (x, y)
    first, second = (numerics.is_degenerate(cloud) for cloud in clouds)
    return first | second


def neighbour_overlap(index_x: Int[AnyArray, "n j"], index_y: Int[AnyArray, "n j"]) -> Float[Array, " n"]:
    """Compute the share of each row's neighbours that two lists have in common.

    Args:
        index_x: Row indices of the neighbours of each row, without repeats; −1 where a list has fewer.
        index_y: The same of another embedding.

    Returns:
        For each row, from 0 to 1, in the default float dtype. Places that hold −1 are never shared.
    """
    return _overlap(jnp.asarray(index_x), jnp.asarray(index_y))


@jax.jit
def _overlap(index_x: Int[Array, "n j"], index_y: Int[Array, "n j"]) -> Float[Array, " n"]:
    common = (index_x[:, :, None] == index_y[:, None, :]) & (index_x >= 0)[:, :, None]
    return jnp.mean(jnp.any(common, axis=2), axis=1)


def permuted_neighbours(index: Int[AnyArray, "n j"], permutation: Int[AnyArray, " n"]) -> Int[Array, "n j"]:
    """Compute the neighbours of `y[permutation]` from those of `y`, without a search, for cheap permutation nulls.

    Equal to a new search but for ties, which keep the order of the rows that they had in `y`. Where that order was
    random (`numerics.neighbours` with a key of its own for `y`), the lists of all permutations are as exchangeable as
    the rows are, so a null needs no new order for each draw.

    Args:
        index: Row indices of the neighbours of each row of `y`; −1 where a list has fewer.
        permutation: Row indices, each once.

    Returns:
        Row indices into `y[permutation]` of the neighbours of each of its rows.
    """
    index, permutation = jnp.asarray(index), jnp.asarray(permutation)
    place = jnp.zeros_like(permutation).at[permutation].set(jnp.arange(permutation.shape[0], dtype=permutation.dtype))
    moved = index[permutation]
    return jnp.where(moved < 0, -1, place[moved])


def cknna(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    exclude: Int[AnyArray, " n"] | None = None,
    key: TypedKey | None = None,
    batch_size: int | None = None,
) -> Scalar:
    """Kernel alignment of mutual neighbours: CKNNA = HSIC(M∘K, M∘L) / √(HSIC(Mˣ∘K, Mˣ∘K) HSIC(Mʸ∘L, Mʸ∘L)).

    K and L are the kernels of the embeddings, Mˣ and Mʸ mark the nearest rows of each row, M those near in both, and
    HSIC is the unbiased estimate. Local as `mutual_knn` is, but neighbours count as much as they are similar. A row
    need not be a neighbour of its neighbours, so M is not symmetric, and exchanging the embeddings changes the value by
    a term of order j / n. Exact from the lists of j neighbours alone, in O(n j²). Not invariant to translation. Ties
    are broken as in `mutual_knn`: at random, independently for the two embeddings.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), from 2 to n − 1. Self is never among them.
        metric: The kernel, which is the measure of nearness too (static): `"cosine"`, or `"inner"` for the raw inner
            product, with distances as in `numerics.neighbours`: to a zero row the cosine is taken as 1/2.
        exclude: Label of each row, such as its structure; rows of the same label are not neighbours.
        key: Typed key of the choice among ties; a fixed one when absent.
        batch_size: Rows handled at once (static).

    Returns:
        1 means the same neighbours, equally similar; unrelated embeddings give about j / (n − 1). Between −1 and 1, but
        for terms of order j / n. NaN where `mutual_knn` is, and where an embedding and itself have no positive HSIC, as
        raw inner products can. Differentiable where no neighbours change places.

    Raises:
        ValueError: If `num_neighbours` is below 2 or exceeds the other rows, there are fewer than four rows, or they
            do not pair.

    Example:
        >>> import jax
        >>> from platonic_jax import metrics
        >>> x, noise = jax.random.normal(jax.random.key(0), (2, 100, 4))
        >>> round(float(metrics.cknna(x, 2 * x)), 5), bool(metrics.cknna(x, x + noise) < 0.5)
        (1.0, True)

    Reference:
        Huh et al., The platonic representation hypothesis, ICML 2024 (arXiv:2405.07987), whose code normalises the rows
        beforehand, and adds 1e-6 to the denominator.
    """
    return jnp.mean(
        cknna_rows(x, y, num_neighbours=num_neighbours, metric=metric, exclude=exclude, key=key, batch_size=batch_size)
    )


def cknna_rows(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    exclude: Int[AnyArray, " n"] | None = None,
    key: TypedKey | None = None,
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """Compute the part of each row in `cknna`: its terms in HSIC(M∘K, M∘L), times n, over the denominator.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), from 2 to n − 1.
        metric: The kernel (static), `"cosine"` or `"inner"`.
        exclude: Label of each row; rows of the same label are not neighbours.
        key: Typed key of the choice among ties, independent for the two embeddings; a fixed one when absent.
        batch_size: Rows handled at once (static).

    Returns:
        For each row a number of either sign, whose mean over rows is `cknna`. NaN in all rows where that is.
    """
    check_choice("metric", metric, KERNELS)
    x, y = as_float(x), as_float(y)
    check_paired(x, y, least=4)
    if num_neighbours < 2:
        raise ValueError(f"`num_neighbours` must be at least 2, got {num_neighbours}.")

    def lists(x: Float[Array, "n p"], key: TypedKey) -> tuple[Int[Array, "n j"], Float[Array, "n j"]]:
        index, distance = numerics.neighbours(
            x, num_neighbours=num_neighbours, metric=metric, exclude=exclude, key=key, batch_size=batch_size
        )
        distance = jnp.where(index < 0, 0, distance)
        return index, jnp.where(index < 0, 0, 1 - distance if metric == "cosine" else -distance)

    key_x, key_y = _keys(key)
    (index_x, kernel_x), (index_y, kernel_y) = lists(x, key_x), lists(y, key_y)
    common = index_x[:, :, None] == index_y[:, None, :]
    common_x = jnp.where(jnp.any(common, axis=2), kernel_x, 0)
    common_y = jnp.sum(jnp.where(common, kernel_y[:, None, :], 0), axis=2)
    scale = jnp.sum(_hsic_rows(index_x, kernel_x, kernel_x)) * jnp.sum(_hsic_rows(index_y, kernel_y, kernel_y))
    terms = x.shape[0] * _hsic_rows(index_x, common_x, common_y) / jnp.sqrt(scale)
    return jnp.where(_undefined(x, y, metric=metric), jnp.nan, terms)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@jax.jit
def _hsic_rows(
    index: Int[Array, "n j"], k_entries: Float[Array, "n j"], l_entries: Float[Array, "n j"]
) -> Float[Array, " n"]:
    """The terms of each row in n (n − 3) times the unbiased HSIC of two matrices with the same non-zero entries.

    tr(K L) + 1ᵀK1 1ᵀL1 / ((n−1)(n−2)) − 2 1ᵀK L1 / (n−2), with entries (i, index[i, s]) and an empty diagonal. Entries
    at index −1 are zero.
    """
    n, j = index.shape

    def traced(row: tuple[Array, Array, Array]) -> Scalar:
        i, columns, entries = row
        returned = jnp.sum(jnp.where(index[columns] == i, l_entries[columns], 0), axis=1)  # L_ji, where there is one.
        return jnp.sum(entries * returned)

    rows = (jnp.arange(n, dtype=index.dtype), index, k_entries)
    trace = map_rows(traced, rows, batch_size=min(n, rows_per_tile(j * j)))
    row_k, row_l = jnp.sum(k_entries, axis=1), jnp.sum(l_entries, axis=1)
    column_k = jnp.zeros_like(row_k).at[index].add(k_entries)
    return trace + row_k / (n - 1) * (jnp.sum(row_l) / (n - 2)) - 2 / (n - 2) * column_k * row_l


def information_imbalance(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 1,
    key: TypedKey | None = None,
    batch_size: int | None = None,
) -> Scalar:
    """Information imbalance: Δ(x → y) = 2/n ⟨r⟩, r the rank in y of the j rows nearest in x, Euclidean distances.

    Low where nearness in `x` predicts nearness in `y`. Not symmetric: if x holds all that y does and more besides,
    Δ(x → y) is low and Δ(y → x) high. Not invariant to anything that reorders distances from a row. No gradient: it is
    piecewise constant. Exact by tiles of distances, in memory proportional to n.

    Ties do not create agreement: among rows equally near in x the choice is random, and rows equally near in y, to
    within rounding, share the mean of their ranks.

    Args:
        x: Embedding that predicts.
        y: Embedding of the same rows that is predicted.
        num_neighbours: Number of neighbours in x (static), at most n − 1. Self is never among them.
        key: Typed key of the choice among ties in x; a fixed one when absent.
        batch_size: Rows handled at once (static). By default as many as keep a tile of distances at 64 MiB.

    Returns:
        From (j + 1) / n, where y has the same j neighbours, to about 1 for unrelated embeddings, and towards 2 where
        near rows of x are the farthest of y. NaN if a row is not finite, or all rows of an embedding are equal.

    Example:
        >>> import jax
        >>> from platonic_jax import metrics
        >>> plane = jax.random.normal(jax.random.key(0), (200, 2))
        >>> line = plane[:, :1]  # Half of the plane's coordinates.
        >>> bool(metrics.information_imbalance(plane, line) < metrics.information_imbalance(line, plane))
        True

    Reference:
        Glielmo et al., Ranking the information content of distance measures, PNAS Nexus 1, pgac039 (2022).
    """
    return jnp.mean(information_imbalance_rows(x, y, num_neighbours=num_neighbours, key=key, batch_size=batch_size))


def information_imbalance_rows(
    x: Numeric[AnyArray, "n p"],
    y: Numeric[AnyArray, "n q"],
    *,
    num_neighbours: int = 1,
    key: TypedKey | None = None,
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """Compute the information imbalance of each row: `information_imbalance` before it is averaged.

    Args:
        x: Embedding that predicts.
        y: Embedding of the same rows that is predicted.
        num_neighbours: Number of neighbours in x (static), at most n − 1.
        key: Typed key of the choice among ties in x; a fixed one when absent.
        batch_size: Rows handled at once (static).

    Returns:
        For each row, 2/n times the mean rank in y of its j neighbours in x: from (j + 1) / n to 2. NaN in all rows
        where `information_imbalance` is.
    """
    x, y = as_float(x), as_float(y)
    check_paired(x, y)
    nearest, _ = numerics.neighbours(
        x, num_neighbours=num_neighbours, metric="l2", key=_keys(key)[0], batch_size=batch_size
    )
    ranks = _mean_ranks(y, nearest, batch_size=batch_size)
    return jnp.where(_undefined(x, y, metric="l2"), jnp.nan, 2 / x.shape[0] * ranks)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames="batch_size")
def _mean_ranks(y: Float[Array, "n q"], chosen: Int[Array, "n j"], *, batch_size: int | None) -> Float[Array, " n"]:
    """The mean rank of each row's chosen rows, by distance from it: 1 for the nearest, ties in the mean."""
    n, j = chosen.shape
    y, columns = numerics.centre(y), jnp.arange(n, dtype=chosen.dtype)[None]
    squares = numerics.squared_norm(y)
    rounding = 4 * float(jnp.finfo(y.dtype).eps)

    def mean_rank(row: tuple[Array, Array, Array]) -> Scalar:
        i, others, square = row
        distance = numerics.squared_distances(y[i][None], y)
        gap = distance - distance[0, others][:, None]
        tied = jnp.abs(gap) <= rounding * (square + squares[others])[:, None]
        other = columns != i
        before = jnp.sum((other & ~tied & (gap < 0)).astype(y.dtype)) / j
        sharing = jnp.sum((other & tied).astype(y.dtype)) / j  # The row itself is one of them.
        return before + (sharing + 1) / 2

    batch_size = min(n, rows_per_tile(n)) if batch_size is None else batch_size
    return map_rows(mean_rank, (columns[0], chosen, squares), batch_size=batch_size)
