"""Compare the learned representations of interatomic potentials through their similarities to shared anchor atoms.

Importing this package loads nothing heavy: each module is imported when it is first named.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platonic_jax import (
        anchors,
        arithmetic,
        compare,
        diagnostics,
        groups,
        learn,
        metrics,
        numerics,
        plots,
        probes,
        projection,
        report,
        statistics,
        stitching,
        studies,
        sweep,
        tables,
        testing,
        training,
    )
    from platonic_jax.tables import EmbeddingTable, load

__version__ = version("platonic-jax")

_FROM_TABLES = ("EmbeddingTable", "load")

__all__ = [
    "EmbeddingTable",
    "anchors",
    "arithmetic",
    "compare",
    "diagnostics",
    "groups",
    "learn",
    "load",
    "metrics",
    "numerics",
    "plots",
    "probes",
    "projection",
    "report",
    "statistics",
    "stitching",
    "studies",
    "sweep",
    "tables",
    "testing",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in _FROM_TABLES:
        return getattr(importlib.import_module("platonic_jax.tables"), name)
    if name in __all__:
        return importlib.import_module(f"platonic_jax.{name}")
    raise AttributeError(f"module 'platonic_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
