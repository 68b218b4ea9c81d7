"""Displacement of a model's embeddings by training: the same atoms before and after, relative to the same anchors."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Array

from platonic_jax import diagnostics, numerics, projection, statistics
from platonic_jax._checks import check_count
from platonic_jax.analyses import _intervals, _pairs
from platonic_jax.analyses._anchoring import choose_anchors
from platonic_jax.analyses._drift._energy import changes_of_energy
from platonic_jax.analyses._drift._lineage import check_lineage, check_repeat
from platonic_jax.analyses._drift._record import LEVEL, MARGIN, MEASURED, AtomDrift, Drift, Runs
from platonic_jax.analyses._jackknife import cloud_of, standard_errors
from platonic_jax.analyses._pairs import Cloud, serial_lapack
from platonic_jax.analyses._result import Estimate
from platonic_jax.analyses._run import provenance, streams
from platonic_jax.labels import combined
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["Drift", "drift"]

SCALES = {"procrustes": "at most 1", "mutual_knn": "share"}
# Relative noise of an embedding: the unit roundoff of 2⁻²⁴ or 2⁻¹¹, as it grows through the layers of a network.
FLOORS = {"float32 rounding": 1e-6, "another device": 1e-5, "half precision": 1e-3}
LEAST_RUNS = 3  # For the spread of displacements over runs of training.
_FLOOR_DRAWS = 2
_HALVES = 40
_HALF_SAMPLES = "half-samples of structures"
_NOTHING = 1e-6  # In distances between environments: equal embeddings, but for the rounding of similarities.
# One stream of randomness each, so that adding a draw to one leaves the others as they are.
_STREAMS = ("anchors", "noise", "halves", "bootstrap", "ties")


class _Atoms(NamedTuple):
    """The structure and the element of each atom, counted from 0, and groups of atoms as masks, (g, n)."""

    structure: np.ndarray
    element: np.ndarray
    members: np.ndarray

    @property
    def environments(self) -> np.ndarray:
        """The first atom of each element in each structure."""
        return np.unique(combined(self.structure, self.element), return_index=True)[1]


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
    num_bootstraps: int = 200,
    seed: int = 0,
) -> Drift:
    """Measure how far training has moved a model's embeddings, in units of the distance between environments.

    Beside every displacement stand numerical floors: what noise alone would displace, of the size that float32
    rounding, another device or half precision brings, and what embedding again does, where `repeats` are given. They
    are no null hypothesis, and there is no p-value against them.

    Whether training moves a model farther than another seed would is a statement about runs of training, and takes
    runs: structures are no replicates of them. With `reseeded` the displacement gets an interval over runs (three or
    more) and, once there are enough runs to reach 5 %, a p-value (`diagnostics.exchange_test`).

    Args:
        before: The earlier model.
        after: The later model, on the same structures.
        repeats: The earlier model embedded again, on another machine or in another order: a measured floor.
        reseeded: The later model trained again with another seed: replicates of the training run.
        seen: Symbols of the elements of the fine-tuning set; none where that is not known.
        labels: `energy` (s,) eV of the structures of `before`, as `tables.read_labels` finds them; NaN where unknown.
            From the errors of each model one energy an element is taken, that which fits them best.
        anchors: Method by which anchors are chosen among the atoms of `before`; or the anchors, as rows, or as atoms
            (`anchors.Anchors`). Anchors that move displace what stays: they are best of all elements.
        k: Number of anchors, where a method chooses them.
        similarity: Similarity of embeddings to anchors, as in `projection.relative`.
        num_neighbours: Number of mutual neighbours; and the unit of displacement is the median distance of an
            environment, the first atom of each element in each structure, to this neighbour.
        num_bootstraps: Draws of the interval of rank correlations.
        seed: Seed of everything random.

    Returns:
        Figures, and a verdict.

    Raises:
        ValueError: If the tables are of other atoms, or of models that are no versions of each other; for unknown
            elements, or a model that tells no environments apart.

    Example:
        >>> import numpy as np
        >>> from platonic_jax import EmbeddingTable, analyses
        >>> x = np.random.default_rng(0).normal(size=(60, 8))
        >>> table = EmbeddingTable.from_arrays(x, np.tile([29, 79], 30), np.repeat(np.arange(30), 2), model="same")
        >>> analyses.drift(table, table).moved
        []
    """
    check_count("num_neighbours", num_neighbours)
    if unknown := [symbol for symbol in seen if symbol not in atomic_numbers]:
        raise ValueError(f"`seen` must be symbols of elements, such as Cu,Au, got {unknown[0]!r}.")
    checked = check_lineage(before, after)
    for table in reseeded:
        check_lineage(before, table)
    for table in repeats:
        check_repeat(before, table)
    check_memory([before, after, *reseeded, *repeats], "the drift", copies=4, columns=k)
    given = len(before.x)
    first, last, *others = pair(before, after, *reseeded, *repeats)
    if labels is not None and len(first.x) < given:
        raise ValueError(
            f"`labels` must match the structures that all tables share, got {given - len(first.x)} atoms more."
        )
    key = streams(seed, *_STREAMS)
    number = min(k, len(first.x)) if isinstance(anchors, str) else k
    drawn = isinstance(anchors, str) and anchors == "random"  # Other methods choose what stands out.
    choice = choose_anchors(anchors, first, k=number, key=key["anchors"])

    structure = np.unique(first.structure_index, return_inverse=True)[1].astype(np.int32)
    elements, element = np.unique(first.species, return_inverse=True)
    symbols = [chemical_symbols[z] for z in elements]
    unseen = ~np.isin(symbols, list(seen))
    member = [np.ones(len(element), bool), *([unseen[element]] if seen else [])]
    ahead = len(member)
    atoms = _Atoms(structure, element, np.stack([*member, *(element == i for i in range(len(symbols)))]))

    x, y = jnp.asarray(first.x), jnp.asarray(last.x)
    runs = [y, *(jnp.asarray(table.x) for table in others[: len(reseeded)])]
    floors = {MEASURED: [jnp.asarray(table.x) for table in others[len(reseeded) :]]} if repeats else {}
    for i, (name, size) in enumerate(FLOORS.items()):
        draws = [jax.random.fold_in(key["noise"], _FLOOR_DRAWS * i + j) for j in range(_FLOOR_DRAWS)]
        floors[name] = [_noisy(x, draw, jnp.asarray(size, x.dtype)) for draw in draws]

    displaced = partial(_displaced, similarity=similarity)
    unit_of = partial(_unit, num_neighbours=num_neighbours, similarity=similarity)
    with serial_lapack():
        rows = jnp.asarray(choice.rows)
        unit = unit_of(x, rows, atoms.environments)
        moved = np.stack([np.asarray(displaced(x, run, rows), float) / unit for run in runs], axis=1)
        halves = []
        for i in range(_HALVES):
            environments, own = _half(atoms, jax.random.fold_in(key["halves"], i))
            again = rows
            if drawn:
                those = np.flatnonzero(own)
                draw = jax.random.fold_in(key["anchors"], 1 + i)
                of_half = choose_anchors(anchors, first.select(own), k=min(number, len(those)), key=draw)
                again = jnp.asarray(those[of_half.rows])
            of_runs = np.stack([np.asarray(displaced(x, run, again), float) for run in runs], axis=1)
            halves.append(_means(of_runs, atoms.members & own) / unit_of(x, again, environments))
        of_floors = {
            name: np.mean(
                [_means(np.asarray(displaced(x, z, rows), float) / unit, atoms.members) for z in values], axis=0
            )
            for name, values in floors.items()
        }
        agreement = _agreement(
            x, y, floors, rows, atoms, num_neighbours=num_neighbours, similarity=similarity, key=key["ties"]
        )
        models = [x, *runs] if reseeded else []
        between = np.array([[np.mean(displaced(a, b, rows)) for b in models] for a in models]) / unit

    halves = np.array(halves)
    entries = []
    for i, members in enumerate(atoms.members):
        displacement = _displacement(moved[:, :1], halves[:, i, :1], structure, members)
        noise = {name: float(values[i]) for name, values in of_floors.items()}
        entries.append(
            AtomDrift(
                num_atoms=int(members.sum()),
                num_structures=len(np.unique(structure[members])),
                displacement=displacement,
                **{name: estimates[i] for name, (estimates, _) in agreement.items()},
                floors={"displacement": noise, **{name: below[i] for name, (_, below) in agreement.items()}},
                beyond=bool(displacement.low > MARGIN * max(noise.values())),
                over_runs=_displacement(moved, halves[:, i], structure, members) if reseeded else None,
                seen=bool(not unseen[i - ahead]) if seen and i >= ahead else None,
            )
        )
    of_elements = dict(zip(symbols, entries[ahead:], strict=True))
    names = np.array([first.structure_name(int(i)) for i in np.unique(first.structure_index)])
    return Drift(
        before=first.model,
        after=last.model,
        overall=entries[0],
        unseen=entries[1] if seen else None,
        elements=dict(sorted(of_elements.items(), key=lambda entry: -entry[1].displacement.value)),
        structures={
            "structure": names,
            "displacement": np.bincount(structure, moved[:, 0]) / np.bincount(structure),
        },
        atoms={
            "structure": names[structure],
            "atom": first.atom_index,
            "element": np.array(symbols)[element],
            "displacement": moved[:, 0],
        },
        energy=changes_of_energy(
            first, last, labels, moved[:, 0], structure, symbols, element, num_bootstraps, key["bootstrap"]
        ),
        unit=unit,
        floors={name: {"noise": FLOORS.get(name), "num": len(values)} for name, values in floors.items()},
        runs=_among_runs(between) if reseeded else None,
        settings={
            "anchors": choice.method,
            "k": len(choice.rows),
            "similarity": similarity,
            "num_neighbours": num_neighbours,
            "seen": list(seen),
            "margin": MARGIN,
            "checked": checked,
            "interval": f"95 %; of displacements by {_HALVES} half-samples of the structures, each with its own unit "
            f"and {'anchors' if drawn else 'these anchors'}; of procrustes and mutual_knn over structures, for these "
            f"anchors; {_intervals.METHOD}",
        },
        provenance=provenance([before, after], [first, last], ["before", "after"], seed=seed),
    )


@jax.jit
def _noisy(x: Array, key: Array, size: Array) -> Array:
    """Embeddings moved at random by a part of their norm."""
    shift = jax.random.normal(key, x.shape, x.dtype) / math.sqrt(x.shape[1])
    return x + size * numerics.safe_norm(x)[:, None] * shift


_displaced = partial(jax.jit, static_argnames="similarity")(diagnostics.displacement)


@partial(jax.jit, static_argnames="similarity")
def _shared(x: Array, rows: Array, *, similarity: str) -> Array:
    return projection.relative(x, x[rows], similarity=similarity)


def _unit(x: Array, rows: Array, environments: np.ndarray, *, num_neighbours: int, similarity: str) -> float:
    """Compute the median distance of an environment to its last neighbour, root mean square over anchors."""
    if len(environments) < 2:
        raise ValueError("`before` must have at least two environments, got one: embed more structures.")
    chosen = _shared(x, rows, similarity=similarity)[environments]
    most = min(num_neighbours, len(environments) - 1)
    distance = numerics.neighbours(chosen, num_neighbours=most, metric="l2")[1][:, -1]
    unit = float(np.median(distance)) / math.sqrt(chosen.shape[1])
    if not unit > 0:
        raise ValueError(
            "`before` has the same embedding for most environments, so no distance between environments is defined."
        )
    return unit


def _half(atoms: _Atoms, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """Draw half of the environments, of whole structures, and mark the atoms of these structures, (n,)."""
    environments = atoms.environments
    structure = atoms.structure[environments]
    number = max(2, len(environments) // 2)
    half = np.asarray(_subsample(key, jnp.asarray(structure), num_rows=min(number, len(environments))))
    return environments[half], np.isin(atoms.structure, structure[half])


_subsample = jax.jit(statistics.subsample_index, static_argnames="num_rows")


def _agreement(
    x: Array,
    y: Array,
    floors: Mapping[str, Sequence[Array]],
    rows: Array,
    atoms: _Atoms,
    *,
    num_neighbours: int,
    similarity: str,
    key: Array,
) -> dict[str, tuple[list[Estimate], list[dict[str, float]]]]:
    """Compute by measure, for each group of atoms, its value before against after, and its numerical floors."""
    place = jnp.asarray(atoms.structure)
    keys = (jax.random.fold_in(key, i) for i in count())  # Ties are broken anew in every cloud.
    most = min(num_neighbours, len(atoms.structure) - 1)

    def cloud(z: Array) -> Cloud:
        shared = _shared(z, rows, similarity=similarity)
        return cloud_of(shared, place, next(keys), num_neighbours=most, measures=tuple(SCALES))

    first = cloud(x)
    weights = jnp.asarray(atoms.members, first.rows.dtype)
    values, influence = _influences(first, cloud(y), weights, place)
    noisy = {
        name: [_influences(first, cloud(z), weights, place)[0] for z in samples] for name, samples in floors.items()
    }
    out = {}
    for name, scale in SCALES.items():
        slopes = np.asarray(influence[name])[:, : atoms.structure.max() + 1]
        errors = standard_errors(slopes).astype(float)
        below = {
            floor: np.mean([np.asarray(sample[name]) for sample in samples], axis=0) for floor, samples in noisy.items()
        }
        out[name] = (
            [
                _intervals.interval(float(value), error, scale=scale, sizes=_sizes(atoms.structure, member))
                for value, error, member in zip(np.asarray(values[name]), errors, atoms.members, strict=True)
            ],
            [{floor: float(samples[i]) for floor, samples in below.items()} for i in range(len(atoms.members))],
        )
    return out


@jax.jit
def _influences(a: Cloud, b: Cloud, weights: Array, structure: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """For each group the measures, (g,), and the influence of each structure, (g, n), of which so many are not zero."""

    def of_group(chosen: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        values, slopes = _pairs.influences(a, b, chosen, measures=tuple(SCALES))
        return values, {name: jnp.zeros_like(slope).at[structure].add(slope) for name, slope in slopes.items()}

    return numerics.map_rows(of_group, weights)


def _sizes(structure: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Number of a group's atoms in each structure that has some."""
    return np.unique(structure[members], return_counts=True)[1]


