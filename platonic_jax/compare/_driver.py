"""From tables to a comparison."""

import dataclasses
import itertools
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import _pairs, groups, metrics, numerics, statistics
from platonic_jax._pairs import Cloud
from platonic_jax.compare import _measures
from platonic_jax.compare._measures import DEFAULT_MEASURES, MEASURES, THINNED, TRANSPORT, Thinned
from platonic_jax.compare._record import Comparison, Matrix
from platonic_jax.compare._resolved import group_labels, resolve
from platonic_jax.compare._spaces import (
    Choice,
    Space,
    choose_anchors,
    display_names,
    project,
    project_thinned,
    whole_structures,
)
from platonic_jax.tables import EmbeddingTable, element_baseline, pair

# Draws nearer to the value than this share of it are equal to it: single precision tells no more.
DRAW_RESOLUTION = 1e-4
MAP_ROWS = 20_000
MAP_NEIGHBOURS = 5
# What rows are shuffled within, and the field of `Matrix` where its null stands.
NULLS = {"all": "null", "element": "null_within_element", "coordination": "null_within_coordination"}

# One stream of randomness each, so that adding a draw to one leaves the others as they are.
_STREAMS = (
    "anchors",
    "null",
    "null_within_element",
    "bootstrap",
    "transport_rows",
    "map_rows",
    "null_within_coordination",
    "resolved",
)

Pairs = tuple[tuple[int, int], ...]


