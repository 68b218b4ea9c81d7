"""Agreement of two clouds about who is near whom."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax import numerics
from platonic_jax._checks import check_choice, check_paired
from platonic_jax._typing import Scalar
from platonic_jax.numerics import map_rows, rows_per_tile

KERNELS = ("cosine", "inner")


def mutual_knn(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    batch_size: int | None = None,
) -> Scalar:
    """Mutual nearest neighbours: the share of the nearest rows that both clouds have in common, averaged over rows.

    Local, and blind to distances: it asks which rows are nearest, not how near. Not invariant to anything that reorders
    neighbours; `metric` decides what does not. No gradient: it is piecewise constant.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), at most n − 1. Self is never among them.
        metric: What is near (static): `"cosine"`, `"l2"` or `"inner"`, as in `numerics.neighbours`.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 to 1; 1 means the same neighbours everywhere, and unrelated clouds give about j / (n − 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0], [1.0], [3.0], [7.0]])
        >>> float(metrics.mutual_knn(x, -2 * x, num_neighbours=1, metric="l2"))
        1.0

    Reference:
        Huh et al., The platonic representation hypothesis, ICML 2024 (arXiv:2405.07987).
    """
    return jnp.mean(mutual_knn_rows(x, y, num_neighbours=num_neighbours, metric=metric, batch_size=batch_size))


def mutual_knn_rows(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """The share of common neighbours of each row: `mutual_knn` before it is averaged.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), at most n − 1.
        metric: What is near (static), as in `numerics.neighbours`.
        batch_size: Rows handled at once (static).

    Returns:
        For each row, from 0 to 1.
    """
    check_paired(x, y)
    index_x, _ = numerics.neighbours(x, num_neighbours=num_neighbours, metric=metric, batch_size=batch_size)
    index_y, _ = numerics.neighbours(y, num_neighbours=num_neighbours, metric=metric, batch_size=batch_size)
    return neighbour_overlap(index_x, index_y).astype(x.dtype)


def neighbour_overlap(index_x: Int[Array, "n j"], index_y: Int[Array, "n j"]) -> Float[Array, " n"]:
    """The share of each row's neighbours that two lists have in common.

    Args:
        index_x: Row indices of the neighbours of each row, without repeats.
        index_y: The same of another cloud.

    Returns:
        For each row, from 0 to 1, in the default float dtype.
    """
    common = index_x[:, :, None] == index_y[:, None, :]
    return jnp.mean(jnp.any(common, axis=2), axis=1)


def permuted_neighbours(index: Int[Array, "n j"], permutation: Int[Array, " n"]) -> Int[Array, "n j"]:
    """The neighbours of `y[permutation]`, from those of `y`, without a search: what makes a permutation null cheap.

    Equal to a new search but for ties, which keep the order of the rows that they had in `y`.

    Args:
        index: Row indices of the neighbours of each row of `y`.
        permutation: Row indices, each once.

    Returns:
        Row indices into `y[permutation]` of the neighbours of each of its rows.
    """
    place = jnp.zeros_like(permutation).at[permutation].set(jnp.arange(permutation.shape[0], dtype=permutation.dtype))
    return place[index[permutation]]


def cknna(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    batch_size: int | None = None,
) -> Scalar:
    """Kernel alignment of mutual neighbours: CKNNA = HSIC(M∘K, M∘L) / √(HSIC(Mˣ∘K, Mˣ∘K) HSIC(Mʸ∘L, Mʸ∘L)).

    K and L are the kernels of the clouds, Mˣ and Mʸ mark the nearest rows of each row, M those near in both, and HSIC
    is the unbiased estimate. Local as `mutual_knn` is, but neighbours count as much as they are similar. A row need not
    be a neighbour of its neighbours, so M is not symmetric, and exchanging the clouds changes the value by a term of
    order k / n. Exact from the lists of neighbours alone, in O(n j²). Not invariant to moving a cloud.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), from 2 to n − 1. Self is never among them.
        metric: The kernel, which says what is near too (static): `"cosine"`, or `"inner"` for the raw inner product,
            with distances as in `numerics.neighbours`: to a zero row the cosine is taken as 1/2.
        batch_size: Rows handled at once (static).

    Returns:
        1 means the same neighbours, equally similar; unrelated clouds give about j / (n − 1). Between −1 and 1, but for
        terms of order j / n. NaN where a cloud and itself have no positive HSIC, as raw inner products can.
        Differentiable where no neighbours change places.

    Raises:
        ValueError: If `num_neighbours` is below 2 or exceeds the other rows, there are fewer than four rows, or they do
            not pair.

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
    return jnp.mean(cknna_rows(x, y, num_neighbours=num_neighbours, metric=metric, batch_size=batch_size))


