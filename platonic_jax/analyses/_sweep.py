"""Dependence of a comparison on its anchors (their number and method) and on its layers.

The value of a pair depends on how many anchors there are, on how they were chosen, and on chance in choosing them. Here
all three are varied while the atoms stay the same, and beside the space of k anchors stands the plain one: the
embedding itself, reduced to its first k principal components.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from platonic_jax import numerics
from platonic_jax.analyses import _measures, _pairs
from platonic_jax.analyses._anchoring import ANCHORS, choose_anchors, display_names, relative, whole_structures
from platonic_jax.analyses._jackknife import cloud_of, estimates_of, half_width, standard_errors
from platonic_jax.analyses._layers import Layers, rows_of
from platonic_jax.analyses._result import Result
from platonic_jax.analyses._run import Steps, check_among, provenance
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["PCA", "Curve", "Sweep", "sweep"]

PCA = "pca"
"""What stands in place of a way to choose anchors where there are none: as many principal components."""
MEASURES = _pairs.MEASURES
KS = (10, 30, 100, 300)
# A smaller difference between two values says nothing, however narrow the interval.
TOLERANCE = 0.01
_DETERMINISTIC = {"direct", PCA}


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One measure against the number of anchors, for each of p pairs and for their mean, which stands last.

    Attributes:
        value: (len(ks), p + 1) mean over anchor seeds.
        low: lower end of the 95 % interval: over structures, and over the anchor seeds that the mean is taken of.
        high: upper end of the interval.
        spread: (len(ks), p + 1) standard deviation over anchor seeds; NaN for a method that knows no chance.
        stable_from: for each pair, and for the mean, the smallest k from which on the value stays within the interval
            around the value at the largest k, or within 0.01 of it; None where only the largest itself does.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    stable_from: list[int | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep(Result):
    """Values of measures against the number of anchors.

    Attributes:
        models: m display names.
        kinds: for each, `model`, `random` or `element`.
        pairs: p pairs of places in `models`.
        ks: the numbers of anchors, rising.
        curves: measure → method (of choosing anchors, and `pca`: no anchors, but principal components) → `Curve`.
        settings: similarity, numbers of seeds, of atoms, of neighbours; what intervals and stability mean.
        provenance: stores, versions, seed, what was left out.
        layers: layer against layer, for each pair of models, where asked for.
    """

    models: list[str]
    kinds: list[str]
    pairs: list[tuple[int, int]]
    ks: list[int]
    curves: Mapping[str, Mapping[str, Curve]]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    layers: Sequence[Layers] = ()


def sweep(
    tables: Sequence[EmbeddingTable],
    *,
    ks: Sequence[int] = KS,
    methods: Sequence[str] = ("random", "direct"),
    measures: Sequence[str] = MEASURES,
    similarity: str = "cosine",
    seed: int = 0,
    num_seeds: int = 5,
    num_neighbours: int = 10,
    max_atoms: int = 20_000,
    progress: Callable[[str, int, int], None] | None = None,
) -> Sweep:
    """Compare models with increasing numbers of anchors.

    Args:
        tables: two or more tables of the same atoms.
        ks: numbers of anchors.
        methods: how anchors are chosen, in the space of the first table: names from `compare.ANCHORS`.
        measures: names from `procrustes`, `cka` and `mutual_knn`.
        similarity: of rows to anchors, as in `projection.relative`.
        seed: everything random follows from it.
        num_seeds: how often a method that uses chance chooses anew.
        num_neighbours: the neighbours that `mutual_knn` compares.
        max_atoms: rows that enter, at most: whole structures, drawn at random, the same throughout.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        The curves.

    Raises:
        ValueError: fewer than two tables, tables of different atoms, more anchors than atoms, an unknown method or
            measure.
    """
    if len(tables) < 2:
        raise ValueError(f"`tables` must be at least two, got {len(tables)}: a model is compared with another one.")
    check_among("methods", methods, ANCHORS)
    check_among("measures", measures, MEASURES)
    measures = tuple(measures)
    paired = pair(*tables)
    names, ks = display_names(paired), sorted(set(ks))
    key = jax.random.key(seed)
    rows = whole_structures(paired[0].structure_index, max_atoms, key=jax.random.fold_in(key, 0))
    chosen = [rows_of(table, rows) for table in paired]
    if not ks or ks[0] < 1 or ks[-1] > len(rows):
        raise ValueError(f"`ks` must be from 1 to the number of atoms = {len(rows)}, got {', '.join(map(str, ks))}.")
    check_memory(paired, "the sweep", copies=8 * len(rows) / len(paired[0].x), columns=ks[-1])
    seeds = {name: 1 if name in _DETERMINISTIC else num_seeds for name in (*methods, PCA)}
    steps = Steps(progress, len(ks) * sum(seeds.values()))
    pairs = list(itertools.combinations(range(len(names)), 2))
    structures = chosen[0].structure_index

    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        x = [np.asarray(table.x, np.float64) for table in chosen]
        components = [np.asarray(numerics.pca(cloud, num_components=cloud.shape[1]).scores) for cloud in x]
        estimates = {}
        for method, number in seeds.items():
            for k in ks:
                for i in range(number):
                    steps.begin(f"{method}, k = {k}" + (f", choice {i + 1} of {number}" if number > 1 else ""))
                    if method == PCA:
                        spaces = [scores[:, :k] for scores in components]
                    else:
                        anchors = choose_anchors(method, chosen[0], k=k, key=jax.random.fold_in(key, 1 + i)).rows
                        spaces = [relative(cloud, cloud[anchors], similarity=similarity) for cloud in x]
                    clouds = [
                        cloud_of(
                            space,
                            structures,
                            jax.random.fold_in(jax.random.fold_in(key, 0), m),
                            num_neighbours=num_neighbours,
                            measures=measures,
                        )
                        for m, space in enumerate(spaces)
                    ]
                    estimates[method, k, i] = estimates_of(clouds, clouds, pairs, structures, measures=measures)
    return Sweep(
        models=names,
        kinds=[table.kind for table in paired],
        pairs=pairs,
        ks=ks,
        curves={
            measure: {
                method: _curve([[estimates[method, k, i][measure] for i in range(number)] for k in ks], ks, measure)
                for method, number in seeds.items()
            }
            for measure in measures
        },
        settings={
            "similarity": similarity,
            "num_seeds": num_seeds,
            "chance": [method for method in methods if method not in _DETERMINISTIC],
            "num_atoms": len(rows),
            "num_neighbours": num_neighbours,
            "interval": "mean over anchor seeds ± t standard errors: jackknife over structures, and the seeds",
            "tolerance": TOLERANCE,
            PCA: "embeddings reduced to k principal components, or to as many as they have; no anchors",
        },
        provenance=provenance(tables, paired, names, seed=seed),
    )


def _curve(estimates: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], ks: Sequence[int], measure: str) -> Curve:
    """From estimates of every k and choice of anchors, each of all pairs."""
    values = np.array([[value for value, _ in choices] for choices in estimates])
    influence = np.array([np.mean([slope for _, slope in choices], axis=0) for choices in estimates])
    values = np.concatenate([values, values.mean(axis=2, keepdims=True)], axis=2)
    influence = np.concatenate([influence, influence.mean(axis=1, keepdims=True)], axis=1)
    value, chance = values.mean(axis=1), values.shape[1] > 1
    spread = values.std(axis=1, ddof=1) if chance else np.full_like(value, np.nan)
    parts = [(standard_errors(influence), influence.shape[-1] - 1)]
    if chance:
        parts.append((spread / np.sqrt(values.shape[1]), values.shape[1] - 1))
    half = half_width(*parts)
    lowest, highest = _measures.properties(measure).range
    return Curve(
        value=value,
        low=np.clip(value - half, lowest, highest),
        high=np.clip(value + half, lowest, highest),
        spread=spread,
        stable_from=[_stable_from(ks, value[:, p], float(half[-1, p])) for p in range(value.shape[1])],
    )


def _stable_from(ks: Sequence[int], value: np.ndarray, half: float) -> int | None:
    """The smallest k from which on values stay near that at the largest; None where the largest stands alone."""
    far = np.flatnonzero(~(np.abs(value - value[-1]) <= max(half, TOLERANCE)))
    first = far[-1] + 1 if far.size else 0
    return ks[first] if first < len(ks) - 1 else None
