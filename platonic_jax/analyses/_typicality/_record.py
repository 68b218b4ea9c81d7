"""Result of typicality: outlier scores of query sets, and their verdict."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from platonic_jax.analyses._intervals import in_words, listed
from platonic_jax.analyses._result import Result, plain, write_json

ALL = "all models"
NONE, UNKNOWN = "none of them", "no reference"
UNIFORM = 0.01  # A p-value of held-out structures below this says that the calibration does not hold.
_DIGITS = 5
_NAMED = 5  # Elements that a verdict names.
_OF_ATOMS = ("atom_score", "atom_p_value", "species", "structure_index", "atom_index")


@dataclasses.dataclass(frozen=True, eq=False)
class Against:
    """A set of s structures with n atoms, against one reference, by one model.

    Attributes:
        atom_score: (n,) how far each atom lies from its element in the reference, in standard deviations of log
            scores above the median of the reference itself; NaN without a reference.
        atom_p_value: (n,) share of calibration atoms of the element that lie as far; NaN without a reference.
        score: (s,) of structures, from those of their atoms; NaN where no atom has a reference.
        p_value: (s,) share of calibration structures that lie as far.
        atypical: of the structures that have a p-value, `of`, those whose p-value is at most the level, `count`; and
            their share, `value`, `low`, `high` (Wilson's interval).
        auroc: probability that a structure lies farther than a held-out one of the reference: `value`, `low`, `high`
            (95 % interval over structures); ½ is no difference. Empty for the held-out structures themselves.
    """

    atom_score: np.ndarray
    atom_p_value: np.ndarray
    score: np.ndarray
    p_value: np.ndarray
    atypical: Mapping[str, Any]
    auroc: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """A set of structures, against every reference, by every model.

    Attributes:
        ids: the s structures.
        species: (n,) elements of their atoms.
        structure_index: (n,) the structure of each atom.
        atom_index: (n,) its place there.
        against: by reference, by model, and by all models together where there are several.
        regime: (s,) the reference that each structure is most typical of, by p-value; `none of them` where all are at
            most the level, which happens to a structure of one of them no more often than the level says; `no
            reference` where it has no atom that could be judged.
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

    def told_unscored(self, reference: str) -> str:
        """Describe how many structures have no p-value, and why; empty if all have one."""
        unscored = self.unscored[reference]
        if not unscored["num"]:
            return ""
        return f"; {unscored['num']} cannot be scored: no reference for {_most(unscored['elements'])}"

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
        queries: by name, the sets that were judged.
        held_out: by reference, its held-out structures, against it.
        uniform: by reference, by model, whether p-values of held-out structures are what they should be: `p_value` of
            the two-sample Kolmogorov–Smirnov test of held-out against calibration scores, and `atoms`, the share of
            held-out atoms with a p-value of at most the level, an element of a structure counting once.
        settings: how it was made.
        provenance: of the tables.
    """

    models: list[str]
    references: list[str]
    queries: Mapping[str, Judged]
    held_out: Mapping[str, Judged]
    uniform: Mapping[str, Mapping[str, Mapping[str, float]]]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def judge(self) -> str:
        """Name of the model used for the verdict; the ensemble if there is more than one."""
        return self.models[0] if len(self.models) == 1 else ALL

    def ranked(self, reference: str) -> list[str]:
        """Names of the query sets, those farthest from a reference first."""
        auroc = {name: query.against[reference][self.judge].auroc["value"] for name, query in self.queries.items()}
        return sorted(auroc, key=lambda name: -np.nan_to_num(auroc[name], nan=-1.0))

    @property
    def verdict(self) -> str:
        """Summary in a few sentences."""
        return " ".join([*self._calibration(), *self._sets()])

    def to_json(self, *, atoms: bool = True) -> dict[str, Any]:
        """Everything and the verdict, as plain lists and numbers; undefined values are null.

        Args:
            atoms: whether to tell it atom by atom, and not of structures alone.
        """
        fields = _rounded(plain({**vars(self), "verdict": self.verdict}))
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

    def _calibration(self) -> Iterator[str]:
        level = self.settings["level"]
        for name in self.references:
            held, uniform = self.held_out[name].against[name][self.judge], self.uniform[name][self.judge]
            text = (
                f"of {held.atypical['of']} held-out structures of {name}, {_percent(held.atypical)} are atypical at "
                f"{100 * level:g} % (KS p = {uniform['p_value']:.2g})"
            )
            if uniform["p_value"] < UNIFORM:
                yield f"The p-values are not calibrated: {text}. Do not use them."
            else:
                yield f"The p-values are calibrated: {text}."

    def _sets(self) -> Iterator[str]:
        first = self.references[0]
        for name in self.ranked(first):
            query = self.queries[name]
            against = query.against[first][self.judge]
            text = f"{name}: {self._told(against, first)}{query.told_unscored(first)}"
            if len(self.references) > 1:
                counts = {place: list(query.regime).count(place) for place in (*self.references, NONE)}
                text += "; most typical of " + ", ".join(f"{place} {number}" for place, number in counts.items())
            absent = query.without_reference[first]
            if absent:
                number = sum(absent.values())
                text += f"; no reference for {number} atom{'' if number == 1 else 's'} ({_most(absent)})"
            yield f"{text}."

    def _told(self, against: Against, reference: str) -> str:
        if not np.isfinite(against.score).any():
            return f"cannot be scored by {reference}; give a larger reference, with more atoms of its elements"
        if len(against.score) == 1:
            p_value, level = against.p_value[0], self.settings["level"]
            is_atypical = "atypical" if p_value <= level else "not atypical"
            return f"{is_atypical} of {reference} at {100 * level:g} %, p = {p_value:.2g}"
        share, level = against.atypical, 100 * self.settings["level"]
        return (
            f"{share['count']} of the {share['of']} structures that can be scored are atypical of {reference} at "
            f"{level:g} %, {_percent(share)}, AUROC {in_words(against.auroc, digits=2)}"
        )


def _percent(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.1f} % (95 % CI {100 * share['low']:.1f} to {100 * share['high']:.1f} %)"


def _most(count: Mapping[str, int]) -> str:
    """The elements that are counted most often."""
    return listed(sorted(count, key=lambda symbol: -count[symbol]), most=_NAMED)


def _rounded(value: Any) -> Any:
    """Numbers with as many digits as single precision has any use for."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
