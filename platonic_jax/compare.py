"""The driver: tables × measures → values, nulls, intervals, provenance.

Every pair of models is compared in the space of the same anchor atoms, by every measure. Each value stands beside what
chance gives (rows permuted over all atoms, and within each element), beside its 95 % interval (bootstrap over
structures), and beside two baselines: the element alone, and a random-weight model where one is among the tables.

Values are computed in float64, whatever the stored rows are: atoms that symmetry makes equivalent are equally near up
to the models' own noise, and single precision would choose among them by its rounding. The draws of nulls and intervals
are computed in float32.
"""

import dataclasses
import itertools
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from threadpoolctl import threadpool_limits

from platonic_jax import anchors as anchor_methods
from platonic_jax import metrics, numerics, projection, statistics
from platonic_jax._files import replacing
from platonic_jax.tables import EmbeddingTable, element_baseline, pair

__all__ = ["MEASURES", "Comparison", "Matrix", "compare"]

TRANSPORT = "sinkhorn_divergence"
EPSILON = 0.05
# Draws nearer to the value than this share of it are equal to it: single precision tells no more.
DRAW_RESOLUTION = 1e-4
MAP_ROWS = 20_000
MAP_NEIGHBOURS = 5

# One stream of randomness each, so that adding a draw to one leaves the others as they are.
_STREAMS = ("anchors", "null", "null_within_element", "bootstrap", "transport_rows", "map_rows")


@dataclasses.dataclass(frozen=True, eq=False)
class Matrix:
    """One measure over all pairs of models; every array is (m, m), in the order of the models.

    Attributes:
        value: the measure itself.
        low: lower end of the 95 % interval: the value and the spread of a bootstrap over structures.
        high: upper end of the interval.
        null: mean of the measure when rows are permuted over all atoms.
        null_within_element: mean of the measure when rows are permuted within each element.
        p_value: share of draws of `null` at least as similar as the value, the value itself counted in.
        p_value_within_element: the same for `null_within_element`.
        settings: parameters of the measure, its direction and range, the numbers of draws and of rows.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    null_within_element: np.ndarray
    p_value: np.ndarray
    p_value_within_element: np.ndarray
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found, ready for tables, plots and reports.

    Attributes:
        models: m display names.
        kinds: for each, `model`, `random` (re-drawn weights) or `element` (the baseline without a model).
        anchors: `method`, `k`, the model in whose space they were chosen, and for each anchor its `row`,
            `structure` and `atom`.
        measures: name → `Matrix`.
        maps: for each model the first two principal components, (r, 2), of its `raw` rows and of its rows in the
            `shared` space, and the shares of variance they explain, (2,).
        rows: (r,) the rows that stand in the maps.
        neighbours: for each model, (r, 5) rows nearest in the shared space.
        species: (n,) atomic numbers.
        structure_index: (n,) structure of each row.
        atom_index: (n,) place of each atom in its structure.
        structures: the structures, or None where the tables brought none.
        provenance: stores, versions, seed, what was left out.
    """

    models: list[str]
    kinds: list[str]
    anchors: Mapping[str, Any]
    measures: Mapping[str, Matrix]
    maps: Sequence[Mapping[str, np.ndarray]]
    rows: np.ndarray
    neighbours: Sequence[np.ndarray]
    species: np.ndarray
    structure_index: np.ndarray
    atom_index: np.ndarray
    structures: Any
    provenance: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Everything but the maps, as plain lists and numbers; undefined values are null."""
        return _plain(
            {
                "models": self.models,
                "kinds": self.kinds,
                "anchors": self.anchors,
                "measures": {
                    name: {field.name: getattr(matrix, field.name) for field in dataclasses.fields(matrix)}
                    for name, matrix in self.measures.items()
                },
                "provenance": self.provenance,
            }
        )

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, whole or not at all."""
        with replacing(path) as partial_file:
            partial_file.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")


