"""Reaction vectors (products less reactants), and linear readouts of reaction energies from them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from platonic_jax import arithmetic as vectors
from platonic_jax import diagnostics
from platonic_jax._checks import check_count
from platonic_jax.analyses import _terms
from platonic_jax.analyses._anchoring import display_names
from platonic_jax.analyses._crystals import crystals_of, element_means, space_of
from platonic_jax.analyses._intervals import METHOD, Groups, connected_groups, described, with_interval
from platonic_jax.analyses._result import Estimate, Result
from platonic_jax.analyses._run import provenance
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["Reactions", "reactions"]

LEAST = 5  # Reactions, for a readout to be fitted on the others.
CONSTANT, OWN = "constant", "own energies"
_RIDGES = 10.0 ** np.arange(-6, 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Reactions(Result):
    """Vectors of reactions, and errors of energies read out from them.

    Attributes:
        models: names.
        equations: as they were written.
        energies: (r,) eV for an equation as written; NaN where unknown.
        norms: by model, (r,) length of the vector, over the number of atoms that react.
        predicted: by model, and by `A → B` for reactants seen by A and products by B, (r,) eV, each reaction by a
            linear readout of those that share no compound with it; NaN where these are fewer than five.
        errors: the same by name, and `constant`, the mean of those, since composition tells nothing of balanced
            reactions; and `MODEL, own energies`, what the model itself predicts: mean absolute error in eV per
            atom, with intervals over groups of reactions.
        num_evaluated: reactions whose energy was predicted.
        groups: groups of these that share a compound, directly or through others; None where no energies are known.
        projections: by model, rank correlation of the length with the size of the energy per atom.
        phases: terms whose formula has several crystals: which was taken, and why.
        settings: how it was made.
        provenance: of the tables.
    """

    models: list[str]
    equations: Sequence[str]
    energies: np.ndarray
    norms: Mapping[str, np.ndarray]
    predicted: Mapping[str, np.ndarray]
    errors: Mapping[str, Estimate]
    num_evaluated: int
    groups: Groups | None
    projections: Mapping[str, float]
    phases: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def reactions(
    equations: Sequence[str],
    tables: Sequence[EmbeddingTable],
    *,
    energies: Sequence[float] | None = None,
    space: str = "shared",
    anchors: Any = "direct",
    k: int = 30,
    similarity: str = "cosine",
    num_bootstraps: int = 1000,
    seed: int = 0,
) -> Reactions:
    """Compute vectors of balanced reactions, and cross-validate a linear readout of their energies.

    Vectors are sums over the atoms of formula units. Whatever an element's rows have in common cancels, so composition
    tells nothing here. Nor do cycles, by which some reactions are sums of others (Hess): a reaction is judged by a
    readout of those that share no compound with it. Vectors and energies are taken per atom that reacts.

    Args:
        equations: such as `2 Mg + O2 -> 2 MgO`, of formulas or ids of the tables.
        tables: of the models, on the same structures.
        energies: of the equations as written, eV; NaN where unknown.
        space: `shared`, that of anchors, or each model's `own`, where models are not mixed.
        anchors: how they are chosen, or the anchors, as `compare` takes them.
        k: their number, where a method chooses.
        similarity: of rows to anchors, as in `projection.relative`.
        num_bootstraps: draws of each interval, over groups of reactions that share no compound with those of others.
        seed: everything random follows from it.

    Returns:
        Vectors' lengths, predictions, errors and a verdict.

    Raises:
        ValueError: an equation that does not parse or is not balanced, a crystal that is not there, or energies of
            fewer than five reactions.
    """
    check_count("num_bootstraps", num_bootstraps)
    check_memory(tables, "the reactions", copies=4, columns=k)
    common = pair(*tables) if len(tables) > 1 else list(tables)
    names = display_names(common)
    crystals = _terms.Crystals(common, names)
    sides, matches = _coefficients(equations, crystals)
    size = np.abs(sides[1] @ _sizes(crystals))
    given = np.full(len(equations), np.nan) if energies is None else np.asarray(energies, float)
    if given.shape != (len(equations),):
        raise ValueError(f"`energies` must have one value per equation, got {given.size} for {len(equations)}.")
    known = np.isfinite(given)
    if known.any() and known.sum() < LEAST:
        raise ValueError(
            f"`energies` must be known for at least {LEAST} reactions, got {known.sum()}: give more, or none."
        )

    key = jax.random.key(seed)
    place = space_of(space, common, anchors=anchors, k=k, similarity=similarity, key=jax.random.fold_in(key, 0))
    units = {}
    for name, table in zip(names, common, strict=True):
        rows = place.rows(table)
        summed = crystals_of(rows - element_means(rows, table.species), table, how="sum")
        units[name] = summed / _formula_units(crystals)[:, None]
    per_atom = lambda vector: np.asarray(vector) / size[:, None]
    x = {name: per_atom(vectors.reaction(jnp.asarray(v), jnp.asarray(sides.sum(axis=0)))) for name, v in units.items()}
    mixed = {
        f"{a} → {b}": per_atom(
            vectors.reaction(jnp.asarray(units[a]), jnp.asarray(sides[0]))
            + vectors.reaction(jnp.asarray(units[b]), jnp.asarray(sides[1]))
        )
        for a in names
        for b in names
        if a != b and space == "shared"
    }
    norms = {name: np.linalg.norm(v, axis=1) for name, v in x.items()}

    predicted, errors, projections, connected, num_evaluated = {}, {}, {}, None, 0
    if known.any():
        y = given / size
        compounds = _compounds(sides, crystals)[known]
        apart = ~(compounds @ compounds.T)
        predictions = {CONSTANT: _left_out(np.zeros((known.sum(), 1)), y[known], apart)}
        predictions |= {name: _left_out(v[known], y[known], apart) for name, v in (x | mixed).items()}
        for name, table in zip(names, common, strict=True):
            if "energy" in table.properties:
                own = np.asarray(table.properties["energy"], float)[crystals.present] / _formula_units(crystals)
                predictions[f"{name}, {OWN}"] = (sides.sum(axis=0) @ own / size)[known]
        evaluated = np.isfinite(predictions[CONSTANT])
        if not evaluated.any():
            raise ValueError(
                f"`energies` must be known for {LEAST} reactions that share no compound with another, got fewer."
            )
        group = connected_groups(*np.nonzero(compounds), num_units=len(compounds))
        connected, num_evaluated = described(np.unique(group[evaluated], return_counts=True)[1]), int(evaluated.sum())
        for i, (name, guess) in enumerate(predictions.items()):
            errors[name] = with_interval(
                np.where(evaluated, np.abs(guess - y[known]), np.nan),
                clusters=group,
                scale="positive",
                num_bootstraps=num_bootstraps,
                key=jax.random.fold_in(key, 1 + i),
            )
            if name in x | mixed:
                predicted[name] = np.full(len(equations), np.nan)
                predicted[name][known] = guess * size[known]
        sizes = jnp.asarray(np.abs(y[known]), jnp.float32)
        projections = {
            name: float(diagnostics.rank_correlation(jnp.asarray(norm[known], jnp.float32), sizes))
            for name, norm in norms.items()
        }
    return Reactions(
        models=names,
        equations=list(equations),
        energies=given,
        norms=norms,
        predicted=predicted,
        errors=errors,
        num_evaluated=num_evaluated,
        groups=connected,
        projections=projections,
        phases=[entry for entry in _terms.told(matches) if entry["phases"]],
        settings={
            **place.described(),
            "pooling": "sum over a formula unit, rows less the mean of their element",
            "readout": "ridge regression, of reactions that share no compound; its penalty by leaving out one",
            "interval": f"95 %, {num_bootstraps} bootstraps over groups of reactions that share no compound, readouts "
            f"not fitted anew; {METHOD}",
        },
        provenance=provenance(tables, common, names, seed=seed),
    )


def _coefficients(equations: Sequence[str], crystals: _terms.Crystals) -> tuple[np.ndarray, list[_terms.Found]]:
    """(2, r, s) of reactants and of products; and the terms, each crystal once."""
    where = {int(structure): row for row, structure in enumerate(crystals.present)}
    sides = np.zeros((2, len(equations), len(where)), np.float32)
    terms: dict[str, _terms.Found] = {}
    for i, equation in enumerate(equations):
        of_equation = [crystals.find(term) for term in _terms.parse_reaction(equation, crystals.known)]
        named = [one.term.model for one in of_equation if one.term.model]
        if named:
            raise ValueError(f"a reaction must not name models, got @{named[0]} in {equation!r}: all models are used.")
        amounts = [one.term.coefficient * one.units for one in of_equation]
        compositions = [crystals.composition(one.structure) for one in of_equation]
        lost = _terms.imbalance(list(zip(amounts, compositions, strict=True)))
        if lost:
            surplus = ", ".join(f"{element} {number:+g}" for element, number in lost.items())
            raise ValueError(f"the reaction {equation!r} is not balanced: its products have {surplus}.")
        for one, amount in zip(of_equation, amounts, strict=True):
            sides[int(amount > 0), i, where[one.structure]] += amount
            terms.setdefault(one.term.name, one)
    return sides, list(terms.values())


def _sizes(crystals: _terms.Crystals) -> np.ndarray:
    """(s,) atoms of a formula unit."""
    return np.array([sum(crystals.composition(int(i)).values()) for i in crystals.present])


def _formula_units(crystals: _terms.Crystals) -> np.ndarray:
    """(s,) formula units of each crystal's cell."""
    return np.asarray(crystals.sizes)[crystals.present] / _sizes(crystals)


