"""Nulls and intervals of the measures that use all rows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import numerics, statistics
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._anchoring import Choice
from platonic_jax.analyses._comparison._spaces import Space, project
from platonic_jax.analyses._group_tests import GroupDraws, draw_groups
from platonic_jax.analyses._jackknife import cloud_of, estimates_of, null_influences_of, standard_errors
from platonic_jax.analyses._nulls import EFFECT_DRAWS, Null, Pairs, _sign, p_value_of, permuted_pairs
from platonic_jax.analyses._pairs import Cloud
from platonic_jax.tables import EmbeddingTable


class Drawn(NamedTuple):
    """Measures of p pairs.

    Attributes:
        values: measure → (p,).
        errors: measure → (p,) standard error over structures.
        nulls: null → measure → (d, p).
        p_values: null → measure → (p,).
        effect_errors: null → measure → (p,) standard error over structures of value − mean of the null.
        exchange: null → how many blocks can move.
    """

    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    nulls: Mapping[str, Mapping[str, np.ndarray]]
    p_values: Mapping[str, Mapping[str, np.ndarray]]
    effect_errors: Mapping[str, Mapping[str, np.ndarray]]
    exchange: Mapping[str, Mapping[str, Any]]


def draw(
    spaces: Sequence[Space],
    names: Sequence[str],
    nulls: Mapping[str, Null],
    structure_index: np.ndarray,
    *,
    pairs: Pairs,
    measures: tuple[str, ...],
    num_permutations: int,
    num_neighbours: int,
    key: Mapping[str, Array],
    begin: Callable[[str], None],
) -> Drawn:
    """Compute values, nulls and standard errors of every pair."""
    clouds = [space.cloud for space in spaces]
    structures = structure_index
    values, influence = [], []
    for i, j in pairs:
        begin(f"{names[i]} and {names[j]}")
        values.append(_value(clouds[i], clouds[j], measures=measures))
        influence.append(estimates_of([clouds[i]], [clouds[j]], [(0, 0)], structures, measures=measures))
    influence = {name: np.concatenate([one[name][1] for one in influence]) for name in measures}
    value = {name: np.array([float(one[name]) for one in values]) for name in measures}
    null_values, p_values, errors, exchange = {}, {}, {}, {}
    for kind, null in nulls.items():
        rows = []
        for i, order in enumerate(null.each(key[kind], number=num_permutations)):
            begin(f"{kind.replace('_', ' ')}, draw {i + 1} of {num_permutations}")
            rows.append(jax.tree.map(np.asarray, permuted_pairs(clouds, clouds, order, pairs, measures=measures)))
        null_values[kind] = {name: np.array([row[name] for row in rows]) for name in measures}
        exchange[kind] = null.exchange()
        if null.groups is None:
            p_values[kind] = {
                name: p_value_of(name, value[name], null_values[kind][name], possible=exchange[kind]["can_be_tested"])
                for name in measures
            }
        else:
            tests = _within_groups(
                spaces, null, pairs, measures, num_permutations, num_neighbours, jax.random.fold_in(key[kind], 1), begin
            )
            p_values[kind] = {name: tests.p_values(name, sign=_sign(name)) for name in measures}
            exchange[kind] = dict(exchange[kind]) | {
                "num_groups": tests.num_groups,
                "num_tested_groups": max((tests.tested(name) for name in measures), default=0),
                "can_be_tested": any(tests.tested(name) for name in measures),
            }
        begin(f"{kind.replace('_', ' ')}, intervals of effects")
        groups = np.zeros(len(structures), int) if null.groups is None else null.groups
        of_null = null_influences_of(
            clouds,
            clouds,
            pairs,
            structures,
            null.orders(key[kind], number=EFFECT_DRAWS),
            np.unique(groups, return_inverse=True)[1].astype(np.int32),
            measures=measures,
        )
        errors[kind] = {name: standard_errors(influence[name] - of_null[name]) for name in measures}
    return Drawn(
        value, {name: standard_errors(influence[name]) for name in measures}, null_values, p_values, errors, exchange
    )


def _within_groups(
    spaces: Sequence[Space],
    null: Null,
    pairs: Pairs,
    measures: tuple[str, ...],
    num_permutations: int,
    num_neighbours: int,
    key: Array,
    begin: Callable[[str], None],
) -> GroupDraws:
    def rows_of(space: Space) -> Callable[[np.ndarray], np.ndarray]:
        every, mean, scale = np.asarray(space.cloud.rows), np.asarray(space.mean), float(space.scale)
        return lambda rows: every[rows] * scale + mean

    assert null.groups is not None
    return draw_groups(
        [rows_of(space) for space in spaces],
        pairs,
        groups=null.groups,
        blocks=null.blocks,
        measures=measures,
        num_neighbours=num_neighbours,
        num_permutations=num_permutations,
        key=key,
        begin=begin,
    )


@partial(jax.jit, static_argnames="measures")
def _value(a: Cloud, b: Cloud, *, measures: tuple[str, ...]) -> dict[str, Array]:
    weights = jnp.ones(a.rows.shape[0])
    a, b = (_pairs.make_cloud(cloud.rows.astype(jnp.float64), cloud.neighbours, weights) for cloud in (a, b))
    values = _pairs.compared((a,), (b,), ((0, 0),), measures=measures)
    return {name: value[0] for name, value in values.items()}


class Redrawn(NamedTuple):
    """Standard errors of p pairs over resamples of the structures, with anchors drawn anew from each.

    Attributes:
        values: measure → (p,) over anchors and structures together; None where only some of the rows are compared.
        anchors: measure → (p,) over anchors alone.
        effects: null → measure → (p,) over anchors alone, of value − mean of the null.
    """

    values: Mapping[str, np.ndarray] | None
    anchors: Mapping[str, np.ndarray]
    effects: Mapping[str, Mapping[str, np.ndarray]]


class Resample(NamedTuple):
    """A bootstrap sample of structures: anchors drawn from it, and how often each row of the pool stands in it."""

    choice: Choice
    weights: np.ndarray


def resamples(
    draw_anchors: Callable[..., Choice], pool: np.ndarray, structure_index: np.ndarray, *, number: int, key: Array
) -> list[Resample]:
    """Resample the structures of a pool of rows, and draw anchors from each resample."""
    out = []
    for i in range(number):
        index, anchor_key = _resampled(key, i, structure_index[pool])
        index = np.asarray(index)
        choice = draw_anchors(key=anchor_key, pool=pool[index])
        out.append(Resample(choice, np.bincount(index, minlength=len(pool)).astype(np.float32)))
    return out


@jax.jit
def _resampled(key: Array, i: Array, structures: Array) -> tuple[Array, Array]:
    """Rows of a resample of the structures, and a key for its anchors."""
    first, second = jax.random.split(jax.random.fold_in(key, i))
    return statistics.resample_index(first, structures), second


def redraw(
    tables: Sequence[EmbeddingTable],
    samples: Sequence[Resample],
    nulls: Mapping[str, Null],
    rows: np.ndarray,
    structure_index: np.ndarray,
    *,
    pairs: Pairs,
    measures: tuple[str, ...],
    similarity: str,
    num_neighbours: int,
    key: Mapping[str, Array],
    begin: Callable[[str], None],
) -> Redrawn:
    """Compare the models on rows of whole structures, in the space of the anchors of every resample."""
    structures = structure_index[rows]
    orders = {kind: null.orders(key[kind], rows=rows, number=EFFECT_DRAWS) for kind, null in nulls.items()}
    whole, draws = len(rows) == len(structure_index), []
    for r, (choice, weights) in enumerate(samples):
        begin(f"draw {r + 1} of {len(samples)} of the anchors")
        clouds, resampled = [], []
        for i, table in enumerate(tables):
            x = np.asarray(choice.mapped(table), np.float32)
            shared = project(x, choice.rows, rows, choice.weights, similarity=similarity)
            ties = jax.random.fold_in(key["ties"], i)
            space = partial(cloud_of, shared, structures, ties, num_neighbours=num_neighbours, measures=measures)
            clouds.append(space())
            if whole:
                resampled.append(space(weights=weights))
        one = _values_and_nulls(clouds, resampled, weights, orders, pairs=pairs, measures=measures)
        draws.append(jax.tree.map(np.asarray, one))
    spread = lambda values: np.std(values, axis=0, ddof=1)
    return Redrawn(
        {name: spread([resampled[name] for resampled, _, _ in draws]) for name in measures} if whole else None,
        {name: spread([values[name] for _, values, _ in draws]) for name in measures},
        {
            kind: {name: spread([values[name] - means[kind][name] for _, values, means in draws]) for name in measures}
            for kind in nulls
        },
    )


@partial(jax.jit, static_argnames=("pairs", "measures"))
def _values_and_nulls(
    clouds: list[Cloud],
    resampled: list[Cloud],
    weights: Array,
    orders: dict[str, Array],
    *,
    pairs: Pairs,
    measures: tuple[str, ...],
) -> tuple[dict[str, Array], dict[str, Array], dict[str, dict[str, Array]]]:
    """Measures of each pair of the resampled rows, if any, and of all, and the means of a few draws of each null."""
    draw = lambda order: _pairs.permuted_pairs(clouds, clouds, order, pairs, measures=measures)
    unmoved = jnp.arange(clouds[0].rows.shape[0], dtype=jnp.int32)
    # All in one loop, whose body is compiled once.
    values = numerics.map_rows(draw, jnp.concatenate([unmoved[None], *orders.values()]))
    ends = np.cumsum([1, *map(len, orders.values())])
    nulls = {
        kind: {name: jnp.mean(draws[first:last], axis=0) for name, draws in values.items()}
        for kind, first, last in zip(orders, ends[:-1], ends[1:], strict=True)
    }
    return (
        _pairs.compared(resampled, resampled, pairs, weights, measures=measures) if resampled else {},
        {name: draws[0] for name, draws in values.items()},
        nulls,
    )
