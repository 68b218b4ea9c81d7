"""The atlas: its models compared with each other, or a model placed among them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from ase.data import chemical_symbols

from platonic_jax import metrics
from platonic_jax._checks import check_count
from platonic_jax.analyses._anchoring import display_names
from platonic_jax.analyses._atlas._coordinates import Coordinates, read_atlas
from platonic_jax.analyses._atlas._record import Atlas, Deviation, Element, Place
from platonic_jax.analyses._intervals import BOOTSTRAP, METHOD, interval
from platonic_jax.analyses._jackknife import half_width, standard_errors
from platonic_jax.analyses._nulls import check_permutations
from platonic_jax.analyses._pairs import serial_lapack
from platonic_jax.analyses._result import Estimate
from platonic_jax.analyses._run import provenance, streams
from platonic_jax.analyses._similarities import Similarities, similarities
from platonic_jax.tables import EmbeddingTable

NEIGHBOURS = "mutual_knn_other_structures"
MEASURES = ("procrustes", NEIGHBOURS)
FACTS = ("training_data", "functional", "network", "supervision", "layer")
LEVEL = 0.95
MOST_DEVIATIONS = 10
NULL_DRAWS = 20  # For the mean of the null: its error is far below the intervals.


def atlas(
    table: EmbeddingTable | None = None,
    *,
    coordinates: Coordinates | None = None,
    num_neighbours: int = 10,
    num_permutations: int = 199,
    seed: int = 0,
) -> Atlas:
    """Place a model among those of the atlas, or compare those with each other.

    Args:
        table: The model's default layer on the standard set, or on at least half of its structures; if left out, the
            models of the atlas are compared with each other.
        coordinates: The atlas; that of the package if left out.
        num_neighbours: Nearest atoms of other structures that are compared.
        num_permutations: Draws of the test, within each element, when a model is placed.
        seed: Seed of the null.

    Returns:
        Similarities with intervals and effects beyond the element, the nearest models, elements and atoms where the
        model differs, and a verdict.

    Raises:
        ValueError: Another layer, other structures, a single trained model, or too few permutations for a p-value of
            0.05.

    Example:
        >>> table = pj.embed("7net-0", "atlas")  # doctest: +SKIP
        >>> pj.analyses.atlas(table).place.nearest  # doctest: +SKIP
        '7net-mf-0:PBE'
    """
    check_count("num_neighbours", num_neighbours)
    check_permutations(num_permutations)
    coordinates = coordinates or read_atlas()
    num_structures, own = len(coordinates.ids), []
    if table is not None:
        coordinates, x = coordinates.project(table)
        own = [x]
    models = coordinates.tables()
    names, kinds, spaces = list(coordinates.shared), [one.kind for one in models], list(coordinates.shared.values())
    itself = next((name for name in names if table is not None and _same(table, name, coordinates)), None)
    trained = [j for j, kind in enumerate(kinds) if kind == "model" and names[j] != itself]
    if len(trained) + (table is not None) < 2:
        raise ValueError(
            "`coordinates` must hold at least two trained models, or one besides the model that is placed."
        )
    pairs = _pairs(range(len(names))) if table is None else tuple((0, j) for j in range(len(names)))
    with jax.enable_x64(True), serial_lapack():  # noqa: FBT003
        compared = similarities(
            own or spaces,
            spaces,
            pairs,
            species=coordinates.species,
            structure=coordinates.structure,
            measures=MEASURES,
            num_neighbours=num_neighbours,
            num_draws=NULL_DRAWS,
            num_permutations=None if table is None else num_permutations,
            key=streams(seed, "similarities")["similarities"],
        )
        clouds = [*compared.right, *(compared.left if own else [])]  # The placed model is the last.
        lists = [cloud.neighbours[NEIGHBOURS] for cloud in clouds]
        overlaps = {
            pair: np.asarray(metrics.neighbour_overlap(*(lists[i] for i in pair))) for pair in _pairs(range(len(lists)))
        }
    within = [overlaps[pair] for pair in _pairs(trained)]
    among = np.mean(within, axis=0) if within else np.full(len(coordinates.species), np.nan)
    with_trained = [
        np.mean([overlaps[min(i, j), max(i, j)] for j in trained if j != i], axis=0) for i in range(len(lists))
    ]
    place, nearest = None, None
    if table is not None:
        place = _place(table.model, itself, names, trained, compared, num_structures=len(coordinates.ids))
        nearest = overlaps[names.index(place.nearest), len(names)]
        place = dataclasses.replace(place, **_deviations(coordinates, nearest, with_trained[-1], among))
    labels = names if table is None else [table.model]
    measured = {name: {label: {} for label in labels} for name in MEASURES}
    for name, estimates in compared.estimates.items():
        for (i, j), estimate in zip(pairs, estimates, strict=True):
            measured[name][labels[i]][names[j]] = estimate
    given = models if table is None else [table, *models]
    return Atlas(
        models=names,
        kinds=kinds,
        facts={fact: [str(coordinates.models[name].get(fact) or "") for name in names] for fact in FACTS},
        similarities=measured,
        elements=_elements(coordinates, among, dict(zip(names, with_trained, strict=False)), nearest, with_trained[-1]),
        place=place,
        num={
            "models": len(names),
            "structures": len(coordinates.ids),
            "all_structures": num_structures,
            "atoms": len(coordinates.species),
            "anchors": len(coordinates.anchors),
            **compared.num,
        },
        settings={
            "num_neighbours": num_neighbours,
            "num_null_draws": NULL_DRAWS,
            **({} if table is None else {"num_permutations": num_permutations}),
            "interval": "95 %, value ± t standard errors over structures, anchors held fixed: infinitesimal "
            "jackknife, of neighbours bootstrap; differences from the nearest model together (Bonferroni); of elements "
            f"one by one, {METHOD}, neighbours held fixed",
            "null": "the atoms of one structure exchanged within each element, tested one by one and combined",
            "atoms": "one of each symmetry orbit",
        },
        provenance=provenance(given, given, display_names(given), seed=seed),
    )


def _pairs(items: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple(itertools.combinations(items, 2))


def _same(table: EmbeddingTable, name: str, coordinates: Coordinates) -> bool:
    """Test whether a model of the atlas has the name and the weights of a table's model."""
    known = coordinates.models[name]
    return known.get("model") == table.model and known.get("checkpoint") == table.provenance.get("checkpoint")