def cknna_rows(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    num_neighbours: int = 10,
    metric: str = "cosine",
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """What each row adds to `cknna`: its terms in HSIC(M∘K, M∘L), times n, over the denominator.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        num_neighbours: Number of neighbours (static), from 2 to n − 1.
        metric: The kernel (static), `"cosine"` or `"inner"`.
        batch_size: Rows handled at once (static).

    Returns:
        For each row a number of either sign, whose mean over rows is `cknna`.
    """
    check_choice("metric", metric, KERNELS)
    check_paired(x, y, least=4)
    if num_neighbours < 2:
        raise ValueError(f"`num_neighbours` must be at least 2, got {num_neighbours}.")

    def lists(x: Float[Array, "n p"]) -> tuple[Int[Array, "n j"], Float[Array, "n j"]]:
        index, distance = numerics.neighbours(x, num_neighbours=num_neighbours, metric=metric, batch_size=batch_size)
        return index, 1 - distance if metric == "cosine" else -distance

    (index_x, kernel_x), (index_y, kernel_y) = lists(x), lists(y)
    common = index_x[:, :, None] == index_y[:, None, :]
    common_x = jnp.where(jnp.any(common, axis=2), kernel_x, 0)
    common_y = jnp.sum(jnp.where(common, kernel_y[:, None, :], 0), axis=2)
    scale = jnp.sum(_hsic_rows(index_x, kernel_x, kernel_x)) * jnp.sum(_hsic_rows(index_y, kernel_y, kernel_y))
    return x.shape[0] * _hsic_rows(index_x, common_x, common_y) / jnp.sqrt(scale)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@jax.jit
def _hsic_rows(
    index: Int[Array, "n j"], k_entries: Float[Array, "n j"], l_entries: Float[Array, "n j"]
) -> Float[Array, " n"]:
    """The terms of each row in n (n − 3) times the unbiased HSIC of two matrices with the same non-zero entries.

    tr(K L) + 1ᵀK1 1ᵀL1 / ((n−1)(n−2)) − 2 1ᵀK L1 / (n−2), with entries (i, index[i, s]) and an empty diagonal.
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
    return trace + row_k * jnp.sum(row_l) / ((n - 1) * (n - 2)) - 2 / (n - 2) * column_k * row_l


def information_imbalance(
    x: Float[Array, "n p"], y: Float[Array, "n q"], *, num_neighbours: int = 1, batch_size: int | None = None
) -> Scalar:
    """Information imbalance: Δ(x → y) = 2/n ⟨r⟩, r the rank in y of the j rows nearest in x, Euclidean distances.

    How well does nearness in `x` predict nearness in `y`? Not symmetric: if x knows what y knows and more besides,
    Δ(x → y) is low and Δ(y → x) high. Not invariant to anything that reorders distances from a row. No gradient: it is
    piecewise constant. Exact by tiles of distances, in memory proportional to n.

    Args:
        x: Embedding that predicts.
        y: Embedding of the same rows that is predicted.
        num_neighbours: Number of neighbours in x (static), at most n − 1. Self is never among them.
        batch_size: Rows handled at once (static). By default as many as keep a tile of distances at 64 MiB.

    Returns:
        From (j + 1) / n, where y has the same neighbours, to about 1 for unrelated clouds, and towards 2 where near
        rows of x are the farthest of y. Among equal distances the lower row index ranks first, as far as rounding keeps
        them equal: rows that coincide in y are ranked among themselves by chance.

    Example:
        >>> import jax
        >>> from platonic_jax import metrics
        >>> plane = jax.random.normal(jax.random.key(0), (200, 2))
        >>> line = plane[:, :1]  # Half of what the plane knows.
        >>> bool(metrics.information_imbalance(plane, line) < metrics.information_imbalance(line, plane))
        True

    Reference:
        Glielmo et al., Ranking the information content of distance measures, PNAS Nexus 1, pgac039 (2022).
    """
    return jnp.mean(information_imbalance_rows(x, y, num_neighbours=num_neighbours, batch_size=batch_size))


def information_imbalance_rows(
    x: Float[Array, "n p"], y: Float[Array, "n q"], *, num_neighbours: int = 1, batch_size: int | None = None
) -> Float[Array, " n"]:
    """The information imbalance of each row: `information_imbalance` before it is averaged.

    Args:
        x: Embedding that predicts.
        y: Embedding of the same rows that is predicted.
        num_neighbours: Number of neighbours in x (static), at most n − 1.
        batch_size: Rows handled at once (static).

    Returns:
        For each row, 2/n times the mean rank in y of its j neighbours in x: from (j + 1) / n to 2.
    """
    check_paired(x, y)
    nearest, _ = numerics.neighbours(x, num_neighbours=num_neighbours, metric="l2", batch_size=batch_size)
    return 2 / x.shape[0] * _mean_ranks(y, nearest, batch_size=batch_size)


# Compiled here, once per shape: called as it is, the loop inside would be compiled anew every time.
@partial(jax.jit, static_argnames="batch_size")
def _mean_ranks(y: Float[Array, "n q"], chosen: Int[Array, "n j"], *, batch_size: int | None) -> Float[Array, " n"]:
    """The mean rank of each row's chosen rows, in the order of distance from it: 1 for the nearest."""
    n, j = chosen.shape
    y, columns = numerics.centre(y), jnp.arange(n, dtype=chosen.dtype)[None]

    def mean_rank(row: tuple[Array, Array]) -> Scalar:
        i, others = row
        distance = numerics.squared_distances(y[i][None], y)
        reference = distance[0, others][:, None]
        before = (distance < reference) | ((distance == reference) & (columns < others[:, None]))
        return 1 + jnp.sum((before & (columns != i)).astype(y.dtype)) / j

    batch_size = min(n, rows_per_tile(n)) if batch_size is None else batch_size
    return map_rows(mean_rank, (columns[0], chosen), batch_size=batch_size)
