"""Sums of crystal vectors, and the crystals nearest to them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import arithmetic as vectors
from platonic_jax._checks import check_choice, check_count
from platonic_jax.analyses import _terms
from platonic_jax.analyses._anchoring import display_names
from platonic_jax.analyses._crystals import crystals_of, space_of
from platonic_jax.analyses._result import Result
from platonic_jax.analyses._run import provenance
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["Expression", "expression"]

_NOTHING = 1e-5  # Of the size of the terms: what rounding leaves of a sum that cancels.


@dataclasses.dataclass(frozen=True, eq=False)
class Expression(Result):
    """A sum of crystals, and the crystals nearest to it.

    Attributes:
        expression: as it was written.
        terms: what each term means: `coefficient`, `name`, `model`, `id`, `formula`; where a formula has several
            `phases`, which they are, and `because` of what one was taken.
        answers: the nearest crystals: `id`, `formula`, `similarity`, from −1 to 1, and whether it `is_term`.
        null: the largest similarity to sums of random crystals with the same coefficients: `mean`, `high`, the 95th
            percentile, `num` draws; and `p_value`, the share of sums that have a crystal as near.
        models: names.
        settings: how it was made.
        provenance: of the tables.
    """

    expression: str
    terms: Sequence[Mapping[str, Any]]
    answers: Sequence[Mapping[str, Any]]
    null: Mapping[str, float]
    models: list[str]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def expression(
    expression: str,
    tables: Sequence[EmbeddingTable],
    *,
    files: Mapping[str, Sequence[EmbeddingTable]] | None = None,
    how: str = "mean",
    space: str = "shared",
    anchors: Any = "direct",
    k: int = 100,
    similarity: str = "whitened",
    num_answers: int = 10,
    num_draws: int = 1000,
    seed: int = 0,
) -> Expression:
    """Add and subtract crystals, and rank those of the tables by similarity to the sum.

    Each model's vectors are taken from the mean of its crystals, so that a term by one model may stand beside one by
    another, where the space is shared.

    Args:
        expression: such as `TiO2 - Ti + Zr`: crystals by formula, id or file, joined by + and − between spaces, with a
            number before a name and `@MODEL` behind it.
        tables: of the models, on the same structures; answers are the first one's.
        files: by name, tables of a crystal that is not in the store, one for each model.
        how: the pooling, `mean` or `covariance`, as in `arithmetic.pool`.
        space: `shared`, that of anchors, or each model's `own`.
        anchors: how they are chosen, or the anchors, as `compare` takes them.
        k: their number, where a method chooses.
        similarity: of rows to anchors, as in `projection.relative`.
        num_answers: crystals to name.
        num_draws: sums of random crystals.
        seed: everything random follows from it.

    Returns:
        Answers and their null.

    Raises:
        ValueError: an expression that does not parse or that cancels, a name that no crystal has, or terms by several
            models in spaces of their own.
    """
    check_choice("how", how, ("mean", "covariance"))
    check_count("num_answers", num_answers)
    check_count("num_draws", num_draws)
    check_memory(tables, "the arithmetic", copies=4, columns=k)
    common = pair(*tables) if len(tables) > 1 else list(tables)
    names = display_names(common)
    crystals = _terms.Crystals(common, names, files)
    matches = [crystals.find(term) for term in _terms.parse(expression, crystals.known)]
    if space == "own" and any(one.table for one in matches):
        raise ValueError("`space` must be 'shared' if terms are of several models, got 'own'.")
    key = jax.random.key(seed)
    place = space_of(space, common, anchors=anchors, k=k, similarity=similarity, key=jax.random.fold_in(key, 0))

    centred = {}
    for i in sorted({0, *(one.table for one in matches)}):
        table = common[i]
        of_files = [_by_model(seen, table) for seen in (files or {}).values()]
        v = crystals_of(place.rows(table), table, how=how)
        extra = [crystals_of(place.rows(table, other=file_table), file_table, how=how) for file_table in of_files]
        centred[i] = np.concatenate([v, *extra]) - v.mean(axis=0)
    candidates = centred[0][: len(crystals.present)]
    where = {int(structure): row for row, structure in enumerate(crystals.present)}
    row_of = lambda structure: where.get(structure, len(where) + structure - len(crystals.structures))
    rows = [row_of(one.structure) for one in matches]
    terms = np.stack([centred[one.table][row] for one, row in zip(matches, rows, strict=True)])
    coefficients = np.array([one.term.coefficient for one in matches], candidates.dtype)
    target = coefficients @ terms
    if np.linalg.norm(target) <= _NOTHING * np.linalg.norm(terms):
        raise ValueError(f"`expression` sums to zero, so no direction is defined: {expression!r}.")
    near = np.asarray(_similarity(target, candidates))

    drawn = jax.random.randint(jax.random.fold_in(key, 1), (num_draws, len(matches)), 0, len(candidates))
    sums = np.einsum("t,dtw->dw", coefficients, candidates[np.asarray(drawn)])
    null = np.asarray(_nearest(jnp.asarray(sums), jnp.asarray(candidates)))
    order = np.argsort(-near, kind="stable")[:num_answers]
    of_first = {row for one, row in zip(matches, rows, strict=True) if one.table == 0}
    return Expression(
        expression=expression,
        terms=_terms.told(matches),
        answers=[
            {
                "id": crystals.structures.ids[crystals.present[i]],
                "formula": str(crystals.formulas[crystals.present[i]]),
                "similarity": float(near[i]),
                "is_term": i in of_first,
            }
            for i in order.tolist()
        ],
        null={
            "mean": float(null.mean()),
            "high": float(np.quantile(null, 0.95)),
            "num": num_draws,
            "p_value": float((1 + np.sum(null >= near.max())) / (1 + num_draws)),
        },
        models=names,
        settings={**place.described(), "pooling": how, "origin": "the mean of each model's crystals"},
        provenance=provenance(tables, common, names, seed=seed),
    )


def _by_model(tables: Sequence[EmbeddingTable], table: EmbeddingTable) -> EmbeddingTable:
    for other in tables:
        if (other.model, other.layer) == (table.model, table.layer):
            return other
    raise ValueError(f"`files` lacks a table of {table.model} {table.layer}: embed the files with this model too.")


@jax.jit
def _similarity(target: Array, candidates: Array) -> Array:
    origin = jnp.zeros(candidates.shape[1], candidates.dtype)  # They are centred already.
    return vectors.analogy(target[None, :], jnp.ones(1, candidates.dtype), candidates, origin=origin)


@jax.jit
def _nearest(targets: Array, candidates: Array) -> Array:
    """(d,) the largest similarity of each target to a candidate."""
    return jax.lax.map(lambda target: jnp.max(_similarity(target, candidates)), targets, batch_size=64)
