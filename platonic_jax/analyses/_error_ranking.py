"""Error ranking: scores of embeddings and baselines against errors of forces and energies."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array

from platonic_jax import anchors, diagnostics, metrics, projection
from platonic_jax.analyses._anchoring import display_names
from platonic_jax.analyses._intervals import METHOD, draw_weights, elements_counted, of_draws
from platonic_jax.analyses._result import Estimate, Result
from platonic_jax.analyses._run import provenance
from platonic_jax.numerics import map_rows
from platonic_jax.readouts import element_energies
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["ErrorRanking", "error_ranking"]

WORST = 10  # Atoms that are named.
LEAST_ATOMS = 50  # Of an element, to be judged within it.
# What needs no geometry, and has to be beaten.
BASELINES = ("force size", "force spread", "composition distance")


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
    """Agreement of one score with errors.

    Attributes:
        rank_correlation: Spearman correlation with the errors.
        worst_auroc: AUROC of the largest errors against the rest.
        prediction_rejection: Prediction-rejection ratio: reduction of the mean error by leaving out what scores most,
            as a share of what a perfect ranking reaches.
        coverage: (c,) shares of atoms kept, those of the lowest score.
        risk: (c,) mean error of these.
        given_force_size: Partial rank correlation given the size of the predicted force; within elements only.
    """

    rank_correlation: Estimate
    worst_auroc: Estimate
    prediction_rejection: Estimate
    coverage: np.ndarray
    risk: np.ndarray
    given_force_size: Estimate | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ErrorRanking(Result):
    """Error ranking of each score for each model.

    Attributes:
        models: names.
        errors: by model, `force`: mean, median and 90th percentile over atoms, eV/Å; `energy`, of structures, eV/atom,
            after a least-squares fit of one energy an element, which takes out what reference and model count from.
        scores: by model, by score, by `atoms` (force errors of all atoms), `within` (the same, ranked within each
            element) and `structures` (energy errors, the score the mean over atoms).
        worst: by model, the ten atoms of the largest force errors: `structure`, `atom`, `element`, `error` in eV/Å, and
            by score the share of its element's atoms that score less, `ranks`.
        baselines: the scores that need no geometry.
        left_out: by score, for each element the number of atoms with reference forces for which it has no value; no
            score is judged on these.
        num_atoms: atoms with reference forces and every score.
        num_structures: structures they are of.
        settings: how it was made, and what each figure is under the null.
        provenance: of the tables.
    """

    models: list[str]
    errors: Mapping[str, Mapping[str, Mapping[str, float]]]
    scores: Mapping[str, Mapping[str, Mapping[str, Ranking]]]
    worst: Mapping[str, Sequence[Mapping[str, Any]]]
    baselines: list[str]
    left_out: Mapping[str, Mapping[str, int]]
    num_atoms: int
    num_structures: int
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def error_ranking(
    tables: Sequence[EmbeddingTable],
    labels: Mapping[str, Any],
    *,
    scores: Mapping[str, Mapping[str, Any]] | None = None,
    reference: EmbeddingTable | None = None,
    num_neighbours: int = 10,
    num_anchors: int = 100,
    worst: float = 0.1,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> ErrorRanking:
    """Evaluate scores by how well they rank the errors of models.

    Beside the scores given stand `disagreement`, the share of an atom's neighbours in the shared space that another
    model does not see (of two or more models), and baselines: `force size`, that which the model itself predicts,
    `force spread`, the distance to the forces of the other models, and `composition distance`, how far the composition
    of the structure is from all of a reference: Σ |difference of shares|, from 0 to 2.

    Args:
        tables: models on the same atoms, with the forces that they predict.
        labels: `forces` (n, 3) eV/Å and `energy` (s,) eV of the first table, as `tables.read_labels` finds them; NaN
            where unknown.
        scores: by name, by model, (n,) values that should be large where the model errs.
        reference: structures that are known, for `composition distance`; none when absent.
        num_neighbours: neighbours of `disagreement`.
        num_anchors: random anchors of its shared space.
        worst: share of the errors that counts as the worst.
        num_bootstraps: draws of each interval, over structures.
        seed: everything random follows from it.

    Returns:
        Figures, and a verdict.

    Raises:
        ValueError: a table without forces, labels of other atoms, or too few atoms with a label.
    """
    check_memory([*tables, *([reference] if reference else [])], "the ranking of errors", copies=4, columns=num_anchors)
    common = pair(*tables) if len(tables) > 1 else list(tables)
    names = display_names(common)
    for table in common:
        if "forces" not in table.properties:
            raise ValueError(
                f"`tables` must have forces, got none of {table.model}: embed with `--properties energy,forces`."
            )
    first = common[0]
    truth = np.asarray(labels["forces"], float)
    if truth.shape != (len(first.x), 3):
        raise ValueError(
            f"`labels['forces']` must be ({len(first.x)}, 3), got {truth.shape}: read them for this table."
        )
    known = np.asarray(np.isfinite(truth).all(axis=1))
    left_out: dict[str, dict[str, int]] = {}
    scored = known.copy()
    # All scores are compared on the same atoms.
    for score, by in (scores or {}).items():
        missing = known & ~np.isfinite([np.asarray(by[name], float) for name in names if name in by]).all(axis=0)
        if missing.any():
            left_out[score] = elements_counted(first.species[missing])
            scored &= ~missing
    known, num_labelled = scored, int(known.sum())
    least = max(num_neighbours, LEAST_ATOMS)
    if known.sum() <= least:
        without = f", of which {num_labelled - int(known.sum())} have no {' or '.join(left_out)}" if left_out else ""
        raise ValueError(f"`labels` must have forces of more than {least} atoms, got {num_labelled}{without}.")
    structure = np.unique(first.structure_index[known], return_inverse=True)[1]
    species = first.species[known]
    forces = [table.properties["forces"][known].astype(float) for table in common]
    errors = [np.linalg.norm(force - truth[known], axis=1) for force in forces]
    key = jax.random.key(seed)

    disagreement = _disagreement(
        common, known, num_neighbours=num_neighbours, num_anchors=num_anchors, key=jax.random.fold_in(key, 0)
    )
    of_model: dict[str, dict[str, np.ndarray]] = {}
    for i, name in enumerate(names):
        own_scores = {given: np.asarray(by[name], float)[known] for given, by in (scores or {}).items() if name in by}
        if disagreement is not None:
            own_scores["disagreement"] = disagreement[i]
        own_scores["force size"] = np.linalg.norm(forces[i], axis=1)
        if len(common) > 1:
            others = [np.linalg.norm(forces[i] - other, axis=1) for j, other in enumerate(forces) if j != i]
            own_scores["force spread"] = np.mean(others, axis=0)
        if reference is not None:
            own_scores["composition distance"] = _composition_distance(first, reference)[known]
        of_model[name] = own_scores

    counts = np.bincount(species)
    frequent = counts[species] >= LEAST_ATOMS
    energies = _energy_errors(common, labels, known)
    draws = {"num_bootstraps": num_bootstraps, "key": jax.random.fold_in(key, 1)}
    figures = partial(_ranking, worst=worst, **draws)
    out: dict[str, dict[str, dict[str, Ranking]]] = {}
    for i, name in enumerate(names):
        size = of_model[name]["force size"]
        out[name] = {}
        for score, values in of_model[name].items():
            entry = {"atoms": figures(values, errors[i], structure)}
            if frequent.any():
                own = (array[frequent] for array in (values, errors[i], structure))
                entry["within"] = figures(*own, groups=species[frequent], size=size[frequent])
            if energies is not None:
                mean = np.bincount(structure, values) / np.bincount(structure)
                usable = np.isfinite(energies[i])
                entry["structures"] = figures(mean[usable], energies[i][usable], np.flatnonzero(usable))
            out[name][score] = entry
    return ErrorRanking(
        models=names,
        errors={
            name: {"force": _spread(errors[i])} | ({} if energies is None else {"energy": _spread(energies[i])})
            for i, name in enumerate(names)
        },
        scores=out,
        worst={name: _worst(first, known, errors[i], of_model[name]) for i, name in enumerate(names)},
        baselines=[name for name in BASELINES if name in of_model[names[0]]],
        left_out=left_out,
        num_atoms=int(known.sum()),
        num_structures=int(structure.max()) + 1,
        settings={
            "k": num_neighbours,
            "num_anchors": num_anchors,
            "worst": worst,
            "seed": seed,
            "least_atoms": LEAST_ATOMS,
            "interval": f"95 %, {num_bootstraps} bootstraps over structures, ranked anew in each; {METHOD}",
            "null": {"rank_correlation": 0, "worst_auroc": 0.5, "prediction_rejection": 0, "given_force_size": 0},
        },
        provenance=provenance(common, common, names, seed=seed),
    )


def _worst(
    table: EmbeddingTable, known: np.ndarray, error: np.ndarray, scores: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    species, rows = table.species[known], np.flatnonzero(known)
    ranks = {name: _within(values, species) for name, values in scores.items()}
    return [
        {
            "structure": table.structure_name(int(table.structure_index[rows[place]])),
            "atom": int(table.atom_index[rows[place]]),
            "element": chemical_symbols[species[place]],
            "error": float(error[place]),
            "ranks": {name: float(rank[place]) for name, rank in ranks.items()},
        }
        for place in np.argsort(-error)[:WORST]
    ]


def _composition_distance(table: EmbeddingTable, reference: EmbeddingTable) -> np.ndarray:
    """(n,) Σ |difference of shares| of each atom's structure to the nearest composition of a reference."""
    from scipy.spatial import KDTree

    shares, of_atom = _shares(table)
    known = np.unique(_shares(reference)[0], axis=0)
    return KDTree(known).query(shares, p=1)[0][of_atom]


