"""Services of every analysis: argument checks, named random streams, progress and provenance."""

import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import jax
from jaxtyping import Array

from platonic_jax.tables import EmbeddingTable


def check_among(name: str, chosen: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> None:
    """Refuse names that are not known, naming those that are."""
    unknown = [entry for entry in chosen if entry not in known]
    if unknown:
        raise ValueError(f"`{name}` must be among {', '.join(known)}, got {unknown[0]!r}.")


def provenance(
    tables: Sequence[EmbeddingTable], paired: Sequence[EmbeddingTable], names: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Describe the inputs, versions and settings of a result."""
    first = paired[0]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "num_atoms": len(first.x),
        "num_structures": first.num_structures,
        "left_out": {entry["id"]: entry["reason"] for table in tables for entry in table.skipped},
        "device": jax.devices()[0].device_kind,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {
            name: version(name) for name in ("platonic-jax", "platonic-adapters", "jax", "jaxlib", "ott-jax", "numpy")
        },
        "stores": {name: dict(table.provenance) for name, table in zip(names, paired, strict=True)},
    }


class Steps:
    """Tells the caller what begins, and how far the whole is."""

    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def begin(self, what: str) -> None:
        """One more step, of which the caller is told the name."""
        if self.progress:
            self.progress(what, self.done, self.total)
        self.done += 1


def streams(seed: int, *names: str) -> dict[str, Array]:
    """Return a typed key for each name, so that adding a draw to one leaves the others as they are.

    A new name goes to the end: each key depends on the place of its name.
    """
    return {name: jax.random.fold_in(jax.random.key(seed), i) for i, name in enumerate(names)}
