"""Learn a shared space from tables, and judge it on chemistry that training never saw.

Whole chemical systems are held out, some to choose the best state, others to judge it. The same atoms are compared
there before and after: in the plain space of the same number of anchors, and in the learned one. Models with random
weights take no part in training; each is fitted last, in the same way, to the trained models as they are by then. What
trained models share beyond what such a control can be brought to share is the excess, the figure that counts.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols

from platonic_jax import _pairs, groups, learn, projection
from platonic_jax.anchors import Anchors, LinearMap
from platonic_jax.compare._driver import check_among, provenance
from platonic_jax.compare._estimates import cloud_of, estimates_of, standard_errors
from platonic_jax.compare._record import plain, write_json
from platonic_jax.compare._resolved import LEAST_ATOMS
from platonic_jax.compare._spaces import Choice, display_names
from platonic_jax.tables import EmbeddingTable, pair

__all__ = ["Trained", "read_targets", "train"]

PARTS = ("metric", "anchors", "weights")
MEASURES = ("procrustes", "mutual_knn")
POOL = 10  # Candidate atoms for each learned anchor.
# Of Adam, which moves what it learns by about as much a step: a metric in units of its rows, a mixture in logits.
LEARNING_RATE, LEARNING_RATE_OF_MIXTURES = 3e-3, 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A learned space and what it is worth on held-out structures.

    Attributes:
        anchors: the atoms, with weights and maps: what every command takes.
        models: names, trained ones first, then controls with random weights.
        num_trained: how many are no controls.
        judged: by `all` or `within` one element, by `plain` or `learned`, by measure: `value`, `low`, `high` of every
            pair of `pairs`, and of the means: of `trained` pairs, and, where there are any, of `control` pairs and the
            `excess` of the first over them. No `within` where the element has fewer than 100 atoms held out.
        pairs: pairs of models that were judged.
        element: the atomic number of the element of `within`, the most frequent one.
        losses: of every step of training.
        validation_losses: (checks, 2) step and loss on chemical systems that neither learn nor judge: the best state is
            that of the smallest.
        stopped: why training ended.
        settings: how it was made.
        provenance: of the tables.
    """

    anchors: Anchors
    models: list[str]
    num_trained: int
    judged: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
    pairs: list[tuple[int, int]]
    element: int
    losses: np.ndarray
    validation_losses: np.ndarray
    stopped: str
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def places(self) -> dict[str, str]:
        """What each key of `judged` stands for, in words."""
        told = {"all": "all elements", "within": f"within {chemical_symbols[self.element]}"}
        return {where: told[where] for where in self.judged}

    def to_json(self) -> dict[str, Any]:
        """Everything but the anchors, as plain lists and numbers; undefined values are null."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "anchors")
        return plain({name: getattr(self, name) for name in names})

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(self.to_json(), path)


def train(
    tables: Sequence[EmbeddingTable],
    *,
    objective: Sequence[str] = ("agreement",),
    targets: Mapping[str, Any] | None = None,
    parts: Sequence[str] | None = None,
    k: int = 100,
    rank: int | None = None,
    seed: int = 0,
    held_out: float = 0.2,
    num_steps: int = 1000,
    num_rows: int = 1024,
    num_judged: int = 1000,
    num_neighbours: int = 10,
    checkpoints: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Trained:
    """Learn anchors, weights or metrics, and judge them.

    Args:
        tables: tables of the same atoms, with their structures; models with random weights serve as controls.
        objective: `agreement` of the models, or `task:NAME`, the error of a linear read-out of a target; a sum of
            several.
        targets: by name, (s,) values of the structures, or (n,) values of the atoms, of the first table; NaN where
            unknown.
        parts: what is learned: a `metric` for each model, `anchors`, their `weights`. By default the metric for
            agreement, anchors and weights for tasks.
        k: the number of anchors.
        rank: directions that a metric keeps; 64, or all there are, by default.
        seed: everything random follows from it.
        held_out: share of the chemical systems that agreement is judged on; half as many more choose the best state.
        num_steps: steps of training.
        num_rows: atoms in a batch.
        num_judged: held-out atoms that agreement is judged on, at most; and as many of one element.
        num_neighbours: the neighbours that `mutual_knn` compares.
        checkpoints: a folder from which a killed run goes on.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        The learned space and its worth.

    Raises:
        ValueError: fewer than two trained models, tables without structures, an unknown objective, part or target.
    """
    common = pair(*tables)
    trained, controls = ([table for table in common if table.kind == kind] for kind in ("model", "random"))
    paired, num_trained = [*trained, *controls], len(trained)
    first, names = common[0], display_names(paired)
    if num_trained < 2:
        raise ValueError(f"`tables` must be of two trained models at least, got {num_trained}.")
    if first.structures is None:
        raise ValueError("`tables` must bring their structures, got bare arrays: anchors are kept as atoms.")
    if len({table.model for table in paired}) < len(paired):
        raise ValueError(f"`tables` must be of different models, got {', '.join(names)}.")
    goal, parts = _goal(objective, parts, targets or {})
    streams = ("split", "pool", "fit", "rows", "validation")
    key = {name: jax.random.fold_in(jax.random.key(seed), i) for i, name in enumerate(streams)}
    by_row = _by_row(targets or {}, first)
    judged_on, validated_on = _held_out(first, held_out, split=key["split"], validation=key["validation"])
    learned_from = ~(judged_on | validated_on)
    if (num_left := min(num_judged, judged_on.sum())) <= num_neighbours:
        raise ValueError(
            f"`held_out` must leave more than `num_neighbours` = {num_neighbours} atoms to judge on, got {num_left}: "
            "give more structures."
        )

    candidates = np.flatnonzero(learned_from)
    number = min(len(candidates), k * POOL) if "anchors" in parts else k
    if k > len(candidates):
        raise ValueError(f"`k` must be at most the number of atoms to learn from = {len(candidates)}, got {k}.")
    pool = candidates[np.sort(np.asarray(jax.random.permutation(key["pool"], len(candidates)))[:number])]

    def metric_of(table: EmbeddingTable) -> learn.Metric:
        x = table.x[learned_from]
        return learn.Metric(x, kind="linear", rank=min(rank or 64, x.shape[1]))

    def fitted(space: learn.SharedSpace, chosen: Sequence[EmbeddingTable], name: str, **settings: Any) -> learn.Fit:
        def report(done: int, of: int, loss: float) -> None:
            if progress is not None:
                progress(f"{name}, loss {loss:.3f}", done, of)

        seen, unseen = (
            learn.Data(
                [table.x[mask] for table in chosen],
                first.structure_index[mask],
                targets={target: values[mask] for target, values in by_row.items()},
            )
            for mask in (learned_from, validated_on)
        )
        return learn.fit(
            space,
            goal,
            seen,
            validation=unseen,
            num_steps=num_steps,
            num_rows=num_rows,
            learning_rate=LEARNING_RATE_OF_MIXTURES if "anchors" in parts else LEARNING_RATE,
            key=key["fit"],
            progress=report,
            **settings,
        )

    start = learn.SharedSpace(
        [table.x[pool] for table in trained],
        metrics=[metric_of(table) for table in trained] if "metric" in parts else None,
        anchors=learn.SoftAnchors(number, k, key=key["pool"]) if "anchors" in parts else None,
        weights=learn.AnchorWeights(k) if "weights" in parts else None,
    )
    found = fitted(start, trained, "learning", checkpoints=checkpoints)
    space, rows = found.space.hardened(), pool[found.space.chosen()]
    metrics = [] if space.metrics is None else list(space.metrics)
    for control, name in zip(controls if metrics else [], names[num_trained:], strict=False):
        beside = learn.SharedSpace(
            [table.x[rows] for table in (*trained, control)],
            metrics=[*(learn.frozen(metric) for metric in metrics[:num_trained]), metric_of(control)],
            weights=space.weights and learn.frozen(space.weights),
        )
        metrics += list(fitted(beside, [*trained, control], f"fitting {name}").space.metrics or [])[-1:]

    learned = Anchors.from_rows(
        first.structures,
        first.structure_index,
        rows,
        method=f"learned for {' + '.join(objective)}",
        weights=None if space.weights is None else np.asarray(space.weights()),
        metrics={
            table.model: LinearMap(table.layer, np.asarray(metric.origin[...]), np.asarray(metric.matrix))
            for table, metric in zip(paired, metrics, strict=False)
        },
        provenance={"models": names, "seed": seed},
    )
    judged, pairs, element = _judged(
        paired, learned, rows, judged_on, num_trained, key["rows"], num_judged=num_judged, k=num_neighbours
    )
    return Trained(
        anchors=learned,
        models=names,
        num_trained=num_trained,
        judged=judged,
        pairs=pairs,
        element=element,
        losses=found.losses,
        validation_losses=found.held_out,
        stopped=found.stopped,
        settings={
            "objective": list(objective),
            "parts": list(parts),
            "k": k,
            "rank": rank,
            "num_steps": num_steps,
            "num_rows": num_rows,
            "structures": {
                name: len(np.unique(first.structure_index[mask]))
                for name, mask in (("learned", learned_from), ("validated", validated_on), ("judged", judged_on))
            },
            "held_out": "whole chemical systems, drawn at random",
            "interval": "value ± 1.96 standard errors, by the infinitesimal jackknife over held-out structures",
        },
        provenance=provenance(tables, paired, names, seed=seed),
    )


def read_targets(path: str | Path, table: EmbeddingTable) -> dict[str, np.ndarray]:
    """Values of structures from a CSV file.

    Args:
        path: the file, with a column `id` or `material_id`, and columns of numbers; empty where unknown. Other columns
            are left out, and so are structures that the table does not have.
        table: whose structures are meant.

    Returns:
        By column, (s,) values, NaN where the file has none.

    Raises:
        ValueError: no such file, no column of ids, no column of numbers, or none of the table's structures.
    """
    import csv

    if not Path(path).is_file():
        raise ValueError(f"`targets` must be a CSV file, got {str(path)!r}, which does not exist.")
    with Path(path).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    heads = list(lines[0]) if lines else []
    identity = next((head for head in ("id", "material_id") if head in heads), None)
    if identity is None:
        raise ValueError(
            f"{str(path)!r} must have a column `id` or `material_id`, got {', '.join(heads) or 'nothing'}."
        )
    ids = [] if table.structures is None else table.structures.ids
    place = {line[identity]: i for i, line in enumerate(lines)}
    rows = [place.get(name) for name in ids]
    if all(row is None for row in rows):
        raise ValueError(f"{str(path)!r} must hold structures of the stores, such as {ids[0]!r}, got none of them.")
    found = {}
    for head in heads:
        try:
            values = np.array([float(line[head] or "nan") for line in lines], np.float32)
        except (TypeError, ValueError):
            continue
        if head != identity:
            found[head] = np.array([np.nan if row is None else values[row] for row in rows], np.float32)
    if not found:
        raise ValueError(f"{str(path)!r} must have a column of numbers, got {', '.join(heads)}.")
    return found


def _goal(
    objective: Sequence[str], parts: Sequence[str] | None, targets: Mapping[str, Any]
) -> tuple[learn.objectives.Objective, tuple[str, ...]]:
    """The function to minimise, and what is learned."""
    terms, wanted = [], set()
    for name in objective:
        kind, _, target = name.partition(":")
        if kind == "agreement" and not target:
            terms.append((1.0, learn.objectives.agreement("matching")))
            wanted |= {"metric"}
        elif kind == "task" and target in targets:
            terms.append((1.0, learn.objectives.values(target)))
            wanted |= {"anchors", "weights"}
        else:
            known = ["agreement", *(f"task:{target}" for target in targets)]
            raise ValueError(f"`objective` must be among {', '.join(known)}, got {name!r}.")
    if parts is not None:
        check_among("parts", parts, PARTS)
        wanted = set(parts)
    return learn.objectives.weighted(*terms), tuple(part for part in PARTS if part in wanted)


def _held_out(table: EmbeddingTable, fraction: float, *, split: Any, validation: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which rows the result is judged on, and which choose the best state: of chemical systems of their own."""
    systems = groups.chemical_systems(table.structures)[table.structure_index]
    judged_on = learn.held_out_groups(systems, fraction=fraction, key=split)
    validated_on = np.zeros_like(judged_on)
    validated_on[~judged_on] = learn.held_out_groups(systems[~judged_on], fraction=fraction / 2, key=validation)
    return judged_on, validated_on


