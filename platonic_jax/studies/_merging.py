"""Consensus space of several models, compared with the space of each single one."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array

from platonic_jax import groups, learn, metrics, projection, statistics, stitching
from platonic_jax._checks import check_count, check_fraction
from platonic_jax.compare._driver import provenance
from platonic_jax.compare._record import Record, interval
from platonic_jax.compare._spaces import choose_anchors, display_names, whole_structures
from platonic_jax.tables import EmbeddingTable, pair

__all__ = ["Merging", "merging"]

MOST_ATOMS = 10_000  # That the mean is found from.
_NULL_DRAWS = 5
_MOST_DRAWS = 50  # Of the interval of a distance, each of which turns a whole cloud anew.
_STREAMS = ("split", "anchors", "atoms", "null", "bootstrap")


@dataclasses.dataclass(frozen=True, eq=False)
class Merging(Record):
    """Models beside the mean of their shared spaces: how far from it, and what each predicts.

    Attributes:
        models: names of the models that are merged.
        distances: by model, and by model with random weights, which has no part in the mean: `value`, its angle to the
            mean in radians (0 is the same shape, π/2 unrelated), with `low` and `high`; and `null`, that of its rows
            shuffled within each element.
        errors: mean absolute errors of a linear read-out of a property, on chemical systems that nothing was fitted
            to, in units of the property: by model (and by model with random weights), for the `consensus`, and for
            the baselines `composition` and `constant`.
        gain: how much less the consensus errs than the best single model, as a share of the latter's error.
        best: name of that model.
        num: `fitted` and `judged` structures, chemical `systems` that are judged, `atoms` that the mean is found from.
        settings: how it was made.
        provenance: of the tables.
    """

    models: list[str]
    distances: Mapping[str, Mapping[str, float]]
    errors: Mapping[str, Mapping[str, float]]
    gain: Mapping[str, float]
    best: str
    num: Mapping[str, int]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """Summary in two sentences."""
        gain = self.gain
        order, ends = ("less", ("value", "low", "high")) if gain["value"] > 0 else ("more", ("value", "high", "low"))
        value, low, high = (100 * gain[end] * (1 if order == "less" else -1) for end in ends)
        share = f"{value:.0f} % ({low:.0f} to {high:.0f})"
        certain = "" if gain["low"] > 0 or gain["high"] < 0 else ", which is not certain"
        away = ", ".join(f"{name} {entry['value']:.2f}" for name, entry in self.distances.items())
        consensus, single, composition = (
            interval(self.errors[name], digits=3) for name in ("consensus", self.best, "composition")
        )
        return (
            f"The consensus of {' and '.join(self.models)} errs by {consensus}, {share} {order} than the best of them, "
            f"{self.best}, by {single}{certain}; the composition alone errs by {composition}. Angles to the consensus, "
            f"in radians: {away}."
        )


def merging(
    tables: Sequence[EmbeddingTable],
    values: Any,
    *,
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "cosine",
    held_out: float = 0.3,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> Merging:
    """Merge models in the space of shared anchors, and judge what the mean predicts on new chemistry.

    A structure is the mean of its atoms' rows; the read-out is a ridge regression whose penalty is chosen by leaving
    out each structure that is fitted. The mean is found from atoms of those structures alone; atoms of others are
    mapped to it model by model, and averaged.

    Args:
        tables: two or more models on the same atoms; models with random weights are only judged.
        values: (s,) the property of each structure of the first table; NaN where unknown.
        anchors: how anchors are chosen, in the space of the first table and among all its atoms, those of what is held
            out too, of which nothing but the rows is known; or the anchors, as rows or as atoms.
        k: the number of anchors, where a method chooses them.
        similarity: of rows to anchors, as in `projection.relative`.
        held_out: share of the chemical systems that are judged, drawn at random.
        num_bootstraps: draws of each interval, over chemical systems, nothing being fitted anew.
        seed: everything random follows from it.

    Returns:
        Distances, errors, and a verdict.

    Raises:
        ValueError: fewer than two trained models, tables without structures, values of other structures, or a mean
            that did not converge.
    """
    check_fraction("held_out", held_out)
    check_count("num_bootstraps", num_bootstraps)
    paired = pair(*tables)
    first, names = paired[0], display_names(paired)
    trained = [i for i, table in enumerate(paired) if table.kind == "model"]
    if len(trained) < 2:
        raise ValueError(f"`tables` must hold at least two trained models, got {len(trained)}.")
    if first.structures is None:
        raise ValueError("`tables` must bring their structures, got bare arrays: whole chemical systems are held out.")
    values = np.asarray(values, float)
    if values.shape != (len(first.structures),):
        raise ValueError(
            f"`values` must be one for each of the {len(first.structures)} structures that all models share, got "
            f"shape {values.shape}."
        )
    key = {name: jax.random.fold_in(jax.random.key(seed), i) for i, name in enumerate(_STREAMS)}
    present, begins = np.unique(first.structure_index, return_index=True)
    system = np.unique(groups.chemical_systems(first.structures), return_inverse=True)[1][present]
    held, known = learn.held_out_groups(system, fraction=held_out, key=key["split"]), np.isfinite(values[present])
    target, fitted, test = values[present], np.flatnonzero(~held & known), np.flatnonzero(held & known)
    place = np.searchsorted(present, first.structure_index)
    sizes = np.diff(begins, append=len(first.x))
    pooled = lambda x: np.add.reduceat(np.asarray(x), begins, axis=0) / sizes[:, None]

    with jax.enable_x64(True):  # noqa: FBT003
        choice = choose_anchors(anchors, first, k=k, key=key["anchors"])
        shared = [
            _relative(jnp.asarray(choice.mapped(table), jnp.float64), choice.rows, similarity=similarity)
            for table in paired
        ]
        of_fit = np.flatnonzero(~held[place])
        some = of_fit[whole_structures(first.structure_index[of_fit], MOST_ATOMS, key=key["atoms"])]
        consensus = jax.jit(stitching.consensus)([shared[i][some] for i in trained])
        if not bool(consensus.converged):
            raise ValueError(f"the consensus did not converge: its last step was {float(consensus.change):.1e} of it.")
        mean = np.mean([_apply(map, shared[i]) for map, i in zip(consensus.maps, trained, strict=True)], axis=0)
        elements, column = np.unique(first.species, return_inverse=True)
        share = pooled(np.eye(len(elements))[column])
        read = partial(_errors, target=target, fitted=fitted, test=test)
        errors = {names[i]: read(pooled(x)) for i, x in enumerate(shared)}
        errors |= {"consensus": read(pooled(mean)), "composition": read(share)}
        errors["constant"] = np.abs(target[test] - target[fitted].mean())
        distances = {}
        for i, name in enumerate(names):
            figures = _distance(
                shared[i][some],
                consensus.mean,
                jnp.asarray(column[some], jnp.int32),
                jnp.asarray(place[some], jnp.int32),
                jax.random.fold_in(key["null"], i),
                num_bootstraps=min(num_bootstraps, _MOST_DRAWS),
            )
            distances[name] = {figure: float(value) for figure, value in figures.items()}

    of_system = np.unique(system[test], return_inverse=True)[1]
    draws = _weights(key["bootstrap"], jnp.arange(of_system.max() + 1), num_bootstraps=num_bootstraps)
    weights = np.concatenate([np.ones((1, of_system.max() + 1)), np.asarray(draws, float)])
    totals = weights @ np.bincount(of_system)
    means = {name: weights @ np.bincount(of_system, error) / totals for name, error in errors.items()}
    best = min((names[i] for i in trained), key=lambda name: means[name][0])
    return Merging(
        models=[names[i] for i in trained],
        distances=distances,
        errors={name: _entry(entry) for name, entry in means.items()},
        gain=_entry(1 - means["consensus"] / means[best]),
        best=best,
        num={
            "fitted": len(fitted),
            "judged": len(test),
            "systems": len(weights[0]),
            "atoms": len(some),
        },
        settings={
            "anchors": choice.method,
            "k": len(choice.rows),
            "similarity": similarity,
            "held_out": held_out,
            "elements": [chemical_symbols[z] for z in elements],
            "interval": f"95 %, {num_bootstraps} bootstraps over held-out chemical systems, nothing fitted anew; of "
            f"distances {min(num_bootstraps, _MOST_DRAWS)} over structures, the mean held fixed",
        },
        provenance=provenance(tables, paired, names, seed=seed),
    )


_apply = jax.jit(stitching.apply)


@partial(jax.jit, static_argnames="similarity")
def _relative(x: Array, rows: Array, *, similarity: str) -> Array:
    return projection.relative(x, x[rows], similarity=similarity)


def _errors(x: np.ndarray, *, target: np.ndarray, fitted: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Absolute errors on judged structures of a ridge read-out of the others."""
    of_fit = jnp.asarray(x[fitted], jnp.float64)
    readout = jax.jit(stitching.fit)(of_fit, jnp.asarray(target[fitted, None], jnp.float64))
    return np.abs(np.asarray(_apply(readout, jnp.asarray(x[test], jnp.float64)))[:, 0] - target[test])


@partial(jax.jit, static_argnames="num_bootstraps")
def _distance(
    x: Array, mean: Array, element: Array, structure: Array, key: Array, *, num_bootstraps: int
) -> dict[str, Array]:
    """Angle of a cloud to the mean, its interval over structures, and the same of rows shuffled within elements."""
    angle = partial(metrics.procrustes, convention="angle")
    first, second = (jax.random.fold_in(key, i) for i in range(2))
    estimate = statistics.bootstrap(angle, x, mean, clusters=structure, num_bootstraps=num_bootstraps, key=first)
    null = statistics.null_distribution(
        lambda order: angle(x[order], mean), n=x.shape[0], groups=element, num_permutations=_NULL_DRAWS, key=second
    )
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "null": jnp.mean(null)}


_weights = jax.jit(statistics.bootstrap_weights, static_argnames="num_bootstraps")


def _entry(draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}
