"""Permutation tests within every group of rows, such as an element, for all pairs of models at once.

Within a group the blocks of `statistics.permutation` are exchanged, which is exact there. The groups' tests are
combined by `statistics.combined_test`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import numerics, statistics
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._nulls import movable_rows

__all__ = ["GroupDraws", "draw_groups"]

LEAST_BLOCKS = 10  # Of a group: with fewer, a test of it says nothing.
SIZES = (64, 256, 1024)  # Rows of a group are filled up to one of these; beyond, whole blocks are drawn at random.
MOST_COMPONENTS = 32  # Principal components of a group's rows that stand for it.


class GroupDraws(NamedTuple):
    """Values of g groups and p pairs, and the same under d permutations within each group.

    Attributes:
        values: measure → (g, p).
        null: measure → (d, g, p).
        weights: measure → (g,) blocks of each group; 0 where the group is too small for the measure.
        num_groups: number of all groups, tested or not.
    """

    values: Mapping[str, np.ndarray]
    null: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]
    num_groups: int

    def tested(self, measure: str) -> int:
        """Count the groups that a measure is tested in."""
        return int((self.weights[measure] > 0).sum())

    def p_values(self, measure: str, *, sign: int = 1) -> np.ndarray:
        """(p,) p-values of the groups together; NaN where no group can be tested."""
        kept = self.weights[measure] > 0
        if not kept.any():
            return np.full(self.values[measure].shape[1], np.nan)
        values, null = sign * self.values[measure][kept], sign * self.null[measure][:, kept]
        return np.asarray(_combined_p_values(values, null, self.weights[measure][kept]))

    def corrected_p_values(self, measure: str) -> np.ndarray:
        """(p,) p-values corrected for the number of pairs; NaN where no group can be tested."""
        kept = self.weights[measure] > 0
        if not kept.any():
            return np.full(self.values[measure].shape[1], np.nan)
        return np.asarray(
            _corrected_p_values(
                self.values[measure][kept].T,
                self.null[measure][:, kept].swapaxes(1, 2),
                weights=self.weights[measure][kept],
            )
        )


@jax.jit
def _combined_p_values(values: Array, null: Array, weights: Array) -> Array:
    """(p,) p-values of g groups together, from values, (g, p), draws, (d, g, p), and weights, (g,)."""
    test = partial(statistics.combined_test, weights=weights)
    return jax.vmap(test, in_axes=(1, 2))(values, null).p_value


_corrected_p_values = jax.jit(statistics.max_combined)


def draw_groups(
    rows_of: Sequence[Callable[[np.ndarray], np.ndarray]],
    pairs: tuple[tuple[int, int], ...],
    *,
    groups: np.ndarray,
    blocks: np.ndarray,
    measures: Sequence[str],
    num_neighbours: int,
    num_permutations: int,
    key: Array,
    begin: Callable[[str], None] = lambda _: None,
) -> GroupDraws:
    """Compute every measure of every pair within every group, as it is and under permutations of blocks.

    Args:
        rows_of: for each model, a function of row indices that returns those rows in the shared space.
        pairs: pairs of models.
        groups: (n,) group of each row.
        blocks: (n,) structure of each row.
        measures: names from `_pairs.MEASURES`.
        num_neighbours: neighbours that measures of neighbours compare.
        num_permutations: draws.
        key: typed key.
        begin: called with what is being done.

    Returns:
        Values and draws of the groups with at least ten blocks that can move.
    """
    labels, member = np.unique(groups, return_inverse=True)
    movable = np.asarray(movable_rows(len(groups), groups=member.astype(np.int32), blocks=blocks))
    values, null, weights = ({name: [] for name in measures} for _ in range(3))
    for g in range(len(labels)):
        one = jax.random.fold_in(key, g)
        rows = np.flatnonzero(member == g)
        if len(np.unique(blocks[rows[movable[rows]]])) < LEAST_BLOCKS:
            continue
        begin(f"test within {labels[g]}")
        rows = _thinned(rows, blocks[rows], one)
        block = np.unique(blocks[rows], return_inverse=True)[1].astype(np.int32)
        smallest = {  # Rows that may be neighbours, of the row that has fewest.
            "mutual_knn": len(rows) - 1,
            "mutual_knn_other_structures": len(rows) - np.bincount(block).max(),
        }
        defined = tuple(name for name in measures if smallest.get(name, num_neighbours) >= num_neighbours)
        values_of, null_of = _draws(
            *_filled([select(rows) for select in rows_of], block),
            one,
            pairs=pairs,
            measures=defined,
            num_neighbours=num_neighbours,
            num_permutations=num_permutations,
        )
        for name in measures:
            values[name].append(np.asarray(values_of[name]) if name in defined else np.zeros(len(pairs), np.float32))
            nothing = np.zeros((num_permutations, len(pairs)), np.float32)
            null[name].append(np.asarray(null_of[name]) if name in defined else nothing)
            weights[name].append(float(block.max() + 1) if name in defined else 0.0)
    shape = (0, len(pairs))
    return GroupDraws(
        {name: np.reshape(array, (-1, len(pairs))) for name, array in values.items()},
        {
            name: np.stack(array, 1) if array else np.zeros((num_permutations, *shape), np.float32)
            for name, array in null.items()
        },
        {name: np.array(array, np.float32) for name, array in weights.items()},
        len(labels),
    )


def _thinned(rows: np.ndarray, blocks: np.ndarray, key: Array) -> np.ndarray:
    """The rows of whole blocks, drawn at random until there are enough."""
    if len(rows) <= SIZES[-1]:
        return rows
    labels, place, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    order = np.asarray(jax.random.permutation(key, len(labels)))
    taken = np.zeros(len(labels), bool)
    taken[order[np.cumsum(sizes[order]) <= SIZES[-1]]] = True
    return rows[taken[place]]


def _filled(spaces: Sequence[np.ndarray], block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pad rows, components, weights and blocks to one of `SIZES`, so that few shapes are compiled."""
    n, width = spaces[0].shape
    size = next(size for size in SIZES if size >= n)
    rows = np.zeros((len(spaces), size, width), np.float32)
    components = np.zeros((len(spaces), size, min(MOST_COMPONENTS, width)), np.float32)
    for i, x in enumerate(spaces):
        rows[i, :n] = x
        centred = np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64)
        directions = np.linalg.eigh(centred.T @ centred)[1][:, : -components.shape[2] - 1 : -1]
        scale = np.linalg.norm(centred)
        components[i, :n] = centred @ directions / (scale if scale > 0 else 1)
    weights = np.zeros(size, np.float32)
    weights[:n] = 1
    filled = np.concatenate([block, len(block) + np.arange(size - n)]).astype(np.int32)
    return rows, components, weights, filled


