"""Identification of polymorphs by pooled vectors and by point clouds of atoms."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations, permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import arithmetic as vectors
from platonic_jax import diagnostics
from platonic_jax._checks import check_count, check_positive
from platonic_jax.analyses._anchoring import display_names
from platonic_jax.analyses._crystals import CrystalSpace, crystals_of, space_of
from platonic_jax.analyses._intervals import METHOD, draw_weights, of_draws, with_interval
from platonic_jax.analyses._result import Estimate, Result
from platonic_jax.analyses._run import provenance
from platonic_jax.labels import reduced_formulas
from platonic_jax.numerics import map_rows
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["COPY", "Polymorphs", "clouds_of", "polymorphs"]

REPRESENTATIONS = ("mean", "covariance", "cloud")
COPY = "~"  # `mp-2657~1` is a copy of `mp-2657`, and so is `mp-2657` itself in a table of copies.
_EQUAL = 1e-4  # Of a cloud's extent: atoms nearer than this are one.
MOST = 2000  # Crystals, of which all pairs are compared.


@dataclasses.dataclass(frozen=True, eq=False)
class Polymorphs(Result):
    """Identification of phases, beyond composition.

    Attributes:
        models: names.
        within: by model, by representation — `mean` and `covariance` of the atoms, or their `cloud` — `identity`, the
            share of crystals whose nearest other crystal has the same formula; `separation`, the probability (AUROC)
            that two phases lie farther apart than a phase and a copy of it, where copies are given; `energy`, the rank
            correlation of the distance between two phases with the difference of their energies, where these are
            given.
        across: by pair of models, `A → B`, by representation, the share of phases in A of whose formula the nearest in
            B is the same phase.
        chance: of each figure, for vectors that know the formula alone.
        num: of `crystals`, `formulas`, pairs of `phases`, `copies`.
        settings: how it was made.
        provenance: of the tables.
    """

    models: list[str]
    within: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    across: Mapping[str, Mapping[str, Estimate]]
    chance: Mapping[str, float]
    num: Mapping[str, int]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def polymorphs(
    tables: Sequence[EmbeddingTable],
    *,
    copies: Sequence[EmbeddingTable] = (),
    energies: np.ndarray | None = None,
    space: str = "shared",
    anchors: Any = "direct",
    k: int = 100,
    similarity: str = "whitened",
    epsilon: float = 0.01,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> Polymorphs:
    """Compare crystals of one formula, pooled and not pooled.

    Each model's coordinates are taken from their mean over all atoms, so that models may be compared where the space is
    shared.

    Args:
        tables: of the models, on the same structures.
        copies: one table a model, of the same crystals disturbed, with ids such as `mp-2657~1`: how far apart phases
            lie by chance.
        energies: (s,) of the structures, eV/atom, NaN where unknown.
        space: `shared`, that of anchors, or each model's `own`, where models are not compared.
        anchors: how they are chosen, or the anchors, as `compare` takes them.
        k: their number, where a method chooses.
        similarity: of rows to anchors, as in `projection.relative`.
        epsilon: blur of the clouds, as in `arithmetic.cloud_distances`.
        num_bootstraps: draws of each interval, over formulas.
        seed: everything random follows from it.

    Returns:
        Figures, and a verdict.

    Raises:
        ValueError: no two structures of one formula, copies of none, by other models than the tables, or energies of
            other structures.
    """
    check_count("num_bootstraps", num_bootstraps)
    check_positive("epsilon", epsilon)
    check_memory(tables, "the polymorphs", copies=4, columns=k)
    common = pair(*tables) if len(tables) > 1 else list(tables)
    names, first = display_names(common), common[0]
    if first.structures is None:
        raise ValueError("`tables` must bring structures, got none: phases are identified by formula.")
    present = np.unique(first.structure_index)
    ids = [first.structures.ids[i] for i in present]
    formula = np.unique(reduced_formulas(first.structures)[present], return_inverse=True)[1]
    if len(ids) > MOST:
        raise ValueError(f"`tables` must hold at most {MOST} crystals, got {len(ids)}: all pairs are compared.")
    phases = np.array([(i, j) for i, j in combinations(range(len(ids)), 2) if formula[i] == formula[j]], np.int32)
    if not len(phases):
        raise ValueError(f"`tables` must hold two structures of one formula, got none among {len(ids)}.")
    if energies is not None and len(energies) != len(first.structures):
        raise ValueError(
            f"`energies` must have one value per structure, got {len(energies)} for {len(first.structures)}."
        )
    gap = np.full(len(phases), np.nan)
    if energies is not None:
        gap = np.abs(energies[present][phases[:, 0]] - energies[present][phases[:, 1]])
        if not np.isfinite(gap).any():
            raise ValueError(
                "`energies` must be known for at least two phases of one formula, got none: leave them out."
            )
    known = np.isfinite(gap)
    key = jax.random.key(seed)
    place = space_of(space, common, anchors=anchors, k=k, similarity=similarity, key=jax.random.fold_in(key, 0))
    bootstrap = {"num_bootstraps": num_bootstraps, "key": jax.random.fold_in(key, 1)}
    disturbed = _copies(copies, common, names, ids)

    crystals = [_Crystals.of(place, table) for table in common]
    within = {}
    for name, table, own in zip(names, common, crystals, strict=True):
        figures: dict[str, dict[str, Any]] = {how: {} for how in REPRESENTATIONS}
        every = np.array(list(combinations(range(len(ids)), 2)), np.int32)
        for how in REPRESENTATIONS:
            distance = own.distances(own, every, how=how, epsilon=epsilon)
            figures[how]["identity"] = with_interval(
                _identity(distance, every, formula), clusters=formula, scale="share", **bootstrap
            )
        apart = {how: own.distances(own, phases, how=how, epsilon=epsilon) for how in REPRESENTATIONS}
        if disturbed:
            table_of, original = disturbed[name]
            other = _Crystals.of(place, table_of, by=table)
            to_copies = np.stack([original, np.arange(len(original), dtype=np.int32)], axis=1)
            for how in REPRESENTATIONS:
                near = own.distances(other, to_copies, how=how, epsilon=epsilon)
                figures[how]["separation"] = _auroc(
                    apart[how], near, formula[phases[:, 0]], formula[original], **bootstrap
                )
        if known.any():
            of_known = formula[phases[known, 0]]
            for how in REPRESENTATIONS:
                figures[how]["energy"] = _correlation(apart[how][known], gap[known], of_known, **bootstrap)
        within[name] = figures

    across = {}
    if space == "shared":
        for a, b in permutations(range(len(names)), 2):
            across[f"{names[a]} → {names[b]}"] = {
                how: with_interval(
                    _recovered(crystals[a], crystals[b], formula, how, epsilon),
                    clusters=formula,
                    scale="share",
                    **bootstrap,
                )
                for how in REPRESENTATIONS
            }
    size = np.bincount(formula)[formula]
    return Polymorphs(
        models=names,
        within=within,
        across=across,
        chance={
            "identity": float(np.mean((size[size > 1] - 1) / (len(ids) - 1))),
            "separation": 0.5,
            "energy": 0.0,
            "phase": float(np.mean(1 / size[size > 1])),
        },
        num={
            "crystals": len(ids),
            "formulas": int(formula.max()) + 1,
            "phases": len(phases),
            "copies": len(next(iter(disturbed.values()))[1]) if disturbed else 0,
        },
        settings={
            **place.described(),
            "epsilon": epsilon,
            "origin": "the mean of each model's atoms",
            "interval": f"95 %, {num_bootstraps} bootstraps over formulas; {METHOD}",
        },
        provenance=provenance(tables, common, names, seed=seed),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Crystals:
    """Crystals in the space of one model: pooled, and as point clouds."""

    mean: np.ndarray
    covariance: np.ndarray
    cloud: np.ndarray
    mass: np.ndarray
    scale: float

    @classmethod
    def of(cls, place: CrystalSpace, table: EmbeddingTable, *, by: EmbeddingTable | None = None) -> "_Crystals":
        """Of a table, or of other structures by the model of `by`."""
        known = place.rows(table if by is None else by)
        origin = known.mean(axis=0)
        rows = (known if by is None else place.rows(by, other=table)) - origin
        cloud, mass = clouds_of(rows, table)
        # One scale for all that is compared: twice the variance of the model's atoms.
        scale = float(2 * ((known - origin) ** 2).sum(axis=1).mean())
        return cls(crystals_of(rows, table), crystals_of(rows, table, how="covariance"), cloud, mass, scale)

    def distances(self, other: "_Crystals", pairs: np.ndarray, *, how: str, epsilon: float) -> np.ndarray:
        """(n,) of crystals of this to crystals of another."""
        if how == "cloud":
            return np.sqrt(np.maximum(self._squared(other, pairs, epsilon=epsilon), 0))
        x, y = getattr(self, how), getattr(other, how)
        return np.linalg.norm(x[pairs[:, 0]] - y[pairs[:, 1]], axis=1)

    def _squared(self, other: "_Crystals", pairs: np.ndarray, *, epsilon: float) -> np.ndarray:
        """Divergences of clouds, small ones apart from large ones, which all would have to be filled up to."""
        atoms = np.maximum((self.mass > 0).sum(axis=1)[pairs[:, 0]], (other.mass > 0).sum(axis=1)[pairs[:, 1]])
        size = np.maximum(4, 2 ** np.ceil(np.log2(atoms)).astype(int))
        distance = np.empty(len(pairs), np.float32)
        for most in np.unique(size).tolist():
            own = np.flatnonzero(size == most)
            # Filled up, so that few shapes have to be compiled.
            filled = own[np.arange(2 ** int(np.ceil(np.log2(len(own))))) % len(own)]
            clouds = (jnp.asarray(array[:, :most]) for array in (self.cloud, self.mass, other.cloud, other.mass))
            scale = jnp.float32(self.scale)
            distance[filled] = np.asarray(_clouds(*clouds, jnp.asarray(pairs[filled]), scale, epsilon=epsilon).value)
        if not np.isfinite(distance).all():
            raise ValueError(
                f"`epsilon` must be large enough for transport to converge, got {epsilon:g}: "
                f"{int((~np.isfinite(distance)).sum())} of {len(distance)} pairs of crystals did not converge."
            )
        return distance


@partial(jax.jit, static_argnames="epsilon")
def _clouds(x: Array, mass_x: Array, y: Array, mass_y: Array, pairs: Array, scale: Array, *, epsilon: float) -> Any:
    return vectors.cloud_distances(x, mass_x, y, mass_y, pairs, epsilon=epsilon, scale=scale)


def clouds_of(rows: np.ndarray, table: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of every structure, symmetry-equivalent ones once, with their share of the structure as mass.

    Returns:
        (s, a, w) rows, filled up with zeros, and (s, a) masses, which sum to 1.
    """
    extent = float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0
    index = np.unique(table.structure_index, return_inverse=True)[1]
    crystals = []
    for own in np.split(rows, np.flatnonzero(np.diff(index)) + 1):
        rounded = np.round(own / (_EQUAL * extent))
        _, which, number = np.unique(rounded, axis=0, return_index=True, return_counts=True)
        crystals.append((own[which], number / len(own)))
    most = max(len(own) for own, _ in crystals)
    cloud = np.zeros((len(crystals), most, rows.shape[1]), np.float32)
    mass = np.zeros((len(crystals), most), np.float32)
    for i, (own, share) in enumerate(crystals):
        cloud[i, : len(own)], mass[i, : len(own)] = own, share
    return cloud, mass


