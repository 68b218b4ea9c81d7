"""Permutation nulls of measures that use all atoms: whole structures, or atoms within groups, are exchanged."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from platonic_jax import statistics
from platonic_jax._checks import check_count
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._measures import properties

# Draws nearer to the value than this share of it are equal to it: single precision tells no more.
DRAW_RESOLUTION = 1e-4


SIGNIFICANT = 0.05


EFFECT_DRAWS = 5  # Permutations that give the influence of structures on the mean of a null.


Pairs = tuple[tuple[int, int], ...]


def check_permutations(num_permutations: int) -> None:
    """Check that so many permutations can give a significant p-value.

    Raises:
        ValueError: They cannot.
    """
    check_count("num_permutations", num_permutations)
    if num_permutations < (fewest := statistics.fewest_permutations(SIGNIFICANT)):
        raise ValueError(
            f"`num_permutations` = {num_permutations} permutations cannot reach p ≤ {SIGNIFICANT}; use at least "
            f"{fewest}."
        )


class Null(NamedTuple):
    """Null hypothesis: the groups within which structures are permuted.

    Attributes:
        groups: (n,) labels within which blocks are exchanged; None for whole structures.
        blocks: (n,) structure of each row.
    """

    groups: np.ndarray | None
    blocks: np.ndarray

    def orders(self, key: Array, *, rows: np.ndarray | None = None, first: int = 0, number: int) -> Array:
        """(number, n) permutations, of all rows or of some whole structures."""
        groups = np.zeros(len(self.blocks), np.int32) if self.groups is None else self.groups
        blocks = self.blocks
        if rows is not None:
            groups, blocks = groups[rows], blocks[rows]
        return _orders(key, first, groups, blocks, number=number)

    def each(self, key: Array, *, number: int) -> Iterator[Array]:
        """Yield (n,) permutations of all rows one by one; a few are made at once."""
        for first in range(0, number, EFFECT_DRAWS):
            yield from self.orders(key, first=first, number=EFFECT_DRAWS)[: number - first]

    def exchange(self, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Count the blocks and atoms that can move, and test whether they are enough for a test."""
        blocks = self.blocks if rows is None else self.blocks[rows]
        every = np.zeros(len(self.blocks), np.int32) if self.groups is None else self.groups
        groups = every if rows is None else every[rows]
        movable = np.asarray(movable_rows(len(blocks), groups=groups, blocks=blocks))
        pairs, place = np.unique(np.stack([groups, blocks]), axis=1, return_inverse=True)
        orders = sum(statistics.arrangements(groups, blocks).values())
        return {
            "exchanged": "whole structures" if self.groups is None else "atoms of one structure within each group",
            "num_blocks": pairs.shape[1],
            "num_movable_blocks": len(np.unique(place.reshape(-1)[movable])),
            "num_atoms": len(blocks),
            "num_movable_atoms": int(movable.sum()),
            "can_be_tested": bool(orders >= -np.log(SIGNIFICANT)),
        }


@partial(jax.jit, static_argnames="number")
def _orders(key: Array, first: int | Array, groups: Array, blocks: Array, *, number: int) -> Array:
    return statistics.permutations(
        key, n=blocks.shape[0], groups=groups, blocks=blocks, num_permutations=number, first=first
    )


def _sign(name: str) -> int:
    return 1 if properties(name).larger_is_more_similar else -1


def p_value_of(name: str, value: np.ndarray, null: np.ndarray, *, possible: bool) -> np.ndarray:
    """(p,) fraction of draws, (d, p), at least as similar as the value, itself counted in; NaN where undefined."""
    closeness = _sign(name) * (null - value)
    extreme = (closeness >= -DRAW_RESOLUTION * np.abs(value)).sum(axis=0)
    defined = np.isfinite(closeness).all(axis=0) & possible
    return np.where(defined, (1 + extreme) / (1 + len(null)), np.nan)


# Compiled once for all who draw a null.
movable_rows = jax.jit(statistics.movable_rows, static_argnums=0)
permuted_pairs = jax.jit(_pairs.permuted_pairs, static_argnames=("pairs", "measures"))