# Compiled once for each of `SIZES`.
@partial(jax.jit, static_argnames=("pairs", "measures", "num_neighbours", "num_permutations"))
def _draws(
    rows: Array,
    components: Array,
    weights: Array,
    blocks: Array,
    key: Array,
    *,
    pairs: tuple[tuple[int, int], ...],
    measures: tuple[str, ...],
    num_neighbours: int,
    num_permutations: int,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Measures of each pair, (p,), and of each draw, (d, p). Rows of weight 0 are no neighbours, and stay."""
    lists = jax.lax.map(
        lambda row: _pairs.neighbour_lists(
            row[0], blocks, num_neighbours=num_neighbours, key=row[1], among=weights > 0, measures=measures
        ),
        (rows, jax.random.split(key, len(rows))),
    )
    clouds = [
        _pairs.make_cloud(components[i], {name: index[i] for name, index in lists.items()}, weights)
        for i in range(len(rows))
    ]
    groups = (weights > 0).astype(jnp.int32)

    draw = lambda order: _pairs.permuted_pairs(clouds, clouds, order, pairs, weights, measures=measures)
    orders = statistics.permutations(
        key, n=len(weights), groups=groups, blocks=blocks, num_permutations=num_permutations
    )
    # With the rows as they are among the draws, the loop's body is all there is to compile.
    values = numerics.map_rows(draw, jnp.concatenate([jnp.arange(len(weights), dtype=jnp.int32)[None], orders]))
    return {name: draws[0] for name, draws in values.items()}, {name: draws[1:] for name, draws in values.items()}
