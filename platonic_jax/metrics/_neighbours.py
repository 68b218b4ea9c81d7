"""Agreement of two clouds about who is near whom."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax import numerics
from platonic_jax._checks import check_paired
from platonic_jax._typing import Scalar


def mutual_knn(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    k: int = 10,
    metric: str = "cosine",
    batch_size: int | None = None,
) -> Scalar:
    """Mutual nearest neighbours: the share of the k nearest rows that both clouds have in common, averaged over rows.

    Local, and blind to distances: it asks which rows are nearest, not how near. Not invariant to anything that reorders
    neighbours; `metric` decides what does not. No gradient: it is piecewise constant.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        k: Number of neighbours (static), at most n − 1. Self is never among them.
        metric: What is near (static): `"cosine"`, `"l2"` or `"inner"`, as in `numerics.neighbours`.
        batch_size: Rows handled at once (static).

    Returns:
        From 0 to 1; 1 means the same neighbours everywhere, and unrelated clouds give about k / (n − 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from platonic_jax import metrics
        >>> x = jnp.array([[0.0], [1.0], [3.0], [7.0]])
        >>> float(metrics.mutual_knn(x, -2 * x, k=1, metric="l2"))
        1.0

    Reference:
        Huh et al., The platonic representation hypothesis, ICML 2024 (arXiv:2405.07987).
    """
    return jnp.mean(mutual_knn_rows(x, y, k=k, metric=metric, batch_size=batch_size))


def mutual_knn_rows(
    x: Float[Array, "n p"],
    y: Float[Array, "n q"],
    *,
    k: int = 10,
    metric: str = "cosine",
    batch_size: int | None = None,
) -> Float[Array, " n"]:
    """The share of common neighbours of each row: `mutual_knn` before it is averaged.

    Args:
        x: First embedding.
        y: Second embedding of the same rows.
        k: Number of neighbours (static), at most n − 1.
        metric: What is near (static), as in `numerics.neighbours`.
        batch_size: Rows handled at once (static).

    Returns:
        For each row, from 0 to 1.
    """
    check_paired(x, y)
    index_x, _ = numerics.neighbours(x, k=k, metric=metric, batch_size=batch_size)
    index_y, _ = numerics.neighbours(y, k=k, metric=metric, batch_size=batch_size)
    return neighbour_overlap(index_x, index_y).astype(x.dtype)


def neighbour_overlap(index_x: Int[Array, "n k"], index_y: Int[Array, "n k"]) -> Float[Array, " n"]:
    """The share of each row's neighbours that two lists have in common.

    Args:
        index_x: Row indices of the neighbours of each row, without repeats.
        index_y: The same of another cloud.

    Returns:
        For each row, from 0 to 1, in the default float dtype.
    """
    common = index_x[:, :, None] == index_y[:, None, :]
    return jnp.mean(jnp.any(common, axis=2), axis=1)


def permuted_neighbours(index: Int[Array, "n k"], permutation: Int[Array, " n"]) -> Int[Array, "n k"]:
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
