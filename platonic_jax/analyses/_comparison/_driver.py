"""From tables to a comparison."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import metrics, numerics
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._anchoring import choose_anchors, display_names, relative, whole_structures
from platonic_jax.analyses._comparison._draws import Drawn, Redrawn, draw, redraw, resamples
from platonic_jax.analyses._comparison._matrix import Estimated, matrix_of
from platonic_jax.analyses._comparison._record import Comparison, Matrix
from platonic_jax.analyses._comparison._resolved import group_labels, resolve
from platonic_jax.analyses._comparison._spaces import check_memory, space_of
from platonic_jax.analyses._comparison._thinned import ThinnedMeasures
from platonic_jax.analyses._measures import DEFAULT_MEASURES, MEASURES, THINNED
from platonic_jax.analyses._nulls import Null, Pairs
from platonic_jax.analyses._run import Steps, check_among, provenance, streams
from platonic_jax.labels import combined, coordination
from platonic_jax.tables import EmbeddingTable, as_tables, element_baseline, is_bare, pair

MAP_ROWS = 20_000
MAP_NEIGHBOURS = 5
REDRAW_ROWS = 5_000  # Atoms on which anchors are drawn again: their spread depends on the anchors, not on the atoms.
# Within what atoms are exchanged, and the field of `Matrix` where its null stands.
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
    "ties",
    "redraw_rows",
    "redraw",
)


def compare(
    tables: Sequence[EmbeddingTable] | Sequence[np.ndarray] | Mapping[str, Any],
    *,
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "cosine",
    seed: int = 0,
    measures: Sequence[str] = DEFAULT_MEASURES,
    nulls: Sequence[str] | None = None,
    by: str | np.ndarray | Sequence[str] = (),
    num_neighbours: int = 10,
    num_permutations: int = 100,
    num_anchor_draws: int = 10,
    num_transport_draws: int = 20,
    num_transport_rows: int = 300,
    element_alone: bool | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Compare any number of models on the same atoms, in the space of the same anchors.

    Args:
        tables: two or more tables; what one model skipped is left out of all, any other difference of rows is an error.
            Or bare arrays, (n, d), of the same n atoms, in a list or by name: nothing is known of elements then.
        anchors: how anchors are chosen, in the space of the first table: `random`, `farthest_point`, `kmeans` or
            `direct`; or the anchors themselves, as rows, or as atoms of structures (`anchors.Anchors`).
        k: the number of anchors, where a method chooses them.
        similarity: of rows to anchors, as in `projection.relative`.
        seed: everything random follows from it.
        measures: names from `MEASURES`.
        nulls: what is exchanged: whole structures (`all`); the atoms of one structure within each `element`, or within
            each element and `coordination` (number of neighbours; needs the structures). By default all and element;
            all alone for bare arrays.
        by: also resolve every matrix by `element`, by `family` (anonymous formula), by both (a tuple), or by labels,
            one for each atom or each structure of those that all models share. Groups of fewer than 100 atoms or 20
            structures are left out, and so are measures that see thinned rows.
        num_neighbours: the neighbours that `mutual_knn` compares, and the `overlaps` of single atoms.
        num_permutations: draws of each null; at least 19 for p ≤ 0.05.
        num_anchor_draws: resamples of the structures from which anchors are drawn anew, where a method chooses them:
            the spread of values over them gives the intervals. With 0, intervals hold for these anchors only, and cost
            one evaluation.
        num_transport_draws: draws of each null and interval of measures that see thinned rows, which cost far more.
        num_transport_rows: atoms that enter optimal transport and other measures of all pairs of rows, at most: whole
            structures, drawn at random, the same for every pair of models.
        element_alone: whether the chemical element alone stands beside the models as a baseline; by default where the
            elements are known.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        The comparison.

    Raises:
        ValueError: fewer than two tables, tables of different atoms, more anchors than atoms, an unknown method,
            measure, null or grouping, a measure that did not converge, more than fits the memory.
    """
    tables = as_tables(tables)
    if len(tables) < 2:
        raise ValueError(f"`tables` must be at least two, got {len(tables)}: a model is compared with another one.")
    bare = any(map(is_bare, tables))
    nulls = (("all",) if bare else ("all", "element")) if nulls is None else nulls
    element_alone = not bare if element_alone is None else element_alone
    check_among("measures", measures, MEASURES)
    check_among("nulls", nulls, NULLS)
    paired = pair(*tables)
    if element_alone:
        paired.append(element_baseline(paired[0]))
    first, names, m = paired[0], display_names(paired), len(paired)
    check_memory(paired, k=k, similarity=similarity, resolved=len(by) > 0)
    key = streams(seed, *_STREAMS)
    groupings = dict(group_labels(entry, first) for entry in ([by] if isinstance(by, str | np.ndarray) else by))
    nulls_of = {NULLS[name]: Null(_groups_of_null(name, first), first.structure_index) for name in nulls}
    draw_anchors = partial(choose_anchors, anchors, first, k=k)
    choice = draw_anchors(key=key["anchors"])
    anchor_index = choice.rows
    structures = first.structure_index
    thinned_index = whole_structures(structures, num_transport_rows, key=key["transport_rows"])
    map_index = whole_structures(structures, MAP_ROWS, key=key["map_rows"])
    pool = whole_structures(structures, max(REDRAW_ROWS, 2 * k), key=key["redraw_rows"])
    redrawn = num_anchor_draws if isinstance(anchors, str) else 0
    samples = resamples(draw_anchors, pool, structures, number=redrawn, key=key["redraw"])

    drawn = tuple(name for name in measures if name in _pairs.MEASURES)
    thinned = [name for name in measures if name in THINNED]
    lists = tuple(dict.fromkeys(("mutual_knn", *(name for name in drawn if name in _pairs.NEIGHBOURS))))
    pairs: Pairs = tuple(itertools.combinations(range(m), 2))
    draws = len(pairs) + len(nulls_of) * (num_permutations + 50) + redrawn if drawn else 0
    steps = Steps(progress, m + draws + len(thinned) * m * m + len(groupings) * 50)

    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        spaces, maps = [], []
        for i, (table, name) in enumerate(zip(paired, names, strict=True)):
            steps.begin(f"neighbours of {name}")
            x = np.asarray(choice.mapped(table), np.float64)
            shared = relative(x, x[anchor_index], similarity=similarity, weights=choice.weights)
            ties = jax.random.fold_in(key["ties"], i)
            spaces.append(
                space_of(shared, thinned_index, structures, ties, num_neighbours=num_neighbours, measures=lists)
            )
            maps.append(_maps(table.x, shared, map_index))
            del x, shared

        matrices = {}
        if drawn:
            settings = {"pairs": pairs, "measures": drawn, "num_neighbours": num_neighbours, "key": key}
            estimates = draw(
                spaces, names, nulls_of, structures, num_permutations=num_permutations, begin=steps.begin, **settings
            )
            again = None
            if redrawn:
                again = redraw(
                    paired,
                    samples,
                    nulls_of,
                    pool,
                    structures,
                    similarity=similarity,
                    begin=steps.begin,
                    **settings,
                )
            for name in drawn:
                matrices[name] = _matrix(
                    name,
                    estimates,
                    again,
                    pairs,
                    m=m,
                    num_structures=first.num_structures,
                    settings={
                        "num_permutations": num_permutations,
                        "num_anchor_draws": redrawn,
                        "num_rows": len(first.x),
                        "interval": _interval_said(redrawn, len(pool), len(first.x)),
                        "exchange": estimates.exchange,
                        **_settings_of(name, num_neighbours),
                    },
                )
        if thinned:
            several = ThinnedMeasures(
                paired,
                names,
                spaces,
                nulls_of,
                choice,
                samples,
                index=thinned_index,
                similarity=similarity,
                num_draws=num_transport_draws,
                key=key,
            )
            for name in thinned:
                matrices[name] = several.matrix(name, begin=steps.begin)
        resolved = {
            kind: resolve(
                spaces,
                labels,
                first,
                pairs=pairs,
                measures=drawn,
                num_neighbours=num_neighbours,
                key=key["resolved"],
                begin=steps.begin,
            )
            for kind, labels in groupings.items()
        }
        nearest = [np.asarray(space.cloud.neighbours["mutual_knn"])[map_index] for space in spaces]

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
            "precision": "values in float64, nulls and intervals in float32",
            "num_neighbours": num_neighbours,
        },
        resolved=resolved,
    )


