"""Result of typicality: outlier scores of query sets."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from platonic_jax.analyses._result import Estimate, Result, write_json

ALL = "all models"
"""Key of the combination of all models in `QuerySet.against`."""
NONE = "none of them"
"""Entry of `QuerySet.regime` for a structure that is atypical of every reference."""
UNKNOWN = "no reference"
"""Entry of `QuerySet.regime` for a structure without scored atoms."""
_DIGITS = 5
_OF_ATOMS = ("atom_score", "atom_p_value", "species", "structure_index", "atom_index")


@dataclasses.dataclass(frozen=True, eq=False)
class Against:
    """Outlier scores of a set of s structures with n atoms, by one reference and one model.

    Attributes:
        atom_score: (n,) how far each atom lies from its element in the reference, in standard deviations of log
            scores above the median of the reference itself; NaN without a reference.
        atom_p_value: (n,) share of calibration atoms of the element that lie as far; NaN without a reference.
        score: (s,) of structures, from those of their atoms; NaN where no atom has a reference.
        p_value: (s,) share of calibration structures that lie as far.
        num_scored: Structures that have a p-value.
        num_atypical: Those whose p-value is at most the level.
        atypical: Their share, with Wilson's interval.
        auroc: Probability that a structure lies farther than a held-out one of the reference; ½ is no difference. None
            for the held-out structures themselves.
    """

    atom_score: np.ndarray
    atom_p_value: np.ndarray
    score: np.ndarray
    p_value: np.ndarray
    num_scored: int
    num_atypical: int
    atypical: Estimate
    auroc: Estimate | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class QuerySet:
    """Outlier scores of a set of structures, by every reference and model.

    Attributes:
        ids: the s structures.
        species: (n,) elements of their atoms.
        structure_index: (n,) the structure of each atom.
        atom_index: (n,) its place there.
        against: by reference, by model, and by all models together where there are several.
        regime: (s,) the reference that each structure is most typical of, by p-value; `none of them` where all are at
            most the level, which happens to a structure of one of them no more often than the level says; `no
            reference` where it has no atom that could be scored.
        without_reference: by reference, the symbols of elements that it has too few atoms of, and how many atoms that
            leaves unscored.
        unscored: by reference, the structures that have no p-value, because it has too few atoms of each of their
            elements: `num`, and by symbol how many of them hold each of these `elements`.
        known: by reference, how many of the structures it holds itself; they are typical by being there.
    """

    ids: Sequence[str]
    species: np.ndarray
    structure_index: np.ndarray
    atom_index: np.ndarray
    against: Mapping[str, Mapping[str, Against]]
    regime: Sequence[str]
    without_reference: Mapping[str, Mapping[str, int]]
    unscored: Mapping[str, Mapping[str, Any]]
    known: Mapping[str, int]

    def farthest(self, reference: str, model: str) -> tuple[str, int] | None:
        """The structure that lies farthest from a reference, and the place of its farthest atom."""
        against = self.against[reference][model]
        if not np.isfinite(against.score).any():
            return None
        structure = int(np.nanargmax(against.score))
        own = np.flatnonzero(self.structure_index == structure)
        row = own[np.nanargmax(against.atom_score[own])]
        return self.ids[structure], int(self.atom_index[row])


@dataclasses.dataclass(frozen=True, eq=False)
class Typicality(Result):
    """Outlier scores of query sets relative to reference sets.

    Attributes:
        models: their names.
        references: names of the references.
        queries: by name, the query sets.
        held_out: by reference, its held-out structures, against it.
        uniform: by reference, by model, whether p-values of held-out structures are what they should be: `p_value` of
            the two-sample Kolmogorov–Smirnov test of held-out against calibration scores, and `atoms`, the share of
            held-out atoms with a p-value of at most the level, an element of a structure counting once.
        settings: how it was made.
        provenance: of the tables.
    """

    models: list[str]
    references: list[str]
    queries: Mapping[str, QuerySet]
    held_out: Mapping[str, QuerySet]
    uniform: Mapping[str, Mapping[str, Mapping[str, float]]]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def combined(self) -> str:
        """Name of the model used for the verdict; the ensemble if there is more than one."""
        return self.models[0] if len(self.models) == 1 else ALL

    def ranked(self, reference: str) -> list[str]:
        """Names of the query sets, those farthest from a reference first."""
        estimates = {name: query.against[reference][self.combined].auroc for name, query in self.queries.items()}
        auroc = {name: np.nan if estimate is None else estimate.value for name, estimate in estimates.items()}
        return sorted(auroc, key=lambda name: -np.nan_to_num(auroc[name], nan=-1.0))

    def to_json(self, *, atoms: bool = True) -> dict[str, Any]:
        """Return everything and the verdict as plain lists and numbers; undefined values are null.

        Args:
            atoms: whether to include the figures of atoms.
        """
        fields = _rounded(super().to_json())
        if not atoms:
            for query in (*fields["queries"].values(), *fields["held_out"].values()):
                for entry in (
                    query,
                    *(against for by_model in query["against"].values() for against in by_model.values()),
                ):
                    for name in _OF_ATOMS:
                        entry.pop(name, None)
        return fields

    def save(self, path: str | Path, *, atoms: bool = True) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(self.to_json(atoms=atoms), path)


def _rounded(value: Any) -> Any:
    """Numbers with as many digits as single precision has any use for."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
