"""Comparison of every layer of one model with every layer of another."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from platonic_jax.analyses import _measures, _pairs
from platonic_jax.analyses._anchoring import choose_anchors, relative, whole_structures
from platonic_jax.analyses._group_tests import draw_groups
from platonic_jax.analyses._intervals import JACKKNIFE
from platonic_jax.analyses._jackknife import cloud_of, estimates_of, half_width, standard_errors
from platonic_jax.analyses._nulls import Null, permuted_pairs
from platonic_jax.analyses._result import Estimate
from platonic_jax.analyses._run import Steps, check_among
from platonic_jax.tables import EmbeddingTable, load, pair

MEASURES = _pairs.MEASURES
_single = jax.jit(_pairs.single)


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMatrix:
    """One measure over all pairs of layers; every array is (layers of the first model, layers of the second).

    Attributes:
        value: The measure.
        null: Its mean when the atoms of one structure are exchanged within each element.
        effect: value − null.
        p: p-value, corrected for all pairs of layers; NaN where too few structures can be exchanged.
        best: The two layers of the largest effect.
        best_estimate: Value and effect of these, with the interval over structures of a pair chosen beforehand.
    """

    value: np.ndarray
    null: np.ndarray
    effect: np.ndarray
    p: np.ndarray
    best: tuple[int, int]
    best_estimate: Estimate


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """Every layer of one model against every layer of another.

    Attributes:
        models: the two names.
        names: the layers of each.
        measures: by name, the matrices and the best pair of layers.
        settings: anchors, numbers of draws and of atoms.
    """

    models: list[str]
    names: list[list[str]]
    measures: Mapping[str, LayerMatrix]
    settings: Mapping[str, Any]


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
    chosen = [rows_of(table, rows) for table in paired]
    choice = choose_anchors(anchors, chosen[len(first) - 1], k=k, key=jax.random.fold_in(key, 1))
    pairs = tuple(itertools.product(range(len(first)), range(len(second))))
    model = " and ".join(dict.fromkeys(table.model for table in (first[0], second[0])))
    steps = Steps(progress, len(paired) + 50 + num_permutations)
    num_elements = len(np.unique(chosen[0].species))

    structures = chosen[0].structure_index

    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        clouds, spaces = [], []
        for table in chosen:
            steps.begin(f"neighbours in {table.model} {table.layer}")
            x = np.asarray(choice.mapped(table), np.float64)
            shared = relative(x, x[choice.rows], similarity=similarity, weights=choice.weights)
            ties = jax.random.fold_in(jax.random.fold_in(key, 3), len(clouds))
            clouds.append(cloud_of(shared, structures, ties, num_neighbours=num_neighbours, measures=measures))
            spaces.append(np.asarray(shared, np.float32))
        left, right = clouds[: len(first)], clouds[len(first) :]
        steps.begin(f"layers of {model}")
        estimates = estimates_of(left, right, pairs, structures, measures=measures)
        single = [[_single(cloud) for cloud in side] for side in (left, right)]
        null, draws = Null(chosen[0].species, chosen[0].structure_index), []
        for i, order in enumerate(null.each(jax.random.fold_in(key, 2), number=num_permutations)):
            steps.begin(f"null of the layers of {model}, draw {i + 1} of {num_permutations}")
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


def rows_of(table: EmbeddingTable, rows: np.ndarray) -> EmbeddingTable:
    """Return the table of some rows, which are whole structures."""
    mask = np.zeros(len(table.x), dtype=bool)
    mask[rows] = True
    return table.select(mask)


def _best(
    name: str,
    estimates: tuple[np.ndarray, np.ndarray],
    null: np.ndarray,
    p_values: np.ndarray,
    *,
    shape: tuple[int, int],
) -> LayerMatrix:
    """Matrices over pairs of layers, and the pair with the largest effect."""
    value, influence = estimates
    properties = _measures.properties(name)
    effect = value - null
    best = int(np.nanargmax(effect if properties.larger_is_more_similar else -effect))
    half = half_width((standard_errors(influence[best]), influence.shape[1] - 1))
    first, second = (int(layer) for layer in np.unravel_index(best, shape))
    return LayerMatrix(
        value=value.reshape(shape),
        null=null.reshape(shape),
        effect=effect.reshape(shape),
        p=p_values.reshape(shape),
        best=(first, second),
        best_estimate=Estimate.around(
            float(value[best]),
            float(half),
            limits=properties.range,
            null=float(null[best]),
            effect=Estimate(float(effect[best])),
            p=float(p_values[best]),
            method=JACKKNIFE,
        ),
    )
