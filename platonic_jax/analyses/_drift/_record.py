"""Result of a drift analysis."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from platonic_jax.analyses._result import Estimate, Result

LEVEL = 0.05
MARGIN = 2.0  # By which a displacement exceeds the floors: the noise of anchors is one draw that all atoms share.
MEASURED = "embedding again"


@dataclasses.dataclass(frozen=True, eq=False)
class AtomDrift:
    """Displacement of a group of atoms.

    Attributes:
        num_atoms: Number of atoms.
        num_structures: Number of structures that hold them.
        displacement: Mean displacement, in median distances between distinct environments.
        procrustes: Procrustes similarity of before and after.
        mutual_knn: Share of nearest neighbours that are kept.
        floors: By measure, by kind of numerical noise, what noise alone gives.
        beyond: Whether the interval of the displacement lies above twice every floor.
        over_runs: Mean displacement over runs of training, with an interval over runs and structures.
        seen: Whether the fine-tuning set holds the element; None where that is not known, and for several elements.
    """

    num_atoms: int
    num_structures: int
    displacement: Estimate
    procrustes: Estimate
    mutual_knn: Estimate
    floors: Mapping[str, Mapping[str, float]]
    beyond: bool
    over_runs: Estimate | None = None
    seen: bool | None = None

    @property
    def floor(self) -> float:
        """Largest displacement by numerical noise alone."""
        return max(self.floors["displacement"].values())


@dataclasses.dataclass(frozen=True, eq=False)
class EnergyChange:
    """Change of energies by element.

    Attributes:
        elements: By symbol, the mean in eV/atom over structures that hold the element.
        rank_correlation: Rank correlation with the displacement of elements; None for fewer than four.
    """

    elements: Mapping[str, float]
    rank_correlation: Estimate | None


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
    """Several runs of the same training.

    Attributes:
        num: Number of runs.
        spread: Mean displacement between two of them.
        p: p-value of the earlier model lying farther from the runs than the runs from each other; None where there are
            too few runs to reach 5 %.
        p_of_this_run: The same of the later model among the runs.
        least_p: Smallest p-value that so many runs could give.
    """

    num: int
    spread: float
    p: float | None
    p_of_this_run: float | None
    least_p: float


@dataclasses.dataclass(frozen=True, eq=False)
class Drift(Result):
    """Displacement of a model's embeddings by training, overall and by element.

    Displacements are in units of the typical distance between neighbouring environments before: at 1, an atom has
    moved as far as these lie apart.

    Attributes:
        before: name of the earlier model.
        after: name of the later model.
        overall: all atoms.
        unseen: the atoms whose elements are not in the fine-tuning set; None where that is not known.
        elements: by symbol, the one displaced most first.
        structures: for every structure its `structure` and `displacement`, the mean over its atoms.
        atoms: for every atom `structure`, `atom`, `element` and `displacement`.
        energy: empty where a table brings no energies, or `change`, |E' − E|, and where there are labels
            `error_change`, |E' − E₀| − |E − E₀|.
        unit: the distance that displacements are divided by, in units of the similarity.
        floors: by name, the relative `noise` of the embeddings (None where it was measured), and `num` draws.
        runs: runs of training; None where it was not repeated.
        settings: how it was made; `checked` says what of the two models was found to agree.
        provenance: of the tables.
    """

    before: str
    after: str
    overall: AtomDrift
    unseen: AtomDrift | None
    elements: Mapping[str, AtomDrift]
    structures: Mapping[str, np.ndarray]
    atoms: Mapping[str, np.ndarray]
    energy: Mapping[str, EnergyChange]
    unit: float
    floors: Mapping[str, Mapping[str, Any]]
    runs: Runs | None
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def moved(self) -> list[str]:
        """Elements displaced beyond numerical noise, those displaced most first.

        An element in fewer than five structures has no interval, and is not among them however far it moved.
        """
        return [symbol for symbol, entry in self.elements.items() if entry.beyond]
