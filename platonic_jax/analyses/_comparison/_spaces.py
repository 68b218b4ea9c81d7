"""Models in the space of the same anchor atoms, and the rows on which measures are computed."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from platonic_jax import _memory, numerics
from platonic_jax._typing import TypedKey
from platonic_jax.analyses._anchoring import relative
from platonic_jax.analyses._pairs import NEIGHBOURS, Cloud, make_cloud, neighbour_lists
from platonic_jax.tables import EmbeddingTable


class Space(NamedTuple):
    """A model as measures see it.

    Attributes:
        cloud: its rows in the space of the anchors, centred, of unit norm in all, in float32; neighbours found before.
        mean: (1, k) what was taken from every row.
        scale: () what they were divided by: `cloud.rows * scale + mean` are the similarities to the anchors.
        thinned: (t, k) those rows as they are, in float64, that enter measures which need all pairs of them.
    """

    cloud: Cloud
    mean: Float[Array, "1 k"]
    scale: Float[Array, ""]
    thinned: Float[Array, "t k"]


def check_memory(tables: Sequence[EmbeddingTable], *, k: int, similarity: str, resolved: bool) -> None:
    """Check that a comparison fits the memory there is, before it starts.

    The most is held where a model is projected, beside the spaces of those before it; where all are permuted, if they
    are many; or where all are resolved by a group of nearly all rows.

    Args:
        tables: the models, the baseline among them.
        k: number of anchors.
        similarity: of rows to anchors.
        resolved: whether matrices are resolved by groups.

    Raises:
        ValueError: it does not fit.
    """
    n, m, widest = len(tables[0].x), len(tables), max(table.x.shape[1] for table in tables)
    lists = 2 * 10 * 4
    spaces = m * (4 * k + lists)
    projected = 8 * (4 if similarity == "whitened" else 2) * widest + 8 * 7 * k  # XLA plans 5 k, and 1.6 k remain.
    permuted = m * (5 * k + lists)
    within = m * 18 * k + 8 * 6 * k if resolved else 0
    data = sum(table.x.nbytes for table in tables) + n * (spaces + max(projected, permuted, within))
    _memory.require(
        data,
        work=f"the comparison of {m} models on {n:,} atoms",
        advice="take fewer structures (`--limit`) or fewer models",
    )


def project(
    x: Float[np.ndarray, "n p"],
    anchor_index: Int[np.ndarray, " k"],
    thinned_index: Int[np.ndarray, " t"],
    weights: Float[Array, " k"] | None,
    *,
    similarity: str,
) -> Float[Array, "t k"]:
    """Represent some rows in the space of anchors; the similarity may look at all of them."""
    return relative(x[thinned_index], x[anchor_index], similarity=similarity, weights=weights, reference=x)


# Apart from the projection, so that models of different widths share what is compiled.
@partial(jax.jit, static_argnames=("num_neighbours", "measures"))
def space_of(
    shared: Float[Array, "n k"],
    thinned_index: Int[Array, " t"],
    structures: Int[Array, " n"],
    key: TypedKey,
    *,
    num_neighbours: int,
    measures: tuple[str, ...] = NEIGHBOURS,
) -> Space:
    """Prepare a model's rows in the space of the anchors for measures."""
    nearest = neighbour_lists(shared, structures, num_neighbours=num_neighbours, key=key, measures=measures)
    centred = numerics.centre(shared)
    size = numerics.safe_norm(centred.reshape(-1))
    scale = jnp.where(size > 0, size, 1)
    cloud = make_cloud((centred / scale).astype(jnp.float32), nearest, jnp.ones(len(shared), jnp.float32))
    return Space(cloud, shared[:1] - centred[:1], scale, shared[thinned_index])
