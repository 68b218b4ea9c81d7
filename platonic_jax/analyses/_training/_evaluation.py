"""Evaluation of a learned space on unseen chemical systems."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from platonic_jax._typing import AnyArray
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._anchoring import Choice, relative
from platonic_jax.analyses._comparison._resolved import LEAST_ATOMS
from platonic_jax.analyses._intervals import JACKKNIFE
from platonic_jax.analyses._jackknife import cloud_of, estimates_of, half_width, standard_errors
from platonic_jax.analyses._result import Estimate
from platonic_jax.analyses._training._objectives import Target
from platonic_jax.labels import chemical_systems
from platonic_jax.tables import EmbeddingTable

MEASURES = ("procrustes", "mutual_knn")
KINDS = ("trained", "unseen", "control")
LEARNED = "learned"
RIDGES = np.logspace(-8, 0, 9)  # Penalties of a readout, in units of the mean eigenvalue of XᵀX.


@dataclasses.dataclass(frozen=True, eq=False)
class Similarities:
    """One measure in one space, over pairs of models.

    Attributes:
        pairs: Of every pair.
        means: By kind of pair: of `trained` models, and, where there are any, with an `unseen` model, with a `control`,
            and the `excess` of the first over the last.
    """

    pairs: Sequence[Estimate]
    means: Mapping[str, Estimate]


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of models on held-out atoms.

    Attributes:
        num_atoms: Number of atoms.
        spaces: By space, by measure.
        gains: By space, by measure, by kind of pair: the mean in the `learned` space less that in this one.
    """

    num_atoms: int
    spaces: Mapping[str, Mapping[str, Similarities]]
    gains: Mapping[str, Mapping[str, Mapping[str, Estimate]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Errors:
    """Held-out errors of a readout in one space.

    Attributes:
        models: Of every model.
        means: By kind of model: `trained`, and, where there are any, `unseen`, `control`, and the `excess` of the last
            over the first.
    """

    models: Sequence[Estimate]
    means: Mapping[str, Estimate]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Held-out errors of a linear readout of one target.

    Attributes:
        unit: What the errors are.
        per: `atom` or `structure`.
        labels: Names of the classes; None of values.
        num: Atoms or structures that `learned`, `validated` and `evaluated` the readout.
        spaces: By space.
        baselines: Errors of a `constant`, and of the `composition` alone.
        reduction: By other space, by kind of model, 1 − error in the `learned` space / error there.
        gains: By other space, the difference of the excess between them; empty without controls.
    """

    unit: str
    per: str
    labels: Sequence[str] | None
    num: Mapping[str, int]
    spaces: Mapping[str, Errors]
    baselines: Mapping[str, Estimate]
    reduction: Mapping[str, Mapping[str, Estimate]]
    gains: Mapping[str, Estimate]


def evaluate_agreement(
    tables: Sequence[EmbeddingTable],
    spaces: Mapping[str, Choice | None],
    tested_on: np.ndarray,
    *,
    kinds: list[str],
    num_evaluated: int,
    num_neighbours: int,
    key: Any,
) -> tuple[dict[str, Agreement], list[tuple[int, int]], int]:
    """Compare every pair of models, and every trained one with every control, in every space, on held-out atoms.

    Args:
        tables: models in the order of `kinds`.
        spaces: by name, among them `learned`; None for the embeddings as they are, without anchors.
        tested_on: (n,) which atoms are held out.
        kinds: kind of each model, from `KINDS`.
        num_evaluated: number of atoms compared, at most.
        num_neighbours: neighbours that `mutual_knn` compares.
        key: typed key.

    Returns:
        Agreement by `all` or `within` one element, the pairs of models, and the most frequent element.
    """
    species, structure = tables[0].species, tables[0].structure_index
    elements, count = np.unique(species[tested_on], return_counts=True)
    element = int(elements[count.argmax()])
    every = itertools.combinations(range(len(tables)), 2)
    pairs = [(i, j) for i, j in every if kinds[i] == "trained" or kinds[j] != "control"]
    if kinds.count("trained") < 2:
        return {}, pairs, element
    # Of the two, the later kind: trained, unseen, control.
    of_pair = np.array([kinds[j] for _, j in pairs])
    indices = {}
    for where, mask in (("all", tested_on), ("within", tested_on & (species == element))):
        # Single atoms, not whole structures, whose symmetric copies would be neighbours of each other in any space.
        index = np.sort(np.asarray(jax.random.permutation(key, np.flatnonzero(mask)))[:num_evaluated])
        if where == "all" or len(index) >= LEAST_ATOMS:
            indices[where] = index

    scores = {where: {} for where in indices}
    means = {where: {} for where in indices}
    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        for which, choice in spaces.items():
            for where, index in indices.items():
                clouds = []
                for i, table in enumerate(tables):
                    clouds.append(
                        cloud_of(
                            _features(choice, table, index, dtype=np.float64),
                            structure[index],
                            jax.random.fold_in(key, i),
                            num_neighbours=num_neighbours,
                            measures=MEASURES,
                        )
                    )
                estimates = estimates_of(clouds, clouds, pairs, structure[index], measures=MEASURES)
                means[where][which] = {name: _means(*estimates[name], of_pair) for name in MEASURES}
                scores[where][which] = {
                    name: Similarities(
                        _each(*estimates[name]),
                        {kind: _estimate(*mean) for kind, mean in means[where][which][name].items()},
                    )
                    for name in MEASURES
                }
    agreement = {where: Agreement(len(index), scores[where], _gains(means[where])) for where, index in indices.items()}
    return agreement, pairs, element


def _means(value: np.ndarray, influence: np.ndarray, kinds: np.ndarray) -> dict[str, tuple[Any, np.ndarray]]:
    """Means over the pairs of each kind and the excess of trained over control ones, with their influences."""
    means = {
        kind: (value[kinds == kind].mean(), influence[kinds == kind].mean(axis=0)) for kind in KINDS if kind in kinds
    }
    if "control" in means:
        means["excess"] = _difference(means["trained"], means["control"])
    return means


def _gains(
    means: Mapping[str, Mapping[str, Mapping[str, tuple[Any, np.ndarray]]]],
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Differences between the learned space and every other; the atoms are the same, so their influences subtract."""
    return {
        which: {
            name: {kind: _estimate(*_difference(means[LEARNED][name][kind], mean)) for kind, mean in of_measure.items()}
            for name, of_measure in by_measure.items()
        }
        for which, by_measure in means.items()
        if which != LEARNED
    }


def _difference(one: tuple[Any, np.ndarray], other: tuple[Any, np.ndarray]) -> tuple[Any, np.ndarray]:
    return one[0] - other[0], one[1] - other[1]


def _each(values: np.ndarray, influences: np.ndarray) -> list[Estimate]:
    """Values ± t standard errors, from the influence of every structure or system along the last axis."""
    num_clusters = int(np.count_nonzero(influences.any(axis=0)))
    half = half_width((standard_errors(influences), num_clusters - 1))
    return [
        Estimate.around(float(value), float(width), method=JACKKNIFE) for value, width in zip(values, half, strict=True)
    ]


def _estimate(value: Any, influence: np.ndarray) -> Estimate:
    return _each(np.array([value]), influence[None])[0]


def evaluate_tasks(
    tables: Sequence[EmbeddingTable],
    spaces: Mapping[str, Choice | None],
    targets: Mapping[str, Target],
    *,
    kinds: list[str],
    learned_from: np.ndarray,
    validated_on: np.ndarray,
    tested_on: np.ndarray,
) -> dict[str, Task]:
    """The error of a linear readout of every target, from every model in every space, on held-out structures.

    The readout is a ridge regression on what anchors and metrics were learned from; its penalty is the best on what
    chose their state. The error is the mean absolute one of values, the share of wrong ones of classes: means over
    structures, with intervals over chemical systems.
    """
    first = tables[0]
    system = np.unique(chemical_systems(first.structures), return_inverse=True)[1]
    composition = np.zeros((len(first.x), int(first.species.max()) + 1), np.float32)
    composition[np.arange(len(first.x)), first.species] = 1
    features = {which: [np.asarray(_features(choice, table)) for table in tables] for which, choice in spaces.items()}
    out = {}
    for name, target in targets.items():
        known = np.isfinite(target.values)
        whole, y, x_of = _units(target, first, known)
        parts = [mask[whole] for mask in (learned_from, validated_on, tested_on)]
        error = partial(_mean_error, y=y, parts=parts, structure=first.structure_index[whole], system=system)
        spaces_of, means = {}, {}
        for which, clouds in features.items():
            errors = [error(x_of(x)) for x in clouds]
            value, influence = (np.array(each) for each in zip(*errors, strict=True))
            members = {kind: np.array(kinds) == kind for kind in KINDS if kind in kinds}
            means[which] = {
                kind: (value[index].mean(), influence[index].mean(axis=0)) for kind, index in members.items()
            }
            if "control" in members:  # An error: the smaller, the better.
                means[which]["excess"] = _difference(means[which]["control"], means[which]["trained"])
            spaces_of[which] = Errors(
                _each(value, influence), {kind: _estimate(*mean) for kind, mean in means[which].items()}
            )
        learned, others = means[LEARNED], {which: mean for which, mean in means.items() if which != LEARNED}
        out[name] = Task(
            unit="mean absolute error" if target.labels is None else "share of wrong classes",
            per=target.per,
            labels=target.labels,
            num=dict(zip(("learned", "validated", "evaluated"), (int(part.sum()) for part in parts), strict=True)),
            spaces=spaces_of,
            baselines={
                "constant": _estimate(*error(np.zeros((len(y), 1), np.float32))),
                "composition": _estimate(*error(x_of(composition))),
            },
            reduction={
                which: {kind: _reduction(learned[kind], mean[kind]) for kind in KINDS if kind in mean}
                for which, mean in others.items()
            },
            gains={
                which: _estimate(*_difference(learned["excess"], mean["excess"]))
                for which, mean in others.items()
                if "excess" in mean
            },
        )
    return out


def _reduction(after: tuple[Any, np.ndarray], before: tuple[Any, np.ndarray]) -> Estimate:
    """1 − after / before."""
    ratio = after[0] / before[0]
    return _estimate(1 - ratio, (ratio * before[1] - after[1]) / before[0])


def _features(choice: Choice | None, table: EmbeddingTable, index: Any = slice(None), *, dtype: Any = None) -> AnyArray:
    """Rows of a model in a space, (n, k); its embeddings as they are, (n, p), where there is no choice of anchors."""
    if choice is None:
        return np.asarray(table.x[index], dtype)
    x = choice.mapped(table)
    atoms, anchors = (np.asarray(x[rows], dtype) for rows in (index, choice.rows))
    return relative(atoms, anchors, weights=choice.weights)


def _units(target: Target, table: EmbeddingTable, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return the evaluated units (atoms or structures): a row of each, its target (u, c), and the pooling function."""
    if target.per == "atom":
        rows = np.flatnonzero(known)
        pooled = lambda x: x[rows]
    else:
        structures, begins = np.unique(table.structure_index, return_index=True)
        size = np.diff(begins, append=len(table.x))
        kept = known[begins]
        rows = begins[kept]
        pooled = lambda x: (np.add.reduceat(x, begins, axis=0) / size[:, None])[kept]
    y = target.values[rows].astype(np.float64)
    return rows, y[:, None] if target.labels is None else np.eye(len(target.labels))[y.astype(int)], pooled


def _mean_error(
    x: np.ndarray, *, y: np.ndarray, parts: Sequence[np.ndarray], structure: np.ndarray, system: np.ndarray
) -> tuple[float, np.ndarray]:
    """The mean over structures of the mean over each one's units, and the influence of each chemical system on it."""
    errors = _readout_errors(x, y, *parts)
    present, place = np.unique(structure[parts[-1]], return_inverse=True)
    of_structure = np.bincount(place, errors) / np.bincount(place)
    mean = of_structure.mean()
    influence = np.bincount(system[present], of_structure - mean, minlength=system.max() + 1) / len(present)
    return float(mean), influence


def _readout_errors(
    x: np.ndarray, y: np.ndarray, learned: np.ndarray, validated: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """The error of each unit of the test set: |y − ŷ|, or, for classes, 1 where another indicator is larger."""
    x = x.astype(np.float64)
    centre, mean = x[learned].mean(axis=0), y[learned].mean(axis=0)
    x, fitted = x - centre, y[learned] - mean
    eigenvalues, directions = np.linalg.eigh(x[learned].T @ x[learned])
    projected = directions.T @ (x[learned].T @ fitted)
    size = max(float(eigenvalues.mean()), np.finfo(float).tiny)

    def predicted(ridge: float, mask: np.ndarray) -> np.ndarray:
        return x[mask] @ (directions @ (projected / (np.maximum(eigenvalues, 0) + ridge * size)[:, None])) + mean

    best = min(RIDGES, key=lambda ridge: float(((predicted(ridge, validated) - y[validated]) ** 2).sum()))
    guess = predicted(best, test)
    if y.shape[1] == 1:
        return np.abs(guess - y[test])[:, 0]
    return (guess.argmax(axis=1) != y[test].argmax(axis=1)).astype(np.float64)