def _compounds(sides: np.ndarray, crystals: _terms.Crystals) -> np.ndarray:
    """(r, c) mask of the compounds in each reaction; elements, which most reactions share, are left out."""
    compound = np.array([len(crystals.composition(int(i))) > 1 for i in crystals.present])
    return (sides != 0).any(axis=0)[:, compound]


def _left_out(x: np.ndarray, y: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """(r,) the prediction of each row by a ridge regression of those apart, the penalty chosen among them too."""
    predictions = np.full(len(y), np.nan)
    for i, others in enumerate(apart):
        if others.sum() >= LEAST:
            predictions[i] = _ridge(x[others].astype(float), y[others], x[i].astype(float))
    return predictions


def _ridge(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> float:
    centre, mean = x.mean(axis=0), y.mean()
    u, s, v = np.linalg.svd(x - centre, full_matrices=False)
    size = max(float((s**2).mean()), np.finfo(float).tiny)

    def missed(ridge: float) -> float:
        """Mean squared error of each row by the others, in closed form."""
        shrink = s**2 / (s**2 + ridge * size)
        hat = (u**2) @ shrink + 1 / len(y)
        left = y - mean - u @ (shrink * (u.T @ (y - mean)))
        return float(np.mean((left / np.maximum(1 - hat, 1e-9)) ** 2))

    best = min(_RIDGES, key=missed)
    coefficients = v.T @ (s / (s**2 + best * size) * (u.T @ (y - mean)))
    return float((at - centre) @ coefficients + mean)
