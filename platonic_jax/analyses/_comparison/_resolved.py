"""Every pair of models within each group of atoms: of one element, of one family, of one label of the user's."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array

from platonic_jax import numerics, statistics
from platonic_jax.analyses import _measures, _pairs
from platonic_jax.analyses._comparison._record import Resolved
from platonic_jax.analyses._comparison._spaces import Space
from platonic_jax.analyses._jackknife import half_width
from platonic_jax.analyses._pairs import Cloud, make_cloud
from platonic_jax.labels import families
from platonic_jax.tables import EmbeddingTable

BY = ("element", "family")
LEAST_ATOMS = 100
LEAST_STRUCTURES = 20
GROUP_PERMUTATIONS = 20


def group_labels(by: str | np.ndarray, table: EmbeddingTable) -> tuple[str, np.ndarray]:
    """A name and a label for every row.

    Args:
        by: `element`, `family` (the anonymous formula), or labels, one a row or one a structure.
        table: the rows.

    Returns:
        What the groups are called, and (n,) words.
    """
    if isinstance(by, str):
        if by == "element":
            return by, np.array(chemical_symbols)[table.species]
        if by != "family":
            raise ValueError(f"`by` must be among {', '.join(BY)}, or labels of rows or of structures, got {by!r}.")
        if table.structures is None:
            raise ValueError("`by` must not be family where tables bring no structures: give labels instead.")
        return by, families(table.structures)[table.structure_index]
    labels = np.asarray(by)
    structures = int(table.structure_index[-1]) + 1 if table.structures is None else len(table.structures)
    if labels.shape == (structures,) and structures != len(table.x):
        labels = labels[table.structure_index]
    if labels.shape != (len(table.x),):
        raise ValueError(
            f"`by` must have one label for each of {len(table.x)} rows or of {structures} structures, "
            f"got shape {labels.shape}."
        )
    return "labels", labels.astype(str)


def resolve(
    spaces: Sequence[Space],
    labels: np.ndarray,
    table: EmbeddingTable,
    *,
    pairs: tuple[tuple[int, int], ...],
    measures: Sequence[str],
    num_neighbours: int,
    key: Array,
    begin: Callable[[str], None],
) -> Resolved:
    """Values, intervals and nulls of every pair within every group that has enough atoms.

    Args:
        spaces: the models.
        labels: (n,) group of each row.
        table: elements and structures of the rows.
        pairs: pairs (i, j) of models, i < j.
        measures: names from `_pairs.MEASURES`.
        num_neighbours: neighbours that measures of neighbours compare.
        key: typed key for the permutations.
        begin: called with what is being done.

    Returns:
        The groups, the one with most atoms first.
    """
    names, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rows_of = {g: np.flatnonzero(member == g) for g in np.argsort(-sizes, kind="stable").tolist()}
    structures_of = {g: len(np.unique(table.structure_index[rows])) for g, rows in rows_of.items()}
    least = max(LEAST_ATOMS, num_neighbours + 1)
    kept = [g for g in rows_of if sizes[g] >= least and structures_of[g] >= LEAST_STRUCTURES]
    estimated = []
    for place, g in enumerate(kept):
        begin(f"within {names[g]}")
        within = jax.random.fold_in(key, place)
        settings = {"pairs": pairs, "measures": tuple(measures), "num_neighbours": num_neighbours, "key": within}
        estimated.append(_group(spaces, rows_of[g], table, **settings) | {"num_structures": structures_of[g]})
    return Resolved(
        labels=[str(names[g]) for g in kept],
        num_atoms=sizes[kept],
        num_structures=np.array([structures_of[g] for g in kept], dtype=int),
        measures={name: _stacked(name, estimated, pairs, len(spaces)) for name in measures},
        left_out={str(names[g]): int(sizes[g]) for g in rows_of if g not in kept},
        settings={
            "least_atoms": least,
            "least_structures": LEAST_STRUCTURES,
            "num_permutations": GROUP_PERMUTATIONS,
            "interval": "value ± t standard errors: infinitesimal jackknife over structures; for these anchors only",
        },
    )


def _group(
    spaces: Sequence[Space],
    rows: np.ndarray,
    table: EmbeddingTable,
    *,
    pairs: tuple[tuple[int, int], ...],
    measures: tuple[str, ...],
    num_neighbours: int,
    key: Array,
) -> dict[str, Any]:
    """For each measure `value`, `error` and `null` of each pair, on one group's rows.

    Rows of weight 0 fill the arrays up to one of a few sizes, so that not every group compiles anew.
    """
    size = _rounded_up(len(rows))
    fill = size - len(rows)
    filled = jnp.asarray(np.pad(rows, (0, fill)))
    weights = jnp.asarray(np.pad(np.ones(len(rows)), (0, fill)))
    species = jnp.asarray(np.pad(table.species[rows], (0, fill), constant_values=-1))
    clusters = jnp.asarray(np.pad(table.structure_index[rows], (0, fill), mode="edge"))
    clouds = tuple(
        _within(
            space,
            filled,
            weights,
            clusters,
            jax.random.fold_in(key, i),
            num_neighbours=num_neighbours,
            measures=measures,
        )
        for i, space in enumerate(spaces)
    )
    estimates = [_estimate(clouds[i], clouds[j], weights, clusters, measures=measures) for i, j in pairs]
    nulls = _null(
        tuple(_pairs.single(cloud) for cloud in clouds),
        weights.astype(jnp.float32),
        species,
        clusters,
        key,
        pairs=pairs,
        measures=measures,
    )
    return {
        name: {
            "value": np.array([float(value[name]) for value, _ in estimates]),
            "error": np.array([float(error[name]) for _, error in estimates]),
            "null": np.asarray(nulls[name]).mean(axis=0),
        }
        for name in measures
    }


@partial(jax.jit, static_argnames=("num_neighbours", "measures"))
def _within(
    space: Space,
    rows: Array,
    weights: Array,
    clusters: Array,
    key: Array,
    *,
    num_neighbours: int,
    measures: tuple[str, ...],
) -> Cloud:
    centred = space.cloud.rows[rows].astype(jnp.float64)
    nearest = _pairs.neighbour_lists(
        centred * space.scale + space.mean,
        clusters,
        num_neighbours=num_neighbours,
        key=key,
        among=weights > 0,
        measures=measures,
    )
    return make_cloud(centred, nearest, weights)


@partial(jax.jit, static_argnames="measures")
def _estimate(a: Cloud, b: Cloud, weights: Array, clusters: Array, *, measures: tuple[str, ...]) -> tuple[Any, Any]:
    values, slopes = _pairs.influences(a, b, weights, measures=measures)
    return values, {name: statistics.cluster_error(slope, clusters=clusters) for name, slope in slopes.items()}


@partial(jax.jit, static_argnames=("pairs", "measures"))
def _null(
    clouds: tuple[Cloud, ...],
    weights: Array,
    species: Array,
    clusters: Array,
    key: Array,
    *,
    pairs: tuple[tuple[int, int], ...],
    measures: tuple[str, ...],
) -> dict[str, Array]:
    draw = lambda order: _pairs.permuted_pairs(clouds, clouds, order, pairs, weights, measures=measures)
    orders = statistics.permutations(
        key, n=len(species), groups=species, blocks=clusters, num_permutations=GROUP_PERMUTATIONS
    )
    return numerics.map_rows(draw, orders)


def _rounded_up(size: int) -> int:
    """The next of sizes that grow by a factor of √2."""
    return int(np.ceil(2 ** (np.ceil(2 * np.log2(size)) / 2)))


def _stacked(
    name: str, groups: Sequence[Mapping[str, Any]], pairs: Sequence[tuple[int, int]], m: int
) -> dict[str, np.ndarray]:
    properties = _measures.properties(name)
    out = {field: np.full((len(groups), m, m), np.nan) for field in ("value", "low", "high", "null_within_element")}
    for g, group in enumerate(groups):
        value, error, null = (group[name][field] for field in ("value", "error", "null"))
        half = half_width((error, group["num_structures"] - 1))
        low, high = (np.clip(value + sign * half, *properties.range) for sign in (-1, 1))
        for p, (i, j) in enumerate(pairs):
            entries = zip(out.values(), (value[p], low[p], high[p], null[p]), strict=True)
            for array, number in entries:
                array[g, i, j] = array[g, j, i] = number
        for array in list(out.values())[:3]:
            np.fill_diagonal(array[g], 1.0)
    return out
