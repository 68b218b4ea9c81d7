"""What has fine-tuning done to a model? The same atoms before and after, in the space of the same anchor atoms."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Array

from platonic_jax import _pairs, diagnostics, groups, numerics, projection, statistics
from platonic_jax._checks import check_count, check_positive
from platonic_jax._pairs import Cloud, serial_lapack
from platonic_jax.compare._driver import provenance
from platonic_jax.compare._estimates import cloud_of
from platonic_jax.compare._spaces import choose_anchors
from platonic_jax.studies._drift_energy import changes_of_energy
from platonic_jax.studies._drift_record import Drift
from platonic_jax.studies._symmetry import TOLERANCE
from platonic_jax.tables import EmbeddingTable, pair

__all__ = ["Drift", "drift"]

MEASURES = ("procrustes", "mutual_knn")
_FLOOR_DRAWS = 4
_NORMAL = 1.96
# One stream of randomness each, so that adding a draw to one leaves the others as they are.
_STREAMS = ("anchors", "noise", "test", "bootstrap")


def drift(
    before: EmbeddingTable,
    after: EmbeddingTable,
    *,
    repeats: Sequence[EmbeddingTable] = (),
    reseeded: Sequence[EmbeddingTable] = (),
    seen: Sequence[str] = (),
    labels: Mapping[str, Any] | None = None,
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "cosine",
    num_neighbours: int = 10,
    noise: float = TOLERANCE,
    margin: float = 2.0,
    num_permutations: int = 999,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> Drift:
    """Judge how far a model has moved from another version of it.

    The null is made of tables that differ by noise: `repeats` are set beside `before`, or `reseeded` beside `after`.
    With neither, it is a floor: rows of `before` moved at random by `noise` of their norm, and the similarities that
    follow, of atoms to anchors that are moved too.

    It is tested whether structures of the kind given move farther than `margin` times the null does. The margin is
    there because structures are not all that is drawn: the noise of the anchors, and of a run of fine-tuning, is one
    draw that all structures share.

    Args:
        before: the earlier model.
        after: the later model, on the same structures.
        repeats: the earlier model embedded again, in another order or on another machine, say.
        reseeded: the later model fine-tuned again with another seed.
        seen: symbols of the elements of the fine-tuning set; none where that is not known.
        labels: `energy` (s,) eV of the structures of `before`, as `tables.read_labels` finds them; NaN where unknown.
            From the errors of each model one energy an element is taken, that which fits them best.
        anchors: how anchors are chosen, among the rows of `before`; or the anchors, as rows, or as atoms
            (`anchors.Anchors`). Anchors that move displace what stays: they are best of all elements.
        k: the number of anchors, where a method chooses them.
        similarity: of rows to anchors, as in `projection.relative`.
        num_neighbours: of mutual neighbours; and the unit of displacement is the median distance of an environment, the
            first atom of each element in each structure, to this neighbour.
        noise: size of the floor, in parts of the norm of a row: by default what rounding costs a deep network.
        margin: how much larger than in the null displacements must be to count.
        num_permutations: draws of each test.
        num_bootstraps: draws of the interval of rank correlations.
        seed: everything random follows from it.

    Returns:
        Figures, and a verdict.

    Raises:
        ValueError: other atoms, unknown elements, two nulls at once, or a model that tells no environments apart.

    Example:
        >>> import numpy as np
        >>> from platonic_jax import EmbeddingTable, studies
        >>> x = np.random.default_rng(0).normal(size=(60, 8))
        >>> table = EmbeddingTable.from_arrays(x, np.tile([29, 79], 30), np.repeat(np.arange(30), 2), model="same")
        >>> studies.drift(table, table).moved
        []
    """
    check_count("num_neighbours", num_neighbours)
    check_positive("noise", noise)
    check_positive("margin", margin)
    if repeats and reseeded:
        raise ValueError("`repeats` and `reseeded` must not both be given, got both: each is a null of its own.")
    if unknown := [symbol for symbol in seen if symbol not in atomic_numbers]:
        raise ValueError(f"`seen` must be symbols of elements, got {unknown[0]!r}: say Cu, Au.")
    given = len(before.x)
    first, last, *others = pair(before, after, *repeats, *reseeded)
    if labels is not None and len(first.x) < given:
        raise ValueError(
            f"`labels` must be of structures that every model takes, got {given - len(first.x)} atoms more."
        )
    key = {name: jax.random.fold_in(jax.random.key(seed), i) for i, name in enumerate(_STREAMS)}
    choice = choose_anchors(
        anchors, first, k=min(k, len(first.x)) if isinstance(anchors, str) else k, key=key["anchors"]
    )
    rows = jnp.asarray(choice.rows)

    rows_of = [jnp.asarray(table.x) for table in (first, last, *others)]
    if others:
        references = [1 if reseeded else 0] * len(others)
        kind = "fine-tuning with another seed" if reseeded else "embedding again"
    else:
        size = jnp.asarray(noise, rows_of[0].dtype)
        rows_of += [_noisy(rows_of[0], jax.random.fold_in(key["noise"], i), size) for i in range(_FLOOR_DRAWS)]
        references = [0] * _FLOOR_DRAWS
        kind = f"rounding by {noise:.0e} of a row"
    compared = [(0, 1), *((reference, 2 + i) for i, reference in enumerate(references))]

    structure = np.unique(first.structure_index, return_inverse=True)[1].astype(np.int32)
    elements, element = np.unique(first.species, return_inverse=True)
    symbols = [chemical_symbols[z] for z in elements]
    with serial_lapack():
        unit = _unit(rows_of[0], rows, structure, element, num_neighbours=num_neighbours, similarity=similarity)
        moved = np.stack(
            [np.asarray(_displaced(rows_of[i], rows_of[j], rows, similarity=similarity), float) for i, j in compared],
            axis=1,
        )
        moved /= unit
        member = [np.ones(len(element), bool)]
        unseen = ~np.isin(symbols, list(seen))
        if seen:
            member.append(unseen[element])
        member += [element == i for i in range(len(symbols))]
        members = np.stack(member)
        agreement = _agreement(
            rows_of, compared, rows, structure, members, num_neighbours=num_neighbours, similarity=similarity
        )

    shift = _means(moved, structure, members)
    against = shift * np.array([1, *[margin] * len(references)])
    test = partial(_tested, num_permutations=num_permutations)
    ahead = len(members) - len(symbols)
    p_values = [test(against[:, [i]], key=jax.random.fold_in(key["test"], i))[0] for i in range(ahead)]
    p_values += list(test(against[:, ahead:], key=jax.random.fold_in(key["test"], ahead)))
    displacement = _displacements(moved, structure, members)
    entries = [
        {
            "num_atoms": int(member.sum()),
            "num_structures": len(np.unique(structure[member])),
            "displacement": displacement[i],
            **{name: agreement[name][i] for name in MEASURES},
            "p_value": float(p_value),
        }
        for i, (member, p_value) in enumerate(zip(members, p_values, strict=True))
    ]
    of_elements = {
        symbol: {**entry, "seen": not unseen[i] if seen else None}
        for i, (symbol, entry) in enumerate(zip(symbols, entries[ahead:], strict=True))
    }
    names = np.array([first.structure_name(int(i)) for i in np.unique(first.structure_index)])
    per_structure = shift[:, 0]
    return Drift(
        before=first.model,
        after=last.model,
        overall=entries[0],
        unseen=entries[1] if seen else {},
        elements=dict(sorted(of_elements.items(), key=lambda entry: -entry[1]["displacement"]["value"])),
        structures={"structure": names, "displacement": per_structure[:, 0], "null": per_structure[:, 1:].mean(axis=1)},
        atoms={
            "structure": names[structure],
            "atom": first.atom_index,
            "element": np.array(symbols)[element],
            "displacement": moved[:, 0],
            "null": moved[:, 1:].mean(axis=1),
        },
        energy=changes_of_energy(
            first, last, labels, moved[:, 0], structure, symbols, element, num_bootstraps, key["bootstrap"]
        ),
        unit=unit,
        null={"kind": kind, "num": len(references)},
        settings={
            "anchors": choice.method,
            "k": len(choice.rows),
            "similarity": similarity,
            "num_neighbours": num_neighbours,
            "seen": list(seen),
            "margin": margin,
            "num_permutations": num_permutations,
            "interval": "95 %: 1.96 standard errors, by the infinitesimal jackknife over structures",
        },
        provenance=provenance([before, after], [first, last], ["before", "after"], seed=seed),
    )


@jax.jit
def _noisy(x: Array, key: Array, size: Array) -> Array:
    """Rows moved at random by a part of their norm."""
    shift = jax.random.normal(key, x.shape, x.dtype) / math.sqrt(x.shape[1])
    return x + size * numerics.safe_norm(x)[:, None] * shift


_displaced = partial(jax.jit, static_argnames="similarity")(diagnostics.displacement)


@partial(jax.jit, static_argnames="similarity")
def _shared(x: Array, rows: Array, *, similarity: str) -> Array:
    return projection.relative(x, x[rows], similarity=similarity)


def _unit(
    x: Array, rows: Array, structure: np.ndarray, element: np.ndarray, *, num_neighbours: int, similarity: str
) -> float:
    """Median distance of an environment to its last neighbour, root mean square over anchors as displacements are."""
    environments = np.unique(groups.combined(structure, element), return_index=True)[1]
    if len(environments) < 2:
        raise ValueError("`before` must have two environments at least, got one: embed more structures.")
    shared = _shared(x, rows, similarity=similarity)
    chosen = shared[environments]
    distance = numerics.neighbours(chosen, num_neighbours=min(num_neighbours, len(environments) - 1), metric="l2")[1][
        :, -1
    ]
    unit = float(np.median(distance)) / np.sqrt(shared.shape[1])
    if not unit > 0:
        raise ValueError("`before` must tell environments apart, got the same row for most of them.")
    return float(unit)


def _agreement(
    rows_of: Sequence[Array],
    compared: Sequence[tuple[int, int]],
    rows: Array,
    structure: np.ndarray,
    members: np.ndarray,
    *,
    num_neighbours: int,
    similarity: str,
) -> dict[str, list[dict[str, float]]]:
    """By measure, for each group of atoms, its value before against after, its interval, and its null."""
    num_neighbours = min(num_neighbours, len(structure) - 1)
    place = jnp.asarray(structure)
    clouds = [
        cloud_of(
            _shared(x, rows, similarity=similarity),
            place,
            jax.random.key(i),
            num_neighbours=num_neighbours,
            measures=MEASURES,
        )
        for i, x in enumerate(rows_of)
    ]
    weights = jnp.asarray(members, clouds[0].rows.dtype)
    found = [_influences(clouds[i], clouds[j], weights, place) for i, j in compared]
    out = {}
    for name in MEASURES:
        value = np.array([np.asarray(values[name], float) for values, _ in found])
        influence = np.asarray(found[0][1][name])[:, : structure.max() + 1]
        error = _errors(influence, structure, members)
        out[name] = [_entry(*each, most=1.0) for each in zip(value[0], error, value[1:].mean(axis=0), strict=True)]
    return out


@jax.jit
def _influences(a: Cloud, b: Cloud, weights: Array, structure: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """For each group the measures, (g,), and the influence of each structure, (g, n), of which so many are not zero."""

    def of_group(chosen: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        values, slopes = _pairs.influences(a, b, chosen, measures=MEASURES)
        return values, {name: jnp.zeros_like(slope).at[structure].add(slope) for name, slope in slopes.items()}

    return numerics.map_rows(of_group, weights)


def _means(moved: np.ndarray, structure: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(s, g, c) the mean over the atoms of each group in each structure; NaN where there is none."""
    number, c = structure.max() + 1, moved.shape[1]
    total = np.zeros((number, len(members), c))
    count = np.zeros((number, len(members), 1))
    for i, member in enumerate(members):
        np.add.at(total[:, i], structure[member], moved[member])
        np.add.at(count[:, i], structure[member], 1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


@partial(jax.jit, static_argnames="num_permutations")
def _test(values: Array, key: Array, *, num_permutations: int) -> Array:
    return diagnostics.exchange_test(values, num_permutations=num_permutations, key=key).p_values


def _tested(values: np.ndarray, *, num_permutations: int, key: Array) -> np.ndarray:
    """P-values of groups, corrected for their number."""
    return np.asarray(_test(jnp.asarray(values, jnp.float32), key, num_permutations=num_permutations))


def _displacements(moved: np.ndarray, structure: np.ndarray, members: np.ndarray) -> list[dict[str, float]]:
    """For each group of atoms the mean, its interval over structures, and what noise gives."""
    means = [moved[member].mean(axis=0) for member in members]
    influence = [
        np.bincount(structure, np.where(member, moved[:, 0] - mean[0], 0)) / member.sum()
        for member, mean in zip(members, means, strict=True)
    ]
    errors = _errors(np.array(influence), structure, members)
    return [_entry(mean[0], error, mean[1:].mean(), most=np.inf) for mean, error in zip(means, errors, strict=True)]


def _errors(influence: np.ndarray, structure: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(g,) standard errors over structures; NaN for groups of a single one."""
    several = np.array([len(np.unique(structure[member])) > 1 for member in members])
    return np.where(several, np.asarray(_standard_errors(jnp.asarray(influence, jnp.float32)), float), np.nan)


@jax.jit
def _standard_errors(influence: Array) -> Array:
    """(g,) from influences of structures, (g, s)."""
    of_each = partial(statistics.cluster_error, clusters=jnp.arange(influence.shape[1]))
    return jax.vmap(of_each)(influence)


def _entry(value: float, error: float, null: float, *, most: float) -> dict[str, float]:
    low, high = max(value - _NORMAL * error, 0), min(value + _NORMAL * error, most)
    if not np.isfinite(error):
        low = high = np.nan
    return {"value": float(value), "low": float(low), "high": float(high), "null": float(null)}