def _place(
    model: str,
    itself: str | None,
    names: Sequence[str],
    trained: Sequence[int],
    compared: Similarities,
    *,
    num_structures: int,
) -> Place:
    """Find the nearest trained model, and those that cannot be distinguished from it."""
    values = np.array([estimate.value for estimate in compared.estimates[NEIGHBOURS]])
    draws = compared.draws[NEIGHBOURS]
    nearest = max(trained, key=lambda j: values[j])
    others = sorted((j for j in trained if j != nearest), key=lambda j: -values[j])
    level = 1 - (1 - LEVEL) / max(len(others), 1)
    behind = {}
    for j in others:
        error = np.asarray(np.std(draws[:, nearest] - draws[:, j], ddof=1))
        half = half_width((error, num_structures - 1), level=level)
        behind[names[j]] = Estimate.around(float(values[nearest] - values[j]), float(half), method=BOOTSTRAP)
    close = [names[nearest], *(name for name, estimate in behind.items() if not estimate.low > 0)]
    return Place(model, itself, names[nearest], behind, close, [], [])


def _deviations(
    coordinates: Coordinates, nearest: np.ndarray, with_trained: np.ndarray, among: np.ndarray
) -> dict[str, list[Deviation]]:
    """Structures and atoms where the placed model has least in common with the trained ones, compared with these."""
    structure, sizes = coordinates.structure, np.bincount(coordinates.structure)
    means = [np.bincount(structure, rows) / sizes for rows in (nearest, with_trained, among)]

    def listed(rows: Sequence[np.ndarray], *, of_atoms: bool) -> list[Deviation]:
        deviations = []
        for i in np.argsort(rows[1] - np.nan_to_num(rows[2]), kind="stable")[:MOST_DEVIATIONS]:
            s = int(structure[i]) if of_atoms else int(i)
            atom = (int(coordinates.atom[i]), chemical_symbols[coordinates.species[i]]) if of_atoms else (None, "")
            shares = [float(x[i]) for x in rows]
            deviations.append(Deviation(coordinates.ids[s], coordinates.formulas[s], *atom, *shares))
        return deviations

    return {
        "structures": listed(means, of_atoms=False),
        "atoms": listed([nearest, with_trained, among], of_atoms=True),
    }


def _elements(
    coordinates: Coordinates,
    among: np.ndarray,
    models: Mapping[str, np.ndarray],
    nearest: np.ndarray | None,
    with_trained: np.ndarray,
) -> dict[str, Element]:
    """Agreement on the atoms of each element."""
    elements = {}
    for z in np.unique(coordinates.species):
        rows = np.flatnonzero(coordinates.species == z)
        structure = coordinates.structure[rows]
        share = lambda values, scale="share", rows=rows, structure=structure: _mean(values[rows], structure, scale)
        elements[chemical_symbols[z]] = Element(
            num_atoms=len(rows),
            num_structures=len(np.unique(structure)),
            among=share(among),
            models={name: float(values[rows].mean()) for name, values in models.items()},
            nearest=None if nearest is None else share(nearest),
            all=None if nearest is None else share(with_trained),
            difference=None if nearest is None else share(with_trained - among, "correlation"),
        )
    return elements


def _mean(values: np.ndarray, structure: np.ndarray, scale: str) -> Estimate:
    """Mean over atoms with its interval over structures."""
    group, sizes = np.unique(structure, return_inverse=True, return_counts=True)[1:]
    influence = np.bincount(group, values - values.mean()) / len(values)
    return interval(float(values.mean()), float(standard_errors(influence)), scale=scale, sizes=sizes)