def _copies(
    copies: Sequence[EmbeddingTable], tables: Sequence[EmbeddingTable], names: Sequence[str], ids: Sequence[str]
) -> dict[str, tuple[EmbeddingTable, np.ndarray]]:
    """By model, its table of copies, and which crystal each is a copy of."""
    if not copies:
        return {}
    copies_of, place = {}, {name: i for i, name in enumerate(ids)}
    for name, table in zip(names, tables, strict=True):
        own = [copy for copy in copies if (copy.model, copy.layer) == (table.model, table.layer)]
        if len(own) != 1 or own[0].structures is None:
            raise ValueError(f"`copies` must hold one table by {table.model} {table.layer}, got {len(own)}.")
        structures = own[0].structures
        originals = [structures.ids[i].partition(COPY)[0] for i in np.unique(own[0].structure_index)]
        strange = [original for original in originals if original not in place]
        if strange:
            raise ValueError(f"`copies` must be of the tables' structures, as `ID{COPY}1`, got one of {strange[0]!r}.")
        copies_of[name] = own[0], np.array([place[original] for original in originals], np.int32)
    return copies_of


def _identity(distance: np.ndarray, every: np.ndarray, formula: np.ndarray) -> np.ndarray:
    """(s,) 1 where the nearest other crystal has the same formula; NaN where no other has it."""
    number = len(formula)
    matrix = np.full((number, number), np.inf)
    matrix[every[:, 0], every[:, 1]] = matrix[every[:, 1], every[:, 0]] = distance
    same = (formula[matrix.argmin(axis=1)] == formula).astype(float)
    return np.where(np.bincount(formula)[formula] > 1, same, np.nan)


