"""Results of the atlas."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from platonic_jax.analyses._result import Estimate, Result


@dataclasses.dataclass(frozen=True)
class Element:
    """Agreement on the neighbours of the atoms of one element.

    Attributes:
        num_atoms: Number of atoms.
        num_structures: Number of structures that have it.
        among: Share of neighbours that two trained models of the atlas have in common, mean over pairs.
        models: Share that each model of the atlas has in common with the trained ones, mean over these; by name.
        nearest: Share that the placed model and its nearest model have in common.
        all: Share that the placed model and a trained model have in common, mean over these.
        difference: `all` − `among`; negative where the placed model differs more than the others do among themselves.
    """

    num_atoms: int
    num_structures: int
    among: Estimate
    models: Mapping[str, float]
    nearest: Estimate | None
    all: Estimate | None
    difference: Estimate | None


class Deviation(NamedTuple):
    """A structure or an atom whose neighbours differ between the placed model and the others.

    Attributes:
        structure: Name of the structure.
        formula: Its formula.
        atom: Place of the atom in the structure; None for a whole structure.
        element: Its element; empty for a whole structure.
        nearest: Share of neighbours that the placed model and its nearest model have in common.
        all: The same with a trained model, mean over these.
        among: The same of two trained models, mean over pairs.
    """

    structure: str
    formula: str
    atom: int | None
    element: str
    nearest: float
    all: float
    among: float


@dataclasses.dataclass(frozen=True)
class Place:
    """A model among those of the atlas.

    Attributes:
        model: Its name.
        itself: The same weights in the atlas, by name, if they are there; they are compared, but never the nearest.
        nearest: The trained model with which it has most neighbours in common.
        behind: Model → how much smaller its share of neighbours in common is than that of the nearest model; intervals
            hold for all models at once.
        close: Trained models that cannot be distinguished from the nearest, and the nearest.
        structures: Structures where it has least in common with the trained models, compared with what these have in
            common; the worst first.
        atoms: The same of atoms.
    """

    model: str
    itself: str | None
    nearest: str
    behind: Mapping[str, Estimate]
    close: list[str]
    structures: list[Deviation]
    atoms: list[Deviation]


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas(Result):
    """Models of the atlas, compared with each other or with a model that is placed among them.

    Neighbours are the nearest atoms of other structures.

    Attributes:
        models: Names of the models of the atlas.
        kinds: `model`, or `random` for an untrained control; of each.
        facts: Fact → its value for each model: training data, functional, network, supervision and layer.
        similarities: Measure → model → other model → similarity; of the placed model alone, if there is one, otherwise
            of each pair once. The null exchanges the atoms of one structure within each element.
        elements: Element → agreement on its atoms.
        place: The placed model; None for the atlas alone.
        num: `models`, `structures`, `atoms` and `anchors` that are compared, `all_structures` of the atlas,
            `movable_atoms` of the null; of its test `groups` (elements) and `tested_groups`.
        settings: Parameters, and the methods of intervals, null and test.
        provenance: Of the models.
    """

    models: list[str]
    kinds: list[str]
    facts: Mapping[str, list[str]]
    similarities: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    elements: Mapping[str, Element]
    place: Place | None
    num: Mapping[str, int]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
