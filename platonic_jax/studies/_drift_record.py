"""How far a model has moved: the record of a study, and its verdict."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from platonic_jax.compare._record import Record

LEVEL = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class Drift(Record):
    """How far a model has moved, and which elements with it.

    Displacements are in units of the typical distance between neighbouring environments before: at 1, an atom has
    moved as far as these lie apart.

    Attributes:
        before: name of the earlier model.
        after: name of the later model.
        overall: of all atoms: `num_atoms`, `num_structures`; `displacement`, `procrustes` and `mutual_knn`, each with
            `value`, `low`, `high` (interval over structures) and `null`, the mean of what noise alone gives; and
            `p_value`, of noise times the margin displacing structures as far.
        unseen: the same of the atoms whose elements were never in the fine-tuning set; empty where that is not known.
        elements: the same by element, the one displaced most first; `p_value` is corrected for their number, and `seen`
            says whether the fine-tuning set holds the element (None where that is not known).
        structures: for every structure its `structure`, `displacement` and `null`, means over its atoms.
        atoms: for every atom `structure`, `atom`, `element`, `displacement` and `null`.
        energy: empty where a table brings no energies, or `change`, and where there are labels `error_change`: by
            `elements` the mean in eV/atom, over structures that hold the element, of |E' − E| and |E' − E₀| − |E − E₀|;
            and `rank_correlation` of these with the displacement of elements: `value`, `low`, `high`, `p_value`, empty
            for fewer than four elements.
        unit: the distance that displacements are divided by, in units of the similarity.
        null: what noise was: `kind` and `num`.
        settings: how it was made.
        provenance: of the tables.
    """

    before: str
    after: str
    overall: Mapping[str, Any]
    unseen: Mapping[str, Any]
    elements: Mapping[str, Mapping[str, Any]]
    structures: Mapping[str, np.ndarray]
    atoms: Mapping[str, np.ndarray]
    energy: Mapping[str, Mapping[str, Any]]
    unit: float
    null: Mapping[str, Any]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def moved(self) -> list[str]:
        """Elements displaced farther than by noise for certain, those displaced most first.

        An element in few structures cannot be certain, however far it moved.
        """
        return [symbol for symbol, entry in self.elements.items() if entry["p_value"] < LEVEL]

    @property
    def verdict(self) -> str:
        """What to make of it, in a few sentences."""
        return " ".join(self._told())

    def _told(self) -> Iterator[str]:
        found, noise = self.overall, self.null["kind"]
        distance = (
            f"{_figure(found['displacement'])} of the distance between neighbouring environments, where {noise} gives "
            f"{_number(found['displacement']['null'])} (more than {self.settings['margin']:g} times that: "
            f"p = {found['p_value']:.2g})"
        )
        if found["p_value"] >= LEVEL and not self.moved:
            yield f"{self.after} has not drifted from {self.before} beyond {noise}: atoms are displaced by {distance}."
            return
        yield (
            f"{self.after} has drifted from {self.before}: atoms are displaced by {distance}; "
            f"{_percent(found['mutual_knn'])} of the neighbours of an atom are still its neighbours."
        )
        unseen = [symbol for symbol, entry in self.elements.items() if entry["seen"] is False]
        if unseen:
            moved = [symbol for symbol in self.moved if symbol in unseen]
            first = ", ".join(
                f"{symbol} {_number(self.elements[symbol]['displacement']['value'])}" for symbol in moved[:5]
            )
            yield (
                f"Of {len(unseen)} elements that were not fine-tuned on, {len(moved)} certainly moved"
                f"{f', the farthest {first}' if moved else ''}."
            )
        else:
            yield f"Of {len(self.elements)} elements {len(self.moved)} certainly moved."
        for name, entry in self.energy.items():
            if entry["rank_correlation"]:
                what, ranked = "energy" if name == "change" else "energy error", entry["rank_correlation"]
                yield (
                    f"Ranked by drift, elements correlate with the change of {what} at {ranked['value']:.2f} "
                    f"({ranked['low']:.2f} to {ranked['high']:.2f})."
                )


def _figure(entry: Mapping[str, float]) -> str:
    return f"{_number(entry['value'])} ({_number(entry['low'])} to {_number(entry['high'])})"


def _percent(entry: Mapping[str, float]) -> str:
    return f"{100 * entry['value']:.0f} % ({100 * entry['low']:.0f} to {100 * entry['high']:.0f} %)"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.0e}"