def compare(
    tables: Sequence[EmbeddingTable],
    *,
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "cosine",
    seed: int = 0,
    measures: Sequence[str] = DEFAULT_MEASURES,
    nulls: Sequence[str] = ("all", "element"),
    by: str | np.ndarray | Sequence[str] = (),
    num_neighbours: int = 10,
    num_permutations: int = 100,
    num_bootstraps: int = 100,
    num_transport_draws: int = 20,
    num_transport_rows: int = 300,
    element_alone: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Compare any number of models on the same atoms, in the space of the same anchors.

    Args:
        tables: two or more tables; what one model skipped is left out of all, any other difference of rows is an error.
        anchors: how anchors are chosen, in the space of the first table: `random`, `farthest_point`, `kmeans` or
            `direct`; or the anchors themselves, as rows, or as atoms of structures (`anchors.Anchors`).
        k: the number of anchors, where a method chooses them.
        similarity: of rows to anchors, as in `projection.relative`.
        seed: everything random follows from it.
        measures: names from `MEASURES`.
        nulls: what rows are shuffled within: `all` atoms, each `element`, each element and `coordination` (number of
            neighbours; needs the structures).
        by: also resolve every matrix by `element`, by `family` (anonymous formula), by both (a tuple), or by labels,
            one for each atom or each structure of those that all models share. Groups of fewer than 100 atoms or 20
            structures are left out, and so are measures that see thinned rows.
        num_neighbours: the neighbours that `mutual_knn` compares, and the `overlaps` of single atoms.
        num_permutations: draws of each null.
        num_bootstraps: draws of each interval.
        num_transport_draws: draws of each null and interval of measures that see thinned rows, which cost far more.
        num_transport_rows: atoms that enter optimal transport and other measures of all pairs of rows, at most: whole
            structures, drawn at random, the same for every pair of models.
        element_alone: whether the chemical element alone stands beside the models as a baseline.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        The comparison.

    Raises:
        ValueError: fewer than two tables, tables of different atoms, more anchors than atoms, an unknown method,
            measure, null or grouping, a measure that did not converge.
    """
    if len(tables) < 2:
        raise ValueError(f"`tables` must be at least two, got {len(tables)}: a model is compared with another one.")
    check_among("measures", measures, MEASURES)
    check_among("nulls", nulls, NULLS)
    paired = pair(*tables)
    if element_alone:
        paired.append(element_baseline(paired[0]))
    first, names, m = paired[0], display_names(paired), len(paired)
    key = {name: jax.random.fold_in(jax.random.key(seed), i) for i, name in enumerate(_STREAMS)}
    groupings = dict(group_labels(entry, first) for entry in ([by] if isinstance(by, str | np.ndarray) else by))
    within = {NULLS[name]: _groups_of_null(name, first) for name in nulls}
    choice = choose_anchors(anchors, first, k=k, key=key["anchors"])
    anchor_index = choice.rows
    thinned_index = whole_structures(first.structure_index, num_transport_rows, key=key["transport_rows"])
    map_index = whole_structures(first.structure_index, MAP_ROWS, key=key["map_rows"])

    drawn = tuple(name for name in measures if name in _pairs.MEASURES)
    thinned = [name for name in measures if name in THINNED]
    pairs: Pairs = tuple(itertools.combinations(range(m), 2))
    draws = len(within) * num_permutations + num_bootstraps if drawn else 0
    steps = Steps(progress, m + len(pairs) * bool(drawn) + draws + len(thinned) * m * m + len(groupings) * 50)

    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        spaces, maps = [], []
        for table, name in zip(paired, names, strict=True):
            steps.begin(f"neighbours of {name}")
            space, shared = project(
                jnp.asarray(choice.mapped(table), jnp.float64),
                jnp.asarray(anchor_index),
                jnp.asarray(thinned_index),
                choice.weights,
                similarity=similarity,
                num_neighbours=num_neighbours,
            )
            spaces.append(space)
            maps.append(_maps(jnp.asarray(table.x), shared, map_index))
            del shared

        matrices = {}
        if drawn:
            values, nulls_of, samples = _draw(
                [space.cloud for space in spaces],
                names,
                first,
                within,
                pairs=pairs,
                measures=drawn,
                num_permutations=num_permutations,
                num_bootstraps=num_bootstraps,
                key=key,
                steps=steps,
            )
            for name in drawn:
                settings = {"num_permutations": num_permutations, "num_bootstraps": num_bootstraps} | {
                    "num_rows": len(first.x),
                    "interval": "value and spread of a bootstrap over structures",
                }
                if name == "mutual_knn":
                    settings |= {"k": num_neighbours, "metric": "cosine"}
                if name == "cka":
                    settings |= {"debiased": True}
                matrices[name] = _matrix(
                    name,
                    dict(zip(pairs, values[name], strict=True)),
                    {null: dict(zip(pairs, found[name].T, strict=True)) for null, found in nulls_of.items()},
                    dict(zip(pairs, samples[name].T, strict=True)),
                    m=m,
                    settings=settings,
                )
        if thinned:
            clouds = _Thinned(
                paired,
                names,
                spaces,
                within,
                choice,
                index=thinned_index,
                similarity=similarity,
                num_draws=num_transport_draws,
                key=key,
            )
            for name in thinned:
                matrices[name] = clouds.matrix(name, steps=steps)
        resolved = {
            kind: resolve(spaces, labels, first, pairs=pairs, measures=drawn, key=key["resolved"], begin=steps.begin)
            for kind, labels in groupings.items()
        }
        nearest = [np.asarray(space.cloud.neighbours)[map_index] for space in spaces]

    return Comparison(
        models=names,
        kinds=[table.kind for table in paired],
        anchors={
            "method": choice.method,
            "k": len(anchor_index),
            "similarity": similarity,
            "weights": None if choice.weights is None else choice.weights.tolist(),
            "metrics": [] if choice.record is None else list(choice.record.metrics),
            "model": names[0],
            "row": anchor_index.tolist(),
            "structure": [first.structure_name(i) for i in first.structure_index[anchor_index].tolist()],
            "atom": first.atom_index[anchor_index].tolist(),
        },
        measures={name: matrices[name] for name in measures},
        maps=maps,
        rows=map_index,
        neighbours=[index[:, :MAP_NEIGHBOURS] for index in nearest],
        overlaps=_overlaps(nearest, pairs),
        species=first.species,
        structure_index=first.structure_index,
        atom_index=first.atom_index,
        structures=first.structures,
        provenance={
            **provenance(tables, paired, names, seed=seed),
            "subsampling": {
                **{
                    name: f"{len(thinned_index)} of {len(first.x)} atoms, whole structures drawn at random"
                    for name in thinned
                },
                "maps": f"{len(map_index)} of {len(first.x)} atoms, whole structures drawn at random",
                "all other measures": "none: every atom",
            },
            "precision": "values in float64, draws of nulls and intervals in float32",
            "num_neighbours": num_neighbours,
        },
        resolved=resolved,
    )


def check_among(name: str, chosen: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> None:
    """Refuse names that are not known, naming those that are."""
    unknown = [entry for entry in chosen if entry not in known]
    if unknown:
        raise ValueError(f"`{name}` must be among {', '.join(known)}, got {unknown[0]!r}.")


def _groups_of_null(null: str, table: EmbeddingTable) -> np.ndarray:
    """(n,) what rows are shuffled within."""
    if null == "all":
        return np.zeros_like(table.species)
    if null == "element":
        return table.species
    if table.structures is None:
        raise ValueError("`nulls` must not hold coordination where tables bring no structures.")
    row = np.asarray(table.structures.offsets)[table.structure_index] + table.atom_index
    return groups.combined(table.species, groups.coordination(table.structures)[row])


@jax.jit
def permutation_of(key: Array, i: Array, labels: Array) -> Array:
    """Draw i of a null, made anew from its key."""
    return statistics.permutations(key, n=labels.shape[0], groups=labels, num_permutations=1, first=i)[0]


@jax.jit
def _weights(key: Array, i: Array, clusters: Array) -> Array:
    return statistics.resample_weights(jax.random.fold_in(key, i), clusters).astype(jnp.float32)


@partial(jax.jit, static_argnames="measures")
def _value(a: Cloud, b: Cloud, *, measures: tuple[str, ...]) -> dict[str, Array]:
    weights = jnp.ones(a.rows.shape[0])
    a, b = (_pairs.make_cloud(cloud.rows.astype(jnp.float64), cloud.neighbours, weights) for cloud in (a, b))
    found = _pairs.compared((a,), (b,), ((0, 0),), measures=measures)
    return {name: value[0] for name, value in found.items()}


@partial(jax.jit, static_argnames=("pairs", "measures"))
def _permuted(clouds: list[Cloud], order: Array, *, pairs: Pairs, measures: tuple[str, ...]) -> dict[str, Array]:
    moved = [_pairs.permuted(cloud, order) for cloud in clouds]
    return _pairs.compared(clouds, moved, pairs, measures=measures)


@partial(jax.jit, static_argnames=("pairs", "measures"))
def _resampled(clouds: list[Cloud], weights: Array, *, pairs: Pairs, measures: tuple[str, ...]) -> dict[str, Array]:
    loaded = [_pairs.weighted(cloud, weights) for cloud in clouds]
    return _pairs.compared(loaded, loaded, pairs, weights, measures=measures)


def _draw(
    clouds: list[Cloud],
    names: Sequence[str],
    table: EmbeddingTable,
    within: Mapping[str, np.ndarray],
    *,
    pairs: Pairs,
    measures: tuple[str, ...],
    num_permutations: int,
    num_bootstraps: int,
    key: Mapping[str, Array],
    steps: "Steps",
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Values (p,), nulls (d, p) and bootstrap draws (b, p) of p pairs, for each measure."""
    values = []
    for i, j in pairs:
        steps.begin(f"{names[i]} and {names[j]}")
        values.append(_value(clouds[i], clouds[j], measures=measures))

    def gathered(what: str, draw: Callable[[int], dict[str, Array]], num: int) -> dict[str, np.ndarray]:
        found = []
        for i in range(num):
            steps.begin(f"{what}, draw {i + 1} of {num}")
            found.append({name: np.asarray(value) for name, value in draw(i).items()})
        return {name: np.array([entry[name] for entry in found]) for name in measures}

    found = {}
    for null, labels in within.items():
        labels = jnp.asarray(labels)
        draw = lambda i, null=null, labels=labels: _permuted(
            clouds, permutation_of(key[null], i, labels), pairs=pairs, measures=measures
        )
        found[null] = gathered(null.replace("_", " "), draw, num_permutations)
    structures = jnp.asarray(table.structure_index)
    draw = lambda i: _resampled(clouds, _weights(key["bootstrap"], i, structures), pairs=pairs, measures=measures)
    samples = gathered("intervals", draw, num_bootstraps)
    return {name: np.array([float(value[name]) for value in values]) for name in measures}, found, samples


class _Thinned:
    """Measures of a few hundred rows: for each draw of a null the clouds of all models, made once for all measures."""

    def __init__(
        self,
        tables: Sequence[EmbeddingTable],
        names: Sequence[str],
        spaces: Sequence[Space],
        within: Mapping[str, np.ndarray],
        choice: Choice,
        *,
        index: np.ndarray,
        similarity: str,
        num_draws: int,
        key: Mapping[str, Array],
    ) -> None:
        self.tables, self.names, self.within, self.key = tables, names, within, key
        self.choice, self.index, self.similarity, self.num_draws = choice, index, similarity, num_draws
        self.clouds = [space.thinned for space in spaces]
        self.single = [cloud.astype(jnp.float32) for cloud in self.clouds]
        structures = jnp.asarray(tables[0].structure_index[index])
        half = max(2, len(index) // 2)
        self.samples = jnp.stack(
            [
                statistics.subsample_index(jax.random.fold_in(key["bootstrap"], i), structures, num_rows=half)
                for i in range(num_draws)
            ]
        )
        self.seen_from_elsewhere: dict[tuple[str, int], Array] = {}

    def matrix(self, name: str, *, steps: "Steps") -> Matrix:
        """One measure over all pairs; over both orders of each, where it is not symmetric."""
        measure, properties = THINNED[name], metrics.properties(name)
        m = len(self.clouds)
        both_orders = itertools.product(range(m), repeat=2)
        pairs = itertools.combinations_with_replacement(range(m), 2) if properties.symmetric else both_orders
        values, nulls, samples = {}, {null: {} for null in self.within}, {}
        drawn = measure.drawn or measure.value
        for i, j in pairs:
            steps.begin(f"{name} of {self.names[i]} and {self.names[j]}")
            values[i, j] = float(_measures.thinned_value(self.clouds[i], self.clouds[j], measure=measure.value))
            if np.isnan(values[i, j]) and not measure.paired:
                raise ValueError(
                    f"`{name}` of {self.names[i]} and {self.names[j]} must converge, and did not: "
                    "give it fewer rows, or leave the measure out."
                )
            if i == j:
                continue
            for null in self.within:
                others = self.shuffled(null, j, measure)
                nulls[null][i, j] = np.asarray(_measures.thinned_null(self.single[i], others, measure=drawn))
            samples[i, j] = np.asarray(
                _measures.thinned_samples(self.single[i], self.single[j], self.samples, measure=drawn)
            )
        settings = {
            "num_permutations": self.num_draws,
            "num_bootstraps": self.num_draws,
            "num_rows": len(self.index),
            "rows": self.index.tolist(),
            "interval": "value and spread of random halves of the structures",
        }
        if name == TRANSPORT:
            settings |= {
                "epsilon": _measures.EPSILON,
                "epsilon_unit": "mean squared distance between the two clouds",
                "cost": "squared Euclidean distance in the space of the anchors",
            }
        if not measure.paired:
            settings["null"] = (
                "the second model's anchors are other atoms (of the same element), for transport sees no row order"
            )
        return _matrix(name, values, nulls, samples, m=m, settings=settings)

    def shuffled(self, null: str, model: int, measure: Thinned) -> Array:
        """(d, t, k) the rows of a model in other orders; where order is not seen, in the space of other anchors."""
        labels = self.within[null]
        if measure.paired:
            orders = statistics.permutations(
                self.key[null],
                n=len(self.index),
                groups=jnp.asarray(labels[self.index]),
                num_permutations=self.num_draws,
            )
            return self.single[model][orders]
        if (null, model) not in self.seen_from_elsewhere:
            x = jnp.asarray(self.choice.mapped(self.tables[model]), jnp.float32)
            rows, labels = jnp.asarray(self.index), jnp.asarray(labels)
            seen = []
            for i in range(self.num_draws):
                others = permutation_of(self.key[null], i, labels)[jnp.asarray(self.choice.rows)]
                seen.append(project_thinned(x, others, rows, self.choice.weights, similarity=self.similarity))
            self.seen_from_elsewhere[null, model] = jnp.stack(seen)
        return self.seen_from_elsewhere[null, model]


def _matrix(
    name: str,
    values: Mapping[tuple[int, int], float],
    nulls: Mapping[str, Mapping[tuple[int, int], np.ndarray]],
    samples: Mapping[tuple[int, int], np.ndarray],
    *,
    m: int,
    settings: Mapping[str, Any],
) -> Matrix:
    """One measure over all pairs. Draws are the same for every pair, so that pairs can be compared with each other."""
    properties = metrics.properties(name)
    fields = [field.name for field in dataclasses.fields(Matrix) if field.name != "settings"]
    out = {field: np.full((m, m), np.nan) for field in fields}
    same = {(i, i): 1.0 for i in range(m)} if properties.range[1] == 1 and name in _pairs.MEASURES else {}
    for (i, j), value in {**same, **values}.items():
        entry = {"value": value, "low": value, "high": value}
        if i != j:
            # Resampled rows align with their own copies, which lifts all draws alike: their spread is used, not their
            # place.
            drawn = samples[i, j]
            interval = value + np.quantile(drawn, [0.025, 0.975]) - drawn.mean()
            entry["low"], entry["high"] = np.clip(interval, *properties.range)
            for null, found in nulls.items():
                closeness = found[i, j] - value if properties.larger_is_more_similar else value - found[i, j]
                extreme = closeness >= -DRAW_RESOLUTION * abs(value)
                entry[null] = found[i, j].mean()
                defined = np.isfinite(closeness).all()
                entry[null.replace("null", "p_value")] = (1 + extreme.sum()) / (1 + len(extreme)) if defined else np.nan
        for field, number in entry.items():
            out[field][i, j] = number
            if properties.symmetric:
                out[field][j, i] = number
    common = {"larger_is_more_similar": properties.larger_is_more_similar, "range": list(properties.range)}
    if "null_within_coordination" not in nulls:
        del out["null_within_coordination"], out["p_value_within_coordination"]
    return Matrix(**out, settings={**common, **settings})


def _maps(x: Array, shared: Array, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The maps' axes are those of all rows; only the chosen rows are kept."""
    raw, together = (
        # A cloud of one column has no second axis but an empty one.
        numerics.pca(jnp.pad(cloud, ((0, 0), (0, max(0, 2 - cloud.shape[1])))), num_components=2)
        for cloud in (x, shared)
    )
    return {
        "raw": np.asarray(raw.scores)[rows],
        "shared": np.asarray(together.scores)[rows],
        "raw_explained": np.asarray(raw.explained),
        "shared_explained": np.asarray(together.explained),
    }


def _overlaps(nearest: Sequence[np.ndarray], pairs: Pairs) -> np.ndarray:
    """(m, m, r) the share of neighbours in common, of lists (r, j) of each model."""
    out = np.ones((len(nearest), len(nearest), len(nearest[0])), np.float32)
    for i, j in pairs:
        out[i, j] = out[j, i] = metrics.neighbour_overlap(jnp.asarray(nearest[i]), jnp.asarray(nearest[j]))
    return out


def provenance(
    tables: Sequence[EmbeddingTable], paired: Sequence[EmbeddingTable], names: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """What a result was made of, and with."""
    first = paired[0]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "num_atoms": len(first.x),
        "num_structures": first.num_structures,
        "left_out": {entry["id"]: entry["reason"] for table in tables for entry in table.skipped},
        "device": jax.devices()[0].device_kind,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {
            name: version(name) for name in ("platonic-jax", "platonic-adapters", "jax", "jaxlib", "ott-jax", "numpy")
        },
        "stores": {name: dict(table.provenance) for name, table in zip(names, paired, strict=True)},
    }


class Steps:
    """Tells the caller what begins, and how far the whole is."""

    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def begin(self, what: str) -> None:
        """One more step, of which the caller is told the name."""
        if self.progress:
            self.progress(what, self.done, self.total)
        self.done += 1