class _Space(NamedTuple):
    """A model as measures see it.

    Attributes:
        rows: (n, w) normalised embeddings, zero-padded to the width of the widest model: cosines stay, and all
            models share compilations.
        anchor_index: (k,) rows that are anchors.
        shared: (n, k) rows in the space of the anchors.
        neighbours: (n, j) rows nearest in that space.
        transport_index: (t,) rows that enter optimal transport.
    """

    rows: Float[Array, "n w"]
    anchor_index: Int[Array, " k"]
    shared: Float[Array, "n k"]
    neighbours: Int[Array, "n j"]
    transport_index: Int[Array, " t"]


class _Draws(NamedTuple):
    """Rows of every draw, made once and shared by all pairs and measures.

    Attributes:
        null: (d, n) permutations over all atoms.
        null_within_element: (d, n) permutations within each element.
        bootstrap: (b, r) rows of whole structures.
    """

    null: Int[Array, "d n"]
    null_within_element: Int[Array, "d n"]
    bootstrap: Int[Array, "b r"]


@dataclasses.dataclass(frozen=True)
class _Measure:
    """How the driver computes one measure: its value, and its value on permuted and on resampled rows."""

    value: Callable[[_Space, _Space], Float[Array, ""]]
    permuted: Callable[[_Space, _Space, Int[Array, " n"]], Float[Array, ""]]
    resampled: Callable[[_Space, _Space, Int[Array, " r"]], Float[Array, ""]]


def _of_clouds(measure: Callable[[Array, Array], Float[Array, ""]]) -> _Measure:
    return _Measure(
        value=lambda a, b: measure(a.shared, b.shared),
        permuted=lambda a, b, permutation: measure(a.shared, b.shared[permutation]),
        resampled=lambda a, b, index: measure(a.shared[index], b.shared[index]),
    )


def _overlap(a: _Space, b: _Space) -> Float[Array, " n"]:
    return metrics.neighbour_overlap(a.neighbours, b.neighbours)


def _of_neighbours() -> _Measure:
    """Neighbour lists are found once: a permutation relabels them, the interval resamples the rows' overlaps."""
    return _Measure(
        value=lambda a, b: jnp.mean(_overlap(a, b)),
        permuted=lambda a, b, permutation: jnp.mean(
            _overlap(a, b._replace(neighbours=metrics.permuted_neighbours(b.neighbours, permutation)))
        ),
        resampled=lambda a, b, index: jnp.mean(_overlap(a, b)[index]),
    )


def _of_transport() -> _Measure:
    """Transport does not see which row is which; pairing enters through the anchors, so its null permutes those."""

    def drawn(a: Array, b: Array) -> Float[Array, ""]:
        # Its error is far below the spread of the draws.
        return metrics.sinkhorn_divergence(a, b, epsilon=EPSILON, threshold=1e-3)

    def cloud(space: _Space) -> Array:
        return space.shared[space.transport_index]

    def permuted(a: _Space, b: _Space, permutation: Array) -> Float[Array, ""]:
        other_anchors = b.rows[permutation[b.anchor_index]]
        return drawn(cloud(a), projection.relative(b.rows[b.transport_index], other_anchors))

    return _Measure(
        value=lambda a, b: metrics.sinkhorn_divergence(cloud(a), cloud(b), epsilon=EPSILON),
        permuted=permuted,
        resampled=lambda a, b, index: drawn(cloud(a)[index], cloud(b)[index]),
    )


MEASURES: Mapping[str, _Measure] = {
    "procrustes": _of_clouds(metrics.procrustes),
    "cka": _of_clouds(metrics.cka),
    "mutual_knn": _of_neighbours(),
    TRANSPORT: _of_transport(),
}


@partial(jax.jit, static_argnames="measure")
def _value(a: _Space, b: _Space, *, measure: _Measure) -> Array:
    return measure.value(a, b)


@partial(jax.jit, static_argnames="measure")
def _null(a: _Space, b: _Space, permutations: Array, *, measure: _Measure) -> Array:
    return numerics.map_rows(lambda permutation: measure.permuted(a, b, permutation), permutations)


