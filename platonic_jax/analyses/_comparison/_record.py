"""Results of a comparison."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from platonic_jax.analyses._result import Result


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix:
    """One measure over all pairs of models; every array is (m, m), in the order of the models.

    Entry (i, j) is the measure of model i and model j, in that order where the measure is not symmetric. What was not
    drawn is NaN, or None. Three nulls, by the ending of their names: none, whole structures are exchanged;
    `within_element`, the atoms of an element in one structure with equally many in another; `within_coordination`, the
    same within each element and number of neighbours. Effects are in units of the measure: value − mean of the null.

    Attributes:
        value: the measure itself.
        low: lower end of the 95 % interval: over structures, and over anchors where they were drawn.
        high: upper end of the interval.
        error_structures: standard error over structures, the anchors being as they are.
        error_anchors: standard deviation over draws of the anchors; NaN where they were not drawn.
        null: mean of the measure when structures are exchanged.
        p: p-value of that null; NaN where too few structures can be exchanged.
        effect: value − `null`.
        effect_low: lower end of its 95 % interval.
        effect_high: upper end of its 95 % interval.
        null_within_element: mean of the measure when atoms are exchanged within each element.
        p_within_element: p-value of agreement beyond the element, from tests of every element, combined whatever
            their dependence; NaN where it cannot be tested.
        effect_within_element: value − `null_within_element`.
        effect_low_within_element: lower end of its 95 % interval.
        effect_high_within_element: upper end of its 95 % interval.
        settings: parameters of the measure, its direction and range, numbers of draws and of rows; in `exchange`, for
            each null how many blocks and atoms can move and whether that is enough for a test.
        null_within_coordination: as `null_within_element`.
        p_within_coordination: as `p_within_element`.
        effect_within_coordination: as `effect_within_element`.
        effect_low_within_coordination: as `effect_low_within_element`.
        effect_high_within_coordination: as `effect_high_within_element`.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error_structures: np.ndarray
    error_anchors: np.ndarray
    null: np.ndarray
    p: np.ndarray
    effect: np.ndarray
    effect_low: np.ndarray
    effect_high: np.ndarray
    null_within_element: np.ndarray
    p_within_element: np.ndarray
    effect_within_element: np.ndarray
    effect_low_within_element: np.ndarray
    effect_high_within_element: np.ndarray
    settings: Mapping[str, Any]
    null_within_coordination: np.ndarray | None = None
    p_within_coordination: np.ndarray | None = None
    effect_within_coordination: np.ndarray | None = None
    effect_low_within_coordination: np.ndarray | None = None
    effect_high_within_coordination: np.ndarray | None = None

    @property
    def nulls(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The nulls that were drawn, by the names that people read: means, effects and p-values."""
        drawn = {
            "structures exchanged": (self.null, self.effect, self.p),
            "exchanged within element": (self.null_within_element, self.effect_within_element, self.p_within_element),
        }
        null, effect, p = self.null_within_coordination, self.effect_within_coordination, self.p_within_coordination
        if null is not None and effect is not None and p is not None:
            drawn["and coordination"] = (null, effect, p)
        return drawn


@dataclasses.dataclass(frozen=True, eq=False)
class Resolved:
    """Every pair of models within each of g groups of atoms: clouds of the group's rows alone.

    Neighbours are sought within the group, and columns centred there. Groups differ in size, and so does what chance
    gives in them: read each value beside its null.

    Attributes:
        labels: g names, of the group with most atoms first.
        num_atoms: (g,) atoms of each.
        num_structures: (g,) structures that these belong to.
        measures: name → `value`, `low`, `high` (95 % interval over structures) and `null_within_element` (mean over
            permutations of the group's rows within each element), each (g, m, m).
        left_out: number of atoms of each group too small to say anything.
        settings: the least number of atoms and of structures of a group, the number of permutations.
    """

    labels: list[str]
    num_atoms: np.ndarray
    num_structures: np.ndarray
    measures: Mapping[str, Mapping[str, np.ndarray]]
    left_out: Mapping[str, int]
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison(Result):
    """Similarity of models on the same atoms, in the shared space of the same anchors.

    Attributes:
        models: m display names.
        kinds: for each, `model`, `random` (re-drawn weights) or `element` (the baseline without a model).
        anchors: `method`, `k`, the `similarity`, the model in whose space they were chosen, and for each anchor its
            `row`, `structure` and `atom`.
        measures: name → `Matrix`.
        maps: for each model the first two principal components, (r, 2), of its `raw` rows and of its rows in the
            `shared` space, and the shares of variance they explain, (2,).
        rows: (r,) the rows that stand in the maps.
        neighbours: for each model, (r, 5) rows nearest in the shared space.
        overlaps: (m, m, r) the share of each atom's nearest neighbours in the shared space that two models have in
            common: `mutual_knn` before it is averaged; 1 for a model and itself.
        species: (n,) atomic numbers.
        structure_index: (n,) structure of each row.
        atom_index: (n,) place of each atom in its structure.
        structures: the structures, or None where the tables brought none.
        provenance: stores, versions, seed, what was left out.
        resolved: `element`, `family` or `labels`, where asked for → `Resolved`.
    """

    UNSAVED: ClassVar[Mapping[str, Any]] = dict.fromkeys(
        ("maps", "rows", "neighbours", "overlaps", "species", "structure_index", "atom_index", "structures")
    )

    models: list[str]
    kinds: list[str]
    anchors: Mapping[str, Any]
    measures: Mapping[str, Matrix]
    maps: Sequence[Mapping[str, np.ndarray]]
    rows: np.ndarray
    neighbours: Sequence[np.ndarray]
    overlaps: np.ndarray
    species: np.ndarray
    structure_index: np.ndarray
    atom_index: np.ndarray
    structures: Any
    provenance: Mapping[str, Any]
    resolved: Mapping[str, Resolved] = dataclasses.field(default_factory=dict)

    @property
    def agreement(self) -> np.ndarray:
        """(r,) `overlaps`, mean over the pairs of trained models; NaN where there are none."""
        trained = [i for i, kind in enumerate(self.kinds) if kind == "model"]
        pairs = list(itertools.combinations(trained, 2))
        if not pairs:
            return np.full(len(self.rows), np.nan, np.float32)
        return np.mean([self.overlaps[i, j] for i, j in pairs], axis=0)

    def to_frame(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each measure and pair of models."""
        import pandas as pd

        rows = []
        for name, matrix in self.measures.items():
            symmetric = np.array_equal(matrix.value, matrix.value.T, equal_nan=True)
            columns = {key: array for key, array in vars(matrix).items() if isinstance(array, np.ndarray)}
            for i, j in (itertools.combinations if symmetric else itertools.permutations)(range(len(self.models)), 2):
                row = {"measure": name, "model": self.models[i], "other": self.models[j]}
                rows.append(row | {key: float(array[i, j]) for key, array in columns.items()})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.models)}: {', '.join(self.measures)} of {len(self.species)} atoms)"