def _recovered(a: _Crystals, b: _Crystals, formula: np.ndarray, how: str, epsilon: float) -> np.ndarray:
    """(s,) 1 where the nearest phase by another model is the same; NaN where there is one phase alone."""
    pairs = np.array([(i, j) for i, own in enumerate(formula) for j in np.flatnonzero(formula == own)], np.int32)
    distance = a.distances(b, pairs, how=how, epsilon=epsilon)
    hits = np.full(len(formula), np.nan)
    for i in range(len(formula)):
        own = pairs[:, 0] == i
        if own.sum() > 1:
            hits[i] = float(pairs[own, 1][distance[own].argmin()] == i)
    return hits


def _auroc(
    apart: np.ndarray, near: np.ndarray, of_apart: np.ndarray, of_near: np.ndarray, **bootstrap: Any
) -> Estimate:
    score, clusters = np.concatenate([apart, near]), np.concatenate([of_apart, of_near])
    return _bootstrapped(diagnostics.auroc, score, np.arange(len(score)) < len(apart), clusters, "share", **bootstrap)


def _correlation(distance: np.ndarray, gap: np.ndarray, clusters: np.ndarray, **bootstrap: Any) -> Estimate:
    gap = gap.astype(np.float32)
    return _bootstrapped(diagnostics.rank_correlation, distance, gap, clusters, "correlation", **bootstrap)


def _bootstrapped(
    fn: Any, x: np.ndarray, y: np.ndarray, clusters: np.ndarray, scale: str, *, num_bootstraps: int, key: Array
) -> Estimate:
    """A figure of two arrays, ranked anew in every draw of whole clusters."""
    group = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(group)
    weights = np.ones((num_bootstraps + 1, len(sizes)))
    weights[1:] = draw_weights(key, len(sizes), num_bootstraps=num_bootstraps)
    rows = jnp.asarray(weights[:, group], jnp.float32)
    draws = np.asarray(_of_weights(jnp.asarray(x, jnp.float32), jnp.asarray(y), rows, fn=fn), float)
    return of_draws(draws[0], draws[1:], scale=scale, sizes=sizes)


@partial(jax.jit, static_argnames="fn")
def _of_weights(x: Array, y: Array, weights: Array, *, fn: Any) -> Array:
    return map_rows(lambda own: fn(x, y, weights=own), weights, batch_size=8)