@partial(jax.jit, static_argnames="measure")
def _resampled(a: _Space, b: _Space, samples: Array, *, measure: _Measure) -> Array:
    return numerics.map_rows(lambda index: measure.resampled(a, b, index), samples)


@partial(jax.jit, static_argnames="num")
def _permutations(groups: Array, key: Array, *, num: int) -> Array:
    draw = lambda i: statistics.permutation(jax.random.fold_in(key, i), n=groups.shape[0], groups=groups)
    return numerics.map_rows(draw, jnp.arange(num))


@partial(jax.jit, static_argnames="num")
def _samples(clusters: Array, key: Array, *, num: int) -> Array:
    return numerics.map_rows(lambda i: statistics.resample_index(jax.random.fold_in(key, i), clusters), jnp.arange(num))


@partial(jax.jit, static_argnames=("width", "num_neighbours"))
def _space(x: Array, anchor_index: Array, transport_index: Array, *, width: int, num_neighbours: int) -> _Space:
    rows = jnp.pad(numerics.normalise(x), ((0, 0), (0, width - x.shape[1])))
    shared = projection.relative(x, x[anchor_index])
    nearest, _ = numerics.neighbours(shared, k=num_neighbours)
    return _Space(rows.astype(jnp.float32), anchor_index, shared, nearest, transport_index)


def _single(space: _Space) -> _Space:
    return space._replace(shared=space.shared.astype(jnp.float32))


