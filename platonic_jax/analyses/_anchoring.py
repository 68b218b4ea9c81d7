"""Anchors of an analysis: chosen by a method or given, with the weights and maps learned for them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import anchors as anchor_methods
from platonic_jax import projection
from platonic_jax._checks import check_choice, check_count
from platonic_jax.tables import EmbeddingTable

ANCHORS = ("random", "farthest_point", "kmeans", "direct")
"""How anchors may be chosen: `random`, `farthest_point`, `kmeans`, `direct`."""


DETERMINISTIC = frozenset({"direct"})
"""Those that do not depend on a key."""

# Compiled once for all who describe rows by anchors.
relative = jax.jit(projection.relative, static_argnames="similarity")


class Choice(NamedTuple):
    """Rows of the anchors, and the metrics and weights learned for them, if any.

    Attributes:
        method: what to call the choice.
        rows: (k,) int32, the rows they are.
        weights: (k,) what each column of similarities is multiplied by; as they are, if None.
        record: the atoms, where they were given so: they may bring a map for each model.
    """

    method: str
    rows: np.ndarray
    weights: Array | None = None
    record: Any = None

    def mapped(self, table: EmbeddingTable) -> np.ndarray:
        """(n, r) the rows whose similarities are taken: the table's own, but for what was learned for its model."""
        if self.record is None or table.kind == "element":
            return table.x
        return self.record.mapped(table.x, model=table.model, layer=table.layer)


def choose_anchors(
    anchors: Any, table: EmbeddingTable, *, k: int, key: Array, pool: np.ndarray | None = None
) -> Choice:
    """Choose anchors by a method's name, or take those that are given, as rows or as a record that finds them.

    Args:
        anchors: a name from `ANCHORS`; (k,) different rows; or `anchors.Anchors`, whose weights
            and metrics are used.
        table: the model in whose space a method chooses.
        k: the number of anchors, where a method chooses.
        key: typed key.
        pool: rows among which a method chooses, with repeats in a resample; all when absent.
    """
    if isinstance(anchors, str):
        check_choice("anchors", anchors, ANCHORS)
        x = table.x if pool is None else table.x[pool]
        settings = {} if anchors in DETERMINISTIC else {"key": key}
        rows = np.asarray(getattr(anchor_methods, anchors)(x, k, **settings))
        return Choice(anchors, rows if pool is None else pool[rows].astype(np.int32))
    if hasattr(anchors, "rows"):
        if table.structures is None:
            raise ValueError("`anchors` must be rows where tables bring no structures, got atoms of structures.")
        rows = np.asarray(anchors.rows(table.structures, table.structure_index), np.int32)
        weights = None if anchors.weights is None else jnp.asarray(anchors.weights)
        return Choice("given atoms", rows, weights, anchors)
    rows = np.asarray(anchors)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(np.unique(rows)) < len(rows) or not len(rows):
        raise ValueError(f"`anchors` must be different whole numbers of rows, got {rows.dtype} of shape {rows.shape}.")
    if rows.min() < 0 or rows.max() >= len(table.x):
        raise ValueError(f"`anchors` must be rows from 0 to {len(table.x) - 1}, got {rows.min()} to {rows.max()}.")
    return Choice("given rows", rows.astype(np.int32))


def whole_structures(structure_index: np.ndarray, limit: int, *, key: Array) -> np.ndarray:
    """Rows of whole structures, drawn at random until the next one would pass the limit; all rows if they fit."""
    check_count("limit", limit)
    if len(structure_index) <= limit:
        return np.arange(len(structure_index), dtype=np.int32)
    structures, sizes = np.unique(structure_index, return_counts=True)
    order = np.asarray(jax.random.permutation(key, len(structures)))
    taken = order[np.cumsum(sizes[order]) <= limit]
    if taken.size == 0:
        raise ValueError(
            f"the number of rows must allow one whole structure, got {limit} rows for one of {sizes[order[0]]} atoms."
        )
    return np.flatnonzero(np.isin(structure_index, structures[taken])).astype(np.int32)


def display_names(tables: Sequence[EmbeddingTable]) -> list[str]:
    """The models' names; where one model stands twice, its layer and, if need be, its place tell them apart."""
    names = [table.model for table in tables]
    if len(set(names)) < len(names):
        names = [
            f"{name} {table.layer}" if names.count(name) > 1 else name
            for name, table in zip(names, tables, strict=True)
        ]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]