def _by_row(targets: Mapping[str, Any], table: EmbeddingTable) -> dict[str, np.ndarray]:
    """Values of structures at each of their atoms."""
    found, number = {}, 0 if table.structures is None else len(table.structures)
    for name, values in targets.items():
        values = np.asarray(values, np.float32)
        if values.shape not in ((number,), (len(table.x),)):
            raise ValueError(
                f"`targets[{name!r}]` must have a value for each of {number} structures or {len(table.x)} atoms, got "
                f"shape {values.shape}."
            )
        found[name] = values if len(values) == len(table.x) else values[table.structure_index]
    return found


def _judged(
    tables: Sequence[EmbeddingTable],
    learned: Anchors,
    rows: np.ndarray,
    judged_on: np.ndarray,
    num_trained: int,
    key: Any,
    *,
    num_judged: int,
    k: int,
) -> tuple[dict[str, Any], list[tuple[int, int]], int]:
    """Every pair of trained models and every trained model with every control, before and after, on held-out atoms."""
    species, structure = tables[0].species, tables[0].structure_index
    elements, count = np.unique(species[judged_on], return_counts=True)
    element = int(elements[count.argmax()])
    pairs = [(i, j) for i, j in itertools.combinations(range(len(tables)), 2) if i < num_trained]
    kinds = np.array(["trained" if j < num_trained else "control" for _, j in pairs])
    indices = {}
    for where, mask in (("all", judged_on), ("within", judged_on & (species == element))):
        # Single atoms, not whole structures, whose symmetric copies would be neighbours of each other in any space.
        index = np.sort(np.asarray(jax.random.permutation(key, np.flatnonzero(mask)))[:num_judged])
        if where == "all" or len(index) >= LEAST_ATOMS:
            indices[where] = index

    weights = None if learned.weights is None else jnp.asarray(learned.weights)
    choices = {"plain": Choice("plain", rows), "learned": Choice("learned", rows, weights, learned)}
    judged = {where: {} for where in indices}
    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        for which, choice in choices.items():
            seen = [choice.mapped(table) for table in tables]
            for where, index in indices.items():
                clouds = []
                for x in seen:
                    atoms, anchors = (jnp.asarray(x[of], jnp.float64) for of in (index, rows))
                    shared = projection.relative(atoms, anchors, weights=choice.weights)
                    clouds.append(cloud_of(shared, num_neighbours=k))
                found = estimates_of(clouds, clouds, pairs, jnp.asarray(structure[index]), measures=MEASURES)
                judged[where][which] = {name: _summary(*found[name], kinds) for name in MEASURES}
    for where, index in indices.items():
        judged[where]["num_atoms"] = len(index)
    return judged, pairs, element


def _summary(value: np.ndarray, influence: np.ndarray, kinds: np.ndarray) -> dict[str, Any]:
    """Values of pairs with their intervals, and means over pairs with theirs."""
    rows = {"pairs": (value, influence)}
    means = {
        kind: (value[kinds == kind].mean(), influence[kinds == kind].mean(axis=0))
        for kind in ("trained", "control")
        if kind in kinds
    }
    if "control" in means:
        means["excess"] = tuple(a - b for a, b in zip(means["trained"], means["control"], strict=True))
    rows |= {name: (np.array([mean]), slope[None]) for name, (mean, slope) in means.items()}
    out = {}
    for name, (found, slope) in rows.items():
        half = 1.96 * standard_errors(slope)
        out[name] = {"value": found, "low": found - half, "high": found + half}
        if name != "pairs":
            out[name] = {field: float(numbers[0]) for field, numbers in out[name].items()}
    return out