def compare(
    tables: Sequence[EmbeddingTable],
    *,
    anchors: str = "random",
    k: int = 100,
    seed: int = 0,
    measures: Sequence[str] = tuple(MEASURES),
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
        anchors: how anchors are chosen, in the space of the first table: `random` or `direct`.
        k: the number of anchors.
        seed: everything random follows from it.
        measures: names from `MEASURES`.
        num_neighbours: the neighbours that `mutual_knn` compares.
        num_permutations: draws of each null.
        num_bootstraps: draws of each interval.
        num_transport_draws: draws of each null and interval of optimal transport, which cost far more.
        num_transport_rows: atoms that enter optimal transport, at most: whole structures, drawn at random, the same
            for every pair.
        element_alone: whether the chemical element alone stands beside the models as a baseline.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        The comparison.

    Raises:
        ValueError: fewer than two tables, tables of different atoms, more anchors than atoms, an unknown method or
            measure, transport that did not converge.
    """
    if len(tables) < 2:
        raise ValueError(f"`tables` must be at least two, got {len(tables)}: a model is compared with another one.")
    unknown = [name for name in measures if name not in MEASURES]
    if unknown:
        raise ValueError(f"`measures` must be among {', '.join(MEASURES)}, got {unknown[0]!r}.")
    paired = pair(*tables)
    if element_alone:
        paired.append(element_baseline(paired[0]))
    first = paired[0]
    names = _display_names(paired)
    key = {name: jax.random.fold_in(jax.random.key(seed), i) for i, name in enumerate(_STREAMS)}
    anchor_index = _choose_anchors(anchors, first, k=k, key=key["anchors"])
    transport_index = _whole_structures(first.structure_index, num_transport_rows, key=key["transport_rows"])
    map_index = _whole_structures(first.structure_index, MAP_ROWS, key=key["map_rows"])
    steps = _Steps(progress, 1 + len(paired) + len(measures) * len(paired) * (len(paired) + 1) // 2)

    # Double precision for the values alone: see the head of this file. OpenBLAS would give each small decomposition to
    # all cores, which then wait for each other: on two busy cores five times slower than one thread, or worse.
    with jax.enable_x64(True), threadpool_limits(1, user_api="blas"):  # noqa: FBT003
        spaces = []
        for table, name in zip(paired, names, strict=True):
            steps.begin(f"neighbours of {name}")
            spaces.append(
                _space(
                    jnp.asarray(table.x, jnp.float64),
                    jnp.asarray(anchor_index),
                    jnp.asarray(transport_index),
                    width=max(other.x.shape[1] for other in paired),
                    num_neighbours=num_neighbours,
                )
            )
        steps.begin("draws of nulls and intervals")
        species, structures = jnp.asarray(first.species), first.structure_index
        many = _Draws(
            null=_permutations(jnp.zeros_like(species), key["null"], num=num_permutations),
            null_within_element=_permutations(species, key["null_within_element"], num=num_permutations),
            bootstrap=_samples(jnp.asarray(structures), key["bootstrap"], num=num_bootstraps),
        )
        few = _Draws(
            null=many.null[:num_transport_draws],
            null_within_element=many.null_within_element[:num_transport_draws],
            bootstrap=_samples(jnp.asarray(structures[transport_index]), key["bootstrap"], num=num_transport_draws),
        )
        matrices = {
            name: _matrix(MEASURES[name], spaces, names, few if name == TRANSPORT else many, name=name, steps=steps)
            for name in measures
        }
        maps = [_maps(table.x, space.shared, map_index) for table, space in zip(paired, spaces, strict=True)]

    return Comparison(
        models=names,
        kinds=[table.kind for table in paired],
        anchors={
            "method": anchors,
            "k": k,
            "model": names[0],
            "row": anchor_index.tolist(),
            "structure": [first.structure_name(i) for i in first.structure_index[anchor_index].tolist()],
            "atom": first.atom_index[anchor_index].tolist(),
        },
        measures=matrices,
        maps=maps,
        rows=map_index,
        neighbours=[np.asarray(space.neighbours)[map_index, :MAP_NEIGHBOURS] for space in spaces],
        species=first.species,
        structure_index=first.structure_index,
        atom_index=first.atom_index,
        structures=first.structures,
        provenance=_provenance(tables, paired, names, seed=seed, transport_index=transport_index, map_index=map_index),
    )


def _matrix(
    measure: _Measure, spaces: Sequence[_Space], names: Sequence[str], draws: "_Draws", *, name: str, steps: "_Steps"
) -> Matrix:
    """One measure over all pairs. Draws are the same for every pair, so that pairs can be compared with each other."""
    properties = metrics.PROPERTIES[name]
    m = len(spaces)
    out = {field.name: np.full((m, m), np.nan) for field in dataclasses.fields(Matrix) if field.name != "settings"}
    for i, j in itertools.combinations_with_replacement(range(m), 2):
        steps.begin(f"{name} of {names[i]} and {names[j]}")
        value = float(_value(spaces[i], spaces[j], measure=measure))
        if np.isnan(value) and name == TRANSPORT:
            raise ValueError(
                f"`{TRANSPORT}` of {names[i]} and {names[j]} must converge, and did not: "
                "give it fewer rows, or leave the measure out."
            )
        entry = {"value": value, "low": value, "high": value}
        if i != j:
            a, b = _single(spaces[i]), _single(spaces[j])
            # Resampled rows align with their own copies, which lifts all draws alike: their spread is used, not their
            # place.
            resampled = np.asarray(_resampled(a, b, draws.bootstrap, measure=measure))
            interval = value + np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
            entry["low"], entry["high"] = np.clip(interval, *properties.range)
            for null in ("null", "null_within_element"):
                drawn = np.asarray(_null(a, b, getattr(draws, null), measure=measure))
                closeness = drawn - value if properties.larger_is_more_similar else value - drawn
                extreme = closeness >= -DRAW_RESOLUTION * abs(value)
                entry[null] = drawn.mean()
                entry[null.replace("null", "p_value")] = (1 + extreme.sum()) / (1 + len(drawn))
        for field, number in entry.items():
            out[field][i, j] = out[field][j, i] = number
    return Matrix(**out, settings=_settings(name, spaces[0], draws))


def _settings(name: str, space: _Space, draws: "_Draws") -> dict[str, Any]:
    properties = metrics.PROPERTIES[name]
    settings = {
        "larger_is_more_similar": properties.larger_is_more_similar,
        "range": list(properties.range),
        "num_permutations": len(draws.null),
        "num_bootstraps": len(draws.bootstrap),
        "num_rows": draws.bootstrap.shape[1],
    }
    if name == "mutual_knn":
        settings |= {"k": space.neighbours.shape[1], "metric": "cosine"}
    if name == "cka":
        settings |= {"debiased": True}
    if name == TRANSPORT:
        settings |= {
            "epsilon": EPSILON,
            "epsilon_unit": "mean squared distance between the two clouds",
            "cost": "squared Euclidean distance in the space of the anchors",
            "rows": space.transport_index.tolist(),
            "null": "the second model's anchors are other atoms (of the same element), for transport sees no row order",
        }
    return settings


def _choose_anchors(method: str, table: EmbeddingTable, *, k: int, key: Array) -> np.ndarray:
    if method == "random":
        return np.asarray(anchor_methods.random(jnp.asarray(table.x), k, key=key))
    if method == "direct":
        return np.asarray(anchor_methods.direct(jnp.asarray(table.x), k))
    raise ValueError(f"`anchors` must be random or direct, got {method!r}.")


def _whole_structures(structure_index: np.ndarray, limit: int, *, key: Array) -> np.ndarray:
    """Rows of whole structures, drawn at random until the next one would pass the limit; all rows if they fit."""
    if len(structure_index) <= limit:
        return np.arange(len(structure_index), dtype=np.int32)
    structures, sizes = np.unique(structure_index, return_counts=True)
    order = np.asarray(jax.random.permutation(key, len(structures)))
    taken = order[np.cumsum(sizes[order]) <= limit]
    if taken.size == 0:
        raise ValueError(
            f"the number of rows must allow one whole structure, got {limit} rows for one of {sizes[order[0]]} atoms."
        )
    return np.flatnonzero(np.isin(structure_index, structures[taken])).astype(np.int32)


def _maps(x: np.ndarray, shared: Array, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The maps' axes are those of all rows; only the chosen rows are kept."""
    raw = numerics.pca(jnp.asarray(x), num_components=2)
    together = numerics.pca(shared, num_components=2)
    return {
        "raw": np.asarray(raw.scores)[rows],
        "shared": np.asarray(together.scores)[rows],
        "raw_explained": np.asarray(raw.explained),
        "shared_explained": np.asarray(together.explained),
    }


def _display_names(tables: Sequence[EmbeddingTable]) -> list[str]:
    """The models' names; where one model stands twice, its layer and, if need be, its place tell them apart."""
    names = [table.model for table in tables]
    if len(set(names)) < len(names):
        names = [
            f"{name} {table.layer}" if names.count(name) > 1 else name
            for name, table in zip(names, tables, strict=True)
        ]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _provenance(
    tables: Sequence[EmbeddingTable],
    paired: Sequence[EmbeddingTable],
    names: Sequence[str],
    *,
    seed: int,
    transport_index: np.ndarray,
    map_index: np.ndarray,
) -> dict[str, Any]:
    first = paired[0]
    left_out = {entry["id"]: entry["reason"] for table in tables for entry in table.skipped}
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "num_atoms": len(first.x),
        "num_structures": first.num_structures,
        "left_out": left_out,
        "subsampling": {
            "sinkhorn_divergence": f"{len(transport_index)} of {len(first.x)} atoms, whole structures drawn at random",
            "maps": f"{len(map_index)} of {len(first.x)} atoms, whole structures drawn at random",
            "all other measures": "none: every atom",
        },
        "precision": "values in float64, draws of nulls and intervals in float32",
        "device": jax.devices()[0].device_kind,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {
            name: version(name) for name in ("platonic-jax", "platonic-adapters", "jax", "jaxlib", "ott-jax", "numpy")
        },
        "stores": {name: dict(table.provenance) for name, table in zip(names, paired, strict=True)},
    }


def _plain(value: Any) -> Any:
    """JSON's own types; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


class _Steps:
    """Tells the caller what begins, and how far the whole is."""

    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def begin(self, what: str) -> None:
        if self.progress:
            self.progress(what, self.done, self.total)
        self.done += 1