def _groups_of_null(null: str, table: EmbeddingTable) -> np.ndarray | None:
    """(n,) within what atoms are exchanged; None for whole structures."""
    if null == "all":
        return None
    if null == "element":
        return table.species
    if table.structures is None:
        raise ValueError("`nulls` must not hold coordination where tables bring no structures.")
    row = np.asarray(table.structures.offsets)[table.structure_index] + table.atom_index
    return combined(table.species, coordination(table.structures)[row])


def _settings_of(name: str, num_neighbours: int) -> dict[str, Any]:
    if name in _pairs.NEIGHBOURS:
        among = "all atoms" if name == "mutual_knn" else "atoms of other structures"
        return {"num_neighbours": num_neighbours, "metric": "cosine", "among": among}
    return {"debiased": True} if name == "cka" else {}


def _interval_said(num_draws: int, num_redrawn: int, num_rows: int) -> str:
    structures = "value ± t standard errors: infinitesimal jackknife over structures"
    if num_draws == 0:
        return f"{structures}; for these anchors only"
    if num_redrawn == num_rows:
        return f"value ± t standard errors: {num_draws} bootstraps over structures, with anchors drawn from each"
    return f"{structures}, and {num_draws} draws of the anchors on {num_redrawn} of {num_rows} atoms"


