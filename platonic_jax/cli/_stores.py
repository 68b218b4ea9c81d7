"""The stores that a command reads."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platonic_jax.tables import EmbeddingTable

_ROUNDING = 1e-6  # of the largest entry: float32 has no more digits


def load(path: str | Path, layer: str | None = None, *, limit: int | None = None) -> "EmbeddingTable":
    """Load a store whose atoms differ; what `tables.load` takes.

    Raises:
        ValueError: every atom has the same embedding.
    """
    from platonic_jax import tables

    table = tables.load(path, layer, limit=limit)
    check_variation(table)
    return table


def check_variation(table: "EmbeddingTable") -> None:
    """Check that the embeddings of a table differ.

    Raises:
        ValueError: every atom has the same embedding.
    """
    import numpy as np

    if np.ptp(table.x, axis=0).max() <= _ROUNDING * np.abs(table.x).max():
        zero = "zero" if not table.x.any() else "the same"
        raise ValueError(
            f"the result cannot be computed because layer `{table.layer}` of {table.model} is {zero} for all "
            f"{len(table.x):,} atoms: give another layer, more structures, or a model that tells atoms apart."
        )
