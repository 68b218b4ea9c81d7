"""Dependence of a comparison on its anchors (their number and method) and on its layers.

The value of a pair depends on how many anchors there are, on how they were chosen, and on chance in choosing them. Here
all three are varied while the atoms stay the same, and beside the space of k anchors stands the plain one: the
embedding itself, reduced to its first k principal components.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from platonic_jax import numerics, projection
from platonic_jax.analyses import _measures, _pairs
from platonic_jax.analyses._anchoring import ANCHORS, choose_anchors, display_names, whole_structures
from platonic_jax.analyses._group_tests import draw_groups
from platonic_jax.analyses._jackknife import cloud_of, estimates_of, half_width, standard_errors
from platonic_jax.analyses._nulls import Null, permuted_pairs
from platonic_jax.analyses._result import plain, write_json
from platonic_jax.analyses._run import Steps, check_among, provenance
from platonic_jax.tables import EmbeddingTable, check_memory, load, pair

__all__ = ["PCA", "Curve", "Layers", "Sweep", "layers", "load_layers", "sweep"]

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
class Layers:
    """Every layer of one model against every layer of another.

    Attributes:
        models: the two names.
        names: the layers of each.
        measures: name → `value`, `null` (mean when the atoms of one structure are exchanged within each element),
            `effect` (value − null) and `p` (corrected for all pairs of layers; NaN where too few structures can be
            exchanged), each (layers of the first, layers of the second); `best`, the two places of the largest effect,
            its `best_value`, `best_effect` and `p_of_best`, and `low` and `high` (95 % CI of its value over structures,
            that of a pair of layers chosen beforehand).
        settings: anchors, numbers of draws and of atoms.
    """

    models: list[str]
    names: list[list[str]]
    measures: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """Result of `sweep`.

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

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain lists and numbers; undefined values are null."""
        return plain(self)

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(self.to_json(), path)


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
    chosen = [_rows_of(table, rows) for table in paired]
    if not ks or ks[0] < 1 or ks[-1] > len(rows):
        raise ValueError(f"`ks` must be from 1 to the number of atoms = {len(rows)}, got {', '.join(map(str, ks))}.")
    check_memory(paired, "the sweep", copies=8 * len(rows) / len(paired[0].x), columns=ks[-1])
    seeds = {name: 1 if name in _DETERMINISTIC else num_seeds for name in (*methods, PCA)}
    steps = Steps(progress, len(ks) * sum(seeds.values()))
    pairs = list(itertools.combinations(range(len(names)), 2))
    structures = jnp.asarray(chosen[0].structure_index)

    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        x = [jnp.asarray(table.x, jnp.float64) for table in chosen]
        components = [numerics.pca(cloud, num_components=cloud.shape[1]).scores for cloud in x]
        estimates = {}
        for method, number in seeds.items():
            for k in ks:
                for i in range(number):
                    steps.begin(f"{method}, k = {k}" + (f", choice {i + 1} of {number}" if number > 1 else ""))
                    if method == PCA:
                        spaces = [scores[:, :k] for scores in components]
                    else:
                        anchors = choose_anchors(method, chosen[0], k=k, key=jax.random.fold_in(key, 1 + i)).rows
                        spaces = [projection.relative(cloud, cloud[anchors], similarity=similarity) for cloud in x]
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


def layers(
    first: Sequence[EmbeddingTable],
    second: Sequence[EmbeddingTable],
    *,
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "cosine",
    measures: Sequence[str] = MEASURES,
    seed: int = 0,
    num_neighbours: int = 10,
    num_permutations: int = 100,
    max_atoms: int = 20_000,
    progress: Callable[[str, int, int], None] | None = None,
) -> Layers:
    """Compare every layer of one model with every layer of another, and test the pair of layers that agrees most.

    Most means the largest effect beyond the element, value − null: two layers that hold nothing but the element can
    have the largest value. The best of many pairs is high by selection alone, so its p-value is corrected for all of
    them under the same null.

    Args:
        first: the layers of one model, as from `load_layers`.
        second: the layers of the other, of the same atoms.
        anchors: how anchors are chosen, in the space of the last table of `first`; or the anchors, as in
            `compare.compare`. The same atoms serve every layer.
        k: the number of anchors, where a method chooses them.
        similarity: of rows to anchors, as in `projection.relative`.
        measures: names from `procrustes`, `cka` and `mutual_knn`.
        seed: everything random follows from it.
        num_neighbours: the neighbours that `mutual_knn` compares.
        num_permutations: draws of the null, the same for all pairs of layers.
        max_atoms: rows that enter, at most: whole structures, drawn at random.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        Matrices over layers, and the best pair.
    """
    check_among("measures", measures, MEASURES)
    measures = tuple(measures)
    if not first or not second:
        raise ValueError(f"`first` and `second` must hold layers, got {len(first)} and {len(second)}.")
    paired = pair(*first, *second)
    names = [[table.layer for table in tables] for tables in (first, second)]
    key = jax.random.key(seed)
    rows = whole_structures(paired[0].structure_index, max_atoms, key=jax.random.fold_in(key, 0))
    chosen = [_rows_of(table, rows) for table in paired]
    choice = choose_anchors(anchors, chosen[len(first) - 1], k=k, key=jax.random.fold_in(key, 1))
    pairs = tuple(itertools.product(range(len(first)), range(len(second))))
    model = " and ".join(dict.fromkeys(table.model for table in (first[0], second[0])))
    steps = Steps(progress, len(paired) + 50 + num_permutations)
    num_elements = len(np.unique(chosen[0].species))

    structures = jnp.asarray(chosen[0].structure_index)

    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        clouds, spaces = [], []
        for table in chosen:
            steps.begin(f"neighbours in {table.model} {table.layer}")
            x = jnp.asarray(choice.mapped(table), jnp.float64)
            shared = projection.relative(x, x[choice.rows], similarity=similarity, weights=choice.weights)
            ties = jax.random.fold_in(jax.random.fold_in(key, 3), len(clouds))
            clouds.append(cloud_of(shared, structures, ties, num_neighbours=num_neighbours, measures=measures))
            spaces.append(np.asarray(shared, np.float32))
        left, right = clouds[: len(first)], clouds[len(first) :]
        steps.begin(f"layers of {model}")
        estimates = estimates_of(left, right, pairs, structures, measures=measures)
        single = [[_pairs.single(cloud) for cloud in side] for side in (left, right)]
        null, draws = Null(chosen[0].species, chosen[0].structure_index), []
        for i in range(num_permutations):
            steps.begin(f"null of the layers of {model}, draw {i + 1} of {num_permutations}")
            order = null.orders(jax.random.fold_in(key, 2), first=i)[0]
            draws.append(jax.tree.map(np.asarray, permuted_pairs(*single, order, pairs, measures=measures)))
        tests = draw_groups(
            [space.__getitem__ for space in spaces],
            tuple((i, len(first) + j) for i, j in pairs),
            groups=chosen[0].species,
            blocks=chosen[0].structure_index,
            measures=measures,
            num_neighbours=num_neighbours,
            num_permutations=num_permutations,
            key=jax.random.fold_in(key, 4),
            begin=steps.begin,
        )
        entries = {
            name: _best(
                name,
                estimates[name],
                np.mean([draw[name] for draw in draws], axis=0),
                tests.corrected_p_values(name),
                shape=(len(first), len(second)),
            )
            for name in measures
        }
    return Layers(
        models=[first[0].model, second[0].model],
        names=names,
        measures=entries,
        settings={
            "anchors": choice.method,
            "k": len(choice.rows),
            "similarity": similarity,
            "num_permutations": num_permutations,
            "num_atoms": len(rows),
            "null": "the atoms of one structure exchanged within each element, tested one by one and combined; "
            "p-values are corrected for all pairs of layers",
            "num_elements": num_elements,
            "num_tested_elements": max(tests.tested(name) for name in measures),
        },
    )


def load_layers(path: str | Path, *, limit: int | None = None) -> list[EmbeddingTable]:
    """Every layer of a store, in the order in which the store lists them; of the first structures, if limited."""
    default = load(path, limit=limit)
    names: Sequence[str] = list(default.provenance["layers"])
    return [default if name == default.layer else load(path, name, limit=limit) for name in names]


def _rows_of(table: EmbeddingTable, rows: np.ndarray) -> EmbeddingTable:
    mask = np.zeros(len(table.x), dtype=bool)
    mask[rows] = True
    return table.select(mask)


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


def _best(
    name: str,
    estimates: tuple[np.ndarray, np.ndarray],
    null: np.ndarray,
    p_values: np.ndarray,
    *,
    shape: tuple[int, int],
) -> dict[str, Any]:
    """Matrices over pairs of layers, and the pair with the largest effect."""
    value, influence = estimates
    properties = _measures.properties(name)
    effect = value - null
    best = int(np.nanargmax(effect if properties.larger_is_more_similar else -effect))
    half = half_width((standard_errors(influence[best]), influence.shape[1] - 1))
    low, high = np.clip([value[best] - half, value[best] + half], *properties.range)
    return {
        "value": value.reshape(shape),
        "null": null.reshape(shape),
        "effect": effect.reshape(shape),
        "p": p_values.reshape(shape),
        "best": [int(place) for place in np.unravel_index(best, shape)],
        "best_value": float(value[best]),
        "low": float(low),
        "high": float(high),
        "best_effect": float(effect[best]),
        "p_of_best": float(p_values[best]),
    }