def _matrix(
    name: str,
    drawn: Drawn,
    again: Redrawn | None,
    pairs: Pairs,
    *,
    m: int,
    num_structures: int,
    settings: Mapping[str, Any],
) -> Matrix:
    """One measure of every row, from its estimates of pairs."""

    def parts(error: float, error_anchors: float) -> list[tuple[float, int]]:
        of_anchors = [(error_anchors, num_draws - 1)] if again else []
        return [(error, num_structures - 1), *of_anchors]

    def estimated(p: int) -> Estimated:
        error = float(drawn.errors[name][p])
        error_anchors = float(again.anchors[name][p]) if again else np.nan
        # Of few structures, those that anchors come from and those that they describe are largely the same ones.
        together = [(float(again.values[name][p]), num_draws - 1)] if again and again.values else []
        return Estimated(
            (error, error_anchors),
            together or parts(error, error_anchors),
            {null: float(draws[name][:, p].mean()) for null, draws in drawn.nulls.items()},
            {null: float(p_values[name][p]) for null, p_values in drawn.p_values.items()},
            {
                null: parts(float(errors[name][p]), float(again.effects[null][name][p]) if again else np.nan)
                for null, errors in drawn.effect_errors.items()
            },
        )

    num_draws = settings["num_anchor_draws"]
    entries = {pair: estimated(p) for p, pair in enumerate(pairs)}
    return matrix_of(name, dict(zip(pairs, drawn.values[name], strict=True)), entries, m=m, settings=settings)


def _maps(x: np.ndarray, shared: Array, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The maps' axes are those of all rows; only the chosen rows are kept."""
    raw, together = _plane(x), _plane(shared)
    return {
        "raw": np.asarray(raw.scores)[rows],
        "shared": np.asarray(together.scores)[rows],
        "raw_explained": np.asarray(raw.explained),
        "shared_explained": np.asarray(together.explained),
    }


@jax.jit
def _plane(x: Array) -> numerics.PCA:
    """The first two principal components; a cloud of one column has no second but an empty one."""
    return numerics.pca(jnp.pad(x, ((0, 0), (0, max(0, 2 - x.shape[1])))), num_components=2)


def _overlaps(nearest: Sequence[np.ndarray], pairs: Pairs) -> np.ndarray:
    """(m, m, r) the share of neighbours in common, of lists (r, j) of each model."""
    out = np.ones((len(nearest), len(nearest), len(nearest[0])), np.float32)
    for i, j in pairs:
        out[i, j] = out[j, i] = metrics.neighbour_overlap(nearest[i], nearest[j])
    return out