def _shares(table: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
    """(s, 119) share of every element in each structure, and the row that each atom's structure is."""
    place = np.unique(table.structure_index, return_inverse=True)[1]
    number = np.zeros((place[-1] + 1, len(chemical_symbols)))
    np.add.at(number, (place, table.species), 1)
    return number / number.sum(axis=1, keepdims=True), place


def _disagreement(
    tables: Sequence[EmbeddingTable], known: np.ndarray, *, num_neighbours: int, num_anchors: int, key: Any
) -> list[np.ndarray] | None:
    """Fraction of each atom's neighbours that the other models do not share, (n,) for each model."""
    if len(tables) < 2:
        return None
    seen = [jnp.asarray(table.x[known]) for table in tables]
    rows = anchors.random(seen[0], min(num_anchors, len(seen[0])), key=key)
    shared = [projection.relative(x, x[rows]) for x in seen]
    overlap = {
        (i, j): np.asarray(_overlap(shared[i], shared[j], num_neighbours=num_neighbours), float)
        for i in range(len(shared))
        for j in range(i + 1, len(shared))
    }
    return [
        1 - np.mean([missed for pair_of, missed in overlap.items() if i in pair_of], axis=0) for i in range(len(shared))
    ]


_overlap = partial(jax.jit, static_argnames="num_neighbours")(partial(metrics.mutual_knn_rows, metric="l2"))


def _energy_errors(
    tables: Sequence[EmbeddingTable], labels: Mapping[str, Any], known: np.ndarray
) -> list[np.ndarray] | None:
    """For each model the error of each structure with known atoms, eV/atom, NaN where its energy is unknown."""
    first = tables[0]
    if "energy" not in labels or any("energy" not in table.properties for table in tables):
        return None
    present = np.unique(first.structure_index[known])
    reference = np.asarray(labels["energy"], float)[present]
    usable = np.isfinite(reference)
    if not usable.any():
        return None
    whole = np.isin(first.structure_index, present)
    place = np.searchsorted(present, first.structure_index[whole])
    elements, column = np.unique(first.species[whole], return_inverse=True)
    composition = np.zeros((len(present), len(elements)))
    np.add.at(composition, (place, column), 1)
    number = composition.sum(axis=1)
    composition /= number[:, None]
    errors = []
    for table in tables:
        apart = (table.properties["energy"][present].astype(float) - reference) / number
        per_element = element_energies(composition[usable], apart[usable])
        errors.append(np.abs(apart - composition @ per_element))
    return errors


def _within(values: np.ndarray, species: np.ndarray) -> np.ndarray:
    return np.asarray(_ranks(jnp.asarray(values, jnp.float32), jnp.asarray(species)))


@jax.jit
def _ranks(values: Array, groups: Array) -> Array:
    return diagnostics.ranks(values, groups=groups)


def _ranking(
    score: np.ndarray,
    error: np.ndarray,
    structure: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    size: np.ndarray | None = None,
    worst: float,
    num_bootstraps: int,
    key: Any,
) -> Ranking:
    """Compute the figures of one score with their intervals over structures, and its risk-coverage curve.

    Args:
        score: (n,) values of the score.
        error: (n,) errors.
        structure: (n,) label of the structure of each.
        groups: (n,) elements within which scores and errors are ranked; among all when absent.
        size: (n,) sizes of the forces: adds the rank correlation that is left once these are known.
        worst: Share of the errors that are positives of the AUROC.
        num_bootstraps: Number of draws of structures.
        key: Typed key.
    """
    place = np.unique(structure, return_inverse=True)[1]
    sizes = np.bincount(place)
    draws = draw_weights(key, len(sizes), num_bootstraps=num_bootstraps)
    weights = np.concatenate([np.ones((1, len(sizes))), draws])
    arrays = {"score": score, "error": error} | ({} if size is None else {"size": size})
    single = {name: jnp.asarray(values, jnp.float32) for name, values in arrays.items()}
    labels = None if groups is None else jnp.asarray(groups, jnp.int32)
    estimates = _figures(single, labels, jnp.asarray(weights, jnp.float32), jnp.asarray(place, jnp.int32), worst=worst)
    figures = {
        name: of_draws(float(values[0]), np.asarray(values[1:], float), scale=_SCALES[name], sizes=sizes)
        for name, values in estimates.items()
    }
    curve = _curve(single["score"], single["error"], labels, num_points=min(20, len(error)))
    return Ranking(**figures, coverage=np.asarray(curve.coverage), risk=np.asarray(curve.error))


_SCALES = {
    "rank_correlation": "correlation",
    "worst_auroc": "share",
    "prediction_rejection": "at most 1",
    "given_force_size": "correlation",
}


@partial(jax.jit, static_argnames="worst")
def _figures(
    arrays: dict[str, Array], groups: Array | None, weights: Array, structure: Array, *, worst: float
) -> dict[str, Array]:
    """Compute each figure for each draw of weights of the structures, (draws,); every draw is ranked anew."""

    def of_draw(of_structure: Array) -> dict[str, Array]:
        own = of_structure[structure]
        rank = {name: diagnostics.ranks(values, groups=groups, weights=own) for name, values in arrays.items()}
        score, error = (arrays if groups is None else rank)["score"], (arrays if groups is None else rank)["error"]
        between = lambda a, b: diagnostics.rank_correlation(arrays[a], arrays[b], groups=groups, weights=own)
        figures = {
            "rank_correlation": between("score", "error"),
            "worst_auroc": diagnostics.auroc(score, rank["error"] > 1 - worst, weights=own),
            "prediction_rejection": diagnostics.prediction_rejection(score, error, weights=own),
        }
        if "size" in arrays:
            of_score, of_error = between("score", "size"), between("error", "size")
            # A score that is the size itself leaves nothing to correlate.
            left = (1 - of_score**2) * (1 - of_error**2)
            beyond = (figures["rank_correlation"] - of_score * of_error) / jnp.sqrt(jnp.maximum(left, 1e-6))
            figures["given_force_size"] = jnp.where(left > 1e-6, beyond, 0)
        return figures

    return map_rows(of_draw, weights, batch_size=8)


@partial(jax.jit, static_argnames="num_points")
def _curve(score: Array, error: Array, groups: Array | None, *, num_points: int) -> diagnostics.Coverage:
    if groups is not None:
        score, error = (diagnostics.ranks(values, groups=groups) for values in (score, error))
    return diagnostics.error_against_coverage(score, error, num_points=num_points)


def _spread(errors: np.ndarray) -> dict[str, float]:
    finite = errors[np.isfinite(errors)]
    return {"mean": float(finite.mean()), "median": float(np.median(finite)), "p90": float(np.quantile(finite, 0.9))}