def _means(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(g, …) the mean over the atoms of each group; NaN for one without atoms."""
    number = members.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(number > 0, members @ values / np.maximum(number, 1), np.nan)


def _displacement(moved: np.ndarray, halves: np.ndarray, structure: np.ndarray, members: np.ndarray) -> Estimate:
    """Compute the mean displacement of a group of atoms over runs of training, and its interval.

    Half-samples of the structures spread as samples as large as the whole do, and bring what the unit and the anchors
    add. Several runs add their own spread.

    Args:
        moved: (n, r) displacements of all atoms by each run.
        halves: (d, r) means over the group in each half-sample; NaN where it holds none of the group.
        structure: (n,) structure of each atom.
        members: (n,) atoms of the group.
    """
    of_runs, sizes = moved[members].mean(axis=0), _sizes(structure, members)
    mean, runs = float(of_runs.mean()), len(of_runs)
    draws = halves.mean(axis=1)
    draws = draws[np.isfinite(draws)]
    if len(sizes) < _intervals.LEAST_GROUPS or 2 * len(draws) < _HALVES or 1 < runs < LEAST_RUNS:
        return Estimate(mean)
    if mean < _NOTHING or draws.min() <= 0:
        return Estimate(mean, mean, mean, method=_HALF_SAMPLES)
    effective = _intervals.effective_number(sizes)
    parts = [((mean * np.log(draws).std(ddof=1)) ** 2, min(len(draws), effective) - 1)]
    if runs > 1:
        parts.append((of_runs.var(ddof=1) / runs, runs - 1))
    variance = sum(part for part, _ in parts)
    # Welch and Satterthwaite: the freedom of a sum of independent variances.
    freedom = variance**2 / sum(part**2 / size for part, size in parts)
    return _intervals.on_scale(mean, math.sqrt(variance), scale="positive", freedom=freedom, method=_HALF_SAMPLES)


def _among_runs(between: np.ndarray) -> Runs:
    """Compare runs of training: their spread, and p-values where there are enough of them to reach the level.

    Args:
        between: (1 + r, 1 + r) mean displacements between the earlier model and r runs.
    """
    of_runs = between[1:, 1:]
    number = len(of_runs)
    ranked = lambda distances: float(diagnostics.exchange_test(jnp.asarray(distances, jnp.float32))[0]) * len(distances)
    test = lambda distances: round(ranked(distances)) / len(distances)  # 1 / 20 is 0.05, in single precision too.
    reaches = lambda models: models * LEVEL >= 1
    return Runs(
        num=number,
        spread=float(of_runs[~np.eye(number, dtype=bool)].mean()),
        p=test(between) if reaches(number + 1) else None,
        p_of_this_run=test(of_runs) if reaches(number) else None,
        least_p=1 / (number + 1),
    )
