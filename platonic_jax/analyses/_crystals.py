"""Crystals as vectors, in the shared space of anchors or in each model's own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import arithmetic as vectors
from platonic_jax._checks import check_choice
from platonic_jax.analyses._anchoring import Choice, choose_anchors, relative
from platonic_jax.tables import EmbeddingTable

SPACES = ("shared", "own")


class CrystalSpace(NamedTuple):
    """Coordinate system of the vectors: shared space, or each model's own.

    Attributes:
        choice: the anchors, None where each model's own rows are taken.
        similarity: of rows to anchors.
    """

    choice: Choice | None
    similarity: str

    def rows(self, table: EmbeddingTable, *, other: EmbeddingTable | None = None) -> np.ndarray:
        """(n, w) coordinates of a table, or of `other`, of the same model, on the scales of the table."""
        other = table if other is None else other
        if self.choice is None:
            return other.x
        known = self.choice.mapped(table)
        return np.asarray(
            relative(
                jnp.asarray(self.choice.mapped(other)),
                jnp.asarray(known[self.choice.rows]),
                similarity=self.similarity,
                weights=self.choice.weights,
                reference=jnp.asarray(known),
            )
        )

    def described(self) -> dict[str, Any]:
        """Describe the space in plain values."""
        if self.choice is None:
            return {"space": "each model's own rows"}
        return {
            "space": "shared",
            "anchors": self.choice.method,
            "k": len(self.choice.rows),
            "similarity": self.similarity,
        }


def space_of(
    space: str, tables: Sequence[EmbeddingTable], *, anchors: Any, k: int, similarity: str, key: Array
) -> CrystalSpace:
    """Return the requested space, of models on the same atoms."""
    check_choice("space", space, SPACES)
    choice = choose_anchors(anchors, tables[0], k=min(k, len(tables[0].x)), key=key) if space == "shared" else None
    return CrystalSpace(choice, similarity)


pooled = jax.jit(vectors.pool, static_argnames=("how", "num_structures", "elements"))


def crystals_of(rows: np.ndarray, table: EmbeddingTable, *, how: str = "mean") -> np.ndarray:
    """(s, w) one vector for each structure that has atoms, in their order."""
    index = np.unique(table.structure_index, return_inverse=True)[1]
    return np.asarray(
        pooled(jnp.asarray(rows), jnp.asarray(index, jnp.int32), how=how, num_structures=int(index[-1]) + 1)
    )


def element_means(rows: np.ndarray, species: np.ndarray) -> np.ndarray:
    """(n, w) every row replaced by the mean of its element's."""
    elements, place, number = np.unique(species, return_inverse=True, return_counts=True)
    total = np.zeros((len(elements), rows.shape[1]))
    np.add.at(total, place, rows)
    return (total / number[:, None])[place].astype(rows.dtype)
