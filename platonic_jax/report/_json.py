"""Results as JSON, apart from their pages and figures, which take long to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platonic_jax.analyses import write_json


def to_json(result: Any) -> Any:
    """Return a result as plain lists and numbers; of symmetry, a list of them."""
    return [entry.to_json() for entry in result] if isinstance(result, Sequence) else result.to_json()


def save(result: Any, path: str | Path) -> None:
    """Write a result as JSON, whole or not at all; of symmetry, a list."""
    write_json(to_json(result), path)
