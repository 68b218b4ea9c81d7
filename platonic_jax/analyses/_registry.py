"""The list of all analyses."""

import importlib
from typing import Any, NamedTuple


class Analysis(NamedTuple):
    """Names of one analysis; its modules are imported when they are asked for.

    Attributes:
        command: What it is called on the command line and in study files.
        module: Its module in `analyses`, `report.presenters` and `cli`, without the underscore.
        function: Function of `analyses` that computes it.
        result: Class of its result.
    """

    command: str
    module: str
    function: str
    result: str

    @property
    def run(self) -> Any:
        """The function that computes it."""
        return getattr(importlib.import_module(f"platonic_jax.analyses._{self.module}"), self.function)

    @property
    def record(self) -> type:
        """The class of its result."""
        return getattr(importlib.import_module(f"platonic_jax.analyses._{self.module}"), self.result)

    @property
    def presenter(self) -> Any:
        """The module with its words, tables and charts."""
        return importlib.import_module(f"platonic_jax.report.presenters.{self.module}")

    @property
    def arguments(self) -> Any:
        """The module with its arguments on the command line."""
        return importlib.import_module(f"platonic_jax.cli._{self.module}")


ANALYSES = (
    Analysis("compare", "comparison", "compare", "Comparison"),
    Analysis("decompose", "decomposition", "decomposition", "Decomposition"),
    Analysis("atlas", "atlas", "atlas", "Atlas"),
    Analysis("sweep", "sweep", "sweep", "Sweep"),
    Analysis("learn", "training", "train", "Training"),
    Analysis("symmetry", "symmetry", "symmetry", "Symmetry"),
    Analysis("phonons", "phonons", "phonons", "Phonons"),
    Analysis("typicality", "typicality", "typicality", "Typicality"),
    Analysis("rank-errors", "error_ranking", "error_ranking", "ErrorRanking"),
    Analysis("drift", "drift", "drift", "Drift"),
    Analysis("arithmetic expression", "expression", "expression", "Expression"),
    Analysis("arithmetic analogies", "analogies", "analogies", "Analogies"),
    Analysis("arithmetic polymorphs", "polymorphs", "polymorphs", "Polymorphs"),
    Analysis("arithmetic reactions", "reactions", "reactions", "Reactions"),
    Analysis("stitch", "readout_transfer", "readout_transfer", "ReadoutTransfer"),
    Analysis("consensus", "consensus", "consensus", "Consensus"),
)
"""Every analysis; a new one needs its line here."""
