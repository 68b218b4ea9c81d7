"""Displacement by training: the record of a study, and its verdict."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from platonic_jax.analyses._intervals import percent
from platonic_jax.analyses._result import Result

LEVEL = 0.05
MARGIN = 2.0  # By which a displacement exceeds the floors: the noise of anchors is one draw that all atoms share.
MEASURED = "embedding again"
_UNIT = "of the median distance between distinct environments"


@dataclasses.dataclass(frozen=True, eq=False)
class Drift(Result):
    """Displacement of a model's embeddings by training, overall and by element.

    Displacements are in units of the typical distance between neighbouring environments before: at 1, an atom has
    moved as far as these lie apart.

    Attributes:
        before: name of the earlier model.
        after: name of the later model.
        overall: of all atoms: `num_atoms`, `num_structures`; `displacement`, `procrustes` and `mutual_knn`, each with
            `value`, `low`, `high` (95 % CI) and `floors`, by name what numerical noise alone gives; `beyond`, whether
            the interval of the displacement lies above twice every floor; and, where the training was repeated,
            `over_runs`, the mean displacement over runs with its 95 % CI over runs and structures.
        unseen: the same of the atoms whose elements were never in the fine-tuning set; empty where that is not known.
        elements: the same by element, the one displaced most first; `seen` says whether the fine-tuning set holds the
            element (None where that is not known).
        structures: for every structure its `structure` and `displacement`, the mean over its atoms.
        atoms: for every atom `structure`, `atom`, `element` and `displacement`.
        energy: empty where a table brings no energies, or `change`, and where there are labels `error_change`: by
            `elements` the mean in eV/atom, over structures that hold the element, of |E' − E| and |E' − E₀| − |E − E₀|;
            and `rank_correlation` of these with the displacement of elements: `value`, `low`, `high`, empty for fewer
            than four elements.
        unit: the distance that displacements are divided by, in units of the similarity.
        floors: by name, the relative `noise` of the embeddings (None where it was measured), and `num` draws.
        runs: of training, empty where it was not repeated: `num`; `spread`, the mean displacement between two of them;
            `p_value` of the earlier model lying farther from the runs than they from each other, and
            `p_value_of_this_run` of the later model doing so among the runs, None where there are too few runs to reach
            5 %; and `least_p_value`, the smallest that so many runs could give.
        settings: how it was made; `checked` says what of the two models was found to agree.
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
    floors: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Any]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def moved(self) -> list[str]:
        """Elements displaced beyond numerical noise, those displaced most first.

        An element in fewer than five structures has no interval, and is not among them however far it moved.
        """
        return [symbol for symbol, entry in self.elements.items() if entry["beyond"]]

    @property
    def verdict(self) -> str:
        """Summary in a few sentences."""
        return " ".join([*self._displacement(), *self._runs(), *self._elements(), *self._energies()])

    def _displacement(self) -> Iterator[str]:
        entry = self.overall["displacement"]
        floors = ", ".join(f"{name} {_number(value)}" for name, value in entry["floors"].items())
        yield (
            f"From {self.before} to {self.after} atoms are displaced by {_figure(entry)} {_UNIT}; numerical noise "
            f"alone displaces them by {floors}."
        )
        if not np.isfinite(entry["low"]):
            yield f"There are too few structures ({self.overall['num_structures']}) for an interval."
        elif not self.overall["beyond"]:
            yield f"The displacement does not exceed numerical noise (by a factor of {MARGIN:g})."
        else:
            neighbours = self.overall["mutual_knn"]
            least = min(neighbours["floors"].values())
            yield (
                f"This is more than {MARGIN:g} times the numerical noise. {percent(neighbours)} of nearest "
                f"neighbours are kept; numerical noise alone keeps at least {100 * least:.0f} %."
            )

    def _runs(self) -> Iterator[str]:
        untested = "Displacement by training cannot be tested against displacement by the random seed"
        if not self.runs:
            yield f"{untested} without repeated training runs."
            return
        num, over = self.runs["num"], self.overall["over_runs"]
        yield (
            f"Over {num} runs of training the displacement is {_figure(over)} on average; two runs differ by "
            f"{_number(self.runs['spread'])}."
        )
        if self.runs["p_value"] is None:
            yield (
                f"{untested} with {num} runs, whose smallest possible p is {self.runs['least_p_value']:.2f}: a "
                f"test needs {round(1 / LEVEL) - 1} runs."
            )
        else:
            p_value = self.runs["p_value"]
            does = "is" if p_value <= LEVEL else "is not significantly"
            yield f"{self.before} {does} farther from the runs than the runs are from each other (p = {p_value:.2g})."

    def _elements(self) -> Iterator[str]:
        unseen = [symbol for symbol, entry in self.elements.items() if entry["seen"] is False]
        if not self.overall["beyond"] and not self.moved:
            return
        unbounded = [symbol for symbol in unseen or self.elements if not self._bounded(symbol)]
        few = f"; {len(unbounded)} are in too few structures for an interval" if unbounded else ""
        if not unseen:
            yield f"{len(self.moved)} of {len(self.elements)} elements are displaced beyond numerical noise{few}."
            return
        moved = [symbol for symbol in self.moved if symbol in unseen]
        first = ", ".join(f"{symbol} {_number(self.elements[symbol]['displacement']['value'])}" for symbol in moved[:5])
        yield (
            f"{len(moved)} of {len(unseen)} elements outside the fine-tuning set are displaced beyond numerical noise"
            f"{f' (largest: {first})' if moved else ''}{few}."
        )

    def _bounded(self, symbol: str) -> bool:
        return bool(np.isfinite(self.elements[symbol]["displacement"]["low"]))

    def _energies(self) -> Iterator[str]:
        for name, entry in self.energy.items():
            if entry["rank_correlation"]:
                what = "energy" if name == "change" else "energy error"
                yield (
                    f"The rank correlation of displacement and change of {what} over elements is "
                    f"{_figure(entry['rank_correlation'])}."
                )


def _figure(entry: Mapping[str, float]) -> str:
    if not np.isfinite(entry["low"]):
        return f"{_number(entry['value'])} (no interval)"
    return f"{_number(entry['value'])} (95 % CI {_number(entry['low'])} to {_number(entry['high'])})"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
