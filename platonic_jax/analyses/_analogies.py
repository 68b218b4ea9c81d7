"""Analogies A₁B : A₂B :: A₁C : A₂C between crystals of one prototype."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from platonic_jax import arithmetic as vectors
from platonic_jax._checks import check_count
from platonic_jax.analyses._anchoring import display_names
from platonic_jax.analyses._crystals import crystals_of, element_means, space_of
from platonic_jax.analyses._intervals import METHOD, Groups, connected_groups, described, with_interval
from platonic_jax.analyses._result import Estimate, Result
from platonic_jax.analyses._run import provenance
from platonic_jax.labels import Prototypes, prototypes, reduced_formulas
from platonic_jax.tables import EmbeddingTable, check_memory, element_baseline, pair

__all__ = ["Analogies", "analogies", "quadruples"]

MOST_OF_PROTOTYPE = 200  # Quadruples of one prototype, so that perovskites and Heusler phases do not dominate.


@dataclasses.dataclass(frozen=True, eq=False)
class Analogies(Result):
    """Fraction of quadruples for which the crystal nearest to A₁C − A₁B + A₂B is A₂C.

    Attributes:
        models: names.
        figures: by vectors — each model, each model's elements alone (every atom's row replaced by the mean of its
            element), the composition — `hit_1`, `hit_10`, shares from 0 to 1, `median_rank`, from 1, and `phase`, of
            answers with polymorphs, how often the right one is the nearest of them.
        kinds: by vectors, `model`, `random` weights, `elements` of a model, or `composition`.
        chance: of each figure, for vectors that know nothing; of `phase`, for those that know the composition alone.
        num: of `quadruples`, of their `prototypes`, of `candidates`, of quadruples with a `phase` to tell.
        groups: groups of quadruples that share a crystal, directly or through others.
        settings: how it was made.
        provenance: of the tables.
    """

    models: list[str]
    figures: Mapping[str, Mapping[str, Estimate]]
    kinds: Mapping[str, str]
    chance: Mapping[str, float]
    num: Mapping[str, int]
    groups: Groups
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def quadruples(prototypes: Prototypes, *, number: int, seed: int) -> np.ndarray:
    """A₁B, A₂B, A₁C, A₂C of one prototype, that differ in the elements of two roles; in random order.

    Args:
        prototypes: of the crystals.
        number: how many, at most; at most 200 of a prototype, drawn at random.
        seed: what is drawn follows from it.

    Returns:
        (n, 4) crystals.
    """
    rng = np.random.default_rng(seed)
    rows = []
    by_label: dict[str, dict[tuple[str, ...], int]] = {}
    for i, (label, elements) in enumerate(zip(prototypes.label.tolist(), prototypes.elements, strict=True)):
        by_label.setdefault(label, {}).setdefault(elements, i)
    for crystals in by_label.values():
        own = []
        for a, b in combinations(range(len(next(iter(crystals)))), 2):
            grids: dict[tuple[str, ...], dict[str, dict[str, int]]] = {}
            for elements, i in crystals.items():
                rest = tuple(element for place, element in enumerate(elements) if place not in (a, b))
                grids.setdefault(rest, {}).setdefault(elements[a], {})[elements[b]] = i
            for grid in grids.values():
                for one, other in combinations(grid.values(), 2):
                    shared = sorted(set(one) & set(other))
                    own += [(one[p], other[p], one[q], other[q]) for p, q in combinations(shared, 2)]
        chosen = rng.permutation(len(own))[:MOST_OF_PROTOTYPE]
        # Any of the four may be the answer, and either of the two beside it the first to be taken away.
        turns = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
        rows += [np.array(own[i])[turns[rng.integers(4)]] for i in chosen.tolist()]
    order = rng.permutation(len(rows))[:number]
    return np.array([rows[i] for i in order.tolist()], np.int32).reshape(-1, 4)


def analogies(
    tables: Sequence[EmbeddingTable],
    *,
    number: int = 10_000,
    space: str = "shared",
    anchors: Any = "direct",
    k: int = 100,
    similarity: str = "whitened",
    num_bootstraps: int = 200,
    seed: int = 0,
) -> Analogies:
    """Rank all crystals by their cosine with A₁C − A₁B + A₂B, for quadruples of one prototype.

    Vectors are means over atoms. The three terms are no answers. Mean one-hot vectors of the elements add up exactly
    within a prototype, so composition fails by its polymorphs alone: what a model adds is telling those apart, what it
    loses is what composition gives away.

    Args:
        tables: of the models, on the same structures.
        number: quadruples, at most; at most 200 of a prototype.
        space: `shared`, that of anchors, or each model's `own`.
        anchors: how they are chosen, or the anchors, as `compare` takes them.
        k: their number, where a method chooses.
        similarity: of rows to anchors, as in `projection.relative`.
        num_bootstraps: draws of each interval, over groups of quadruples that share no crystal with those of others.
        seed: everything random follows from it.

    Returns:
        Figures of each model and of the baselines, and a verdict.

    Raises:
        ValueError: tables without structures, or structures without a quadruple.
    """
    check_count("number", number)
    check_count("num_bootstraps", num_bootstraps)
    check_memory(tables, "analogies", copies=4, columns=k)
    common = pair(*tables) if len(tables) > 1 else list(tables)
    names, first = display_names(common), common[0]
    if first.structures is None:
        raise ValueError("`tables` must bring structures, got none: prototypes are determined from them.")
    key = jax.random.key(seed)
    present = np.unique(first.structure_index)
    every = prototypes(first.structures)
    own = Prototypes(every.label[present], [every.elements[i] for i in present.tolist()])
    four = quadruples(own, number=number, seed=seed)
    if not len(four):
        raise ValueError(
            f"`tables` must hold four crystals A₁B, A₂B, A₁C, A₂C of one prototype, got none among {len(present)}: "
            "give more structures."
        )
    place = space_of(space, common, anchors=anchors, k=k, similarity=similarity, key=jax.random.fold_in(key, 0))
    formulas = reduced_formulas(first.structures)[present]
    phases = _phases(formulas, four[:, 3])
    connected = connected_groups(np.repeat(np.arange(len(four)), 4), four.ravel(), num_units=len(four))

    clouds, kinds = {}, {}
    for table, name in zip(common, names, strict=True):
        rows = place.rows(table)
        clouds[name], kinds[name] = crystals_of(rows, table), table.kind
        if table.kind == "model":
            blind = f"{name}, elements alone"
            clouds[blind], kinds[blind] = crystals_of(element_means(rows, table.species), table), "elements"
    clouds["composition"] = crystals_of(element_baseline(first).x, first)
    kinds["composition"] = "composition"

    results = {}
    for name, v in clouds.items():
        ranked, right = _judged(v, four, phases)
        figures = {
            "hit_1": np.asarray(ranked.hits(1)),
            "hit_10": np.asarray(ranked.hits(10)),
            "median_rank": np.asarray(ranked.rank, np.float32),
            "phase": right,
        }
        results[name] = {
            figure: with_interval(
                values,
                clusters=connected,
                scale="positive" if figure == "median_rank" else "share",
                average="median" if figure == "median_rank" else "mean",
                num_bootstraps=num_bootstraps,
                key=jax.random.fold_in(key, 1),
            )
            for figure, values in figures.items()
        }
    candidates = len(present) - 3
    several = [len(group) for group in phases if len(group) > 1]
    return Analogies(
        models=names,
        figures=results,
        kinds=kinds,
        chance={
            "hit_1": 1 / candidates,
            "hit_10": min(10 / candidates, 1.0),
            "median_rank": (1 + candidates) / 2,
            "phase": float(np.mean([1 / size for size in several])) if several else float("nan"),
        },
        num={
            "quadruples": len(four),
            "prototypes": len(np.unique(own.label[four[:, 0]])),
            "candidates": candidates,
            "phase": len(several),
        },
        groups=described(np.unique(connected, return_counts=True)[1]),
        settings={
            **place.described(),
            "pooling": "mean",
            "terms": "may not be answers",
            "most_of_a_prototype": MOST_OF_PROTOTYPE,
            "prototype": "space group, and how many atoms of each element on sites of which symmetry",
            "interval": f"95 %, {num_bootstraps} bootstraps over groups of quadruples that share no crystal; {METHOD}",
        },
        provenance=provenance(tables, common, names, seed=seed),
    )


def _phases(formulas: np.ndarray, answers: np.ndarray) -> list[np.ndarray]:
    """The crystals of each answer's formula."""
    order = np.argsort(formulas, kind="stable")
    ordered = formulas[order]
    low, high = (np.searchsorted(ordered, formulas[answers], side=side) for side in ("left", "right"))
    return [order[a:b] for a, b in zip(low, high, strict=True)]


def _judged(v: np.ndarray, four: np.ndarray, phases: list[np.ndarray]) -> tuple[vectors.Ranks, np.ndarray]:
    """Rank answers among all crystals, and test whether each is the nearest of its phases (NaN for a single phase)."""
    targets = v[four[:, 2]] - v[four[:, 0]] + v[four[:, 1]]
    ranked = _ranks(jnp.asarray(targets), jnp.asarray(v), jnp.asarray(four[:, 3]), left_out=jnp.asarray(four[:, :3]))
    origin = v.mean(axis=0)
    unit = lambda rows: rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), np.finfo(v.dtype).tiny)
    right = np.full(len(four), np.nan)
    for i, group in enumerate(phases):
        if len(group) > 1:
            cosine = unit(v[group] - origin) @ unit(targets[i] - origin)
            nearest = cosine >= cosine.max() - 1e-6  # Several, where vectors cannot tell them apart.
            right[i] = float(nearest[group == four[i, 3]][0]) / nearest.sum()
    return ranked, right


_ranks = jax.jit(vectors.ranks)
