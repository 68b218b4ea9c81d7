"""Training of a shared space from tables."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ase.data import chemical_symbols

from platonic_jax import anchors as anchor_methods
from platonic_jax import learn
from platonic_jax.analyses._anchoring import Choice, display_names
from platonic_jax.analyses._result import Result
from platonic_jax.analyses._run import check_among, provenance, streams
from platonic_jax.analyses._training._evaluation import LEARNED, Agreement, Task, evaluate_agreement, evaluate_tasks
from platonic_jax.analyses._training._objectives import goal_of
from platonic_jax.anchors import Anchors, LinearMap
from platonic_jax.labels import chemical_systems
from platonic_jax.tables import EmbeddingTable, check_memory, pair

POOL = 10  # Candidate atoms for each learned anchor.
# Of Adam, which moves what it learns by about as much a step: a metric in units of its rows, a mixture in logits.
LEARNING_RATES = {"metrics": 1e-2, "anchors": 0.1, "weights": 0.05}


@dataclasses.dataclass(frozen=True, eq=False)
class Training(Result):
    """A learned space, evaluated on held-out structures.

    Every figure of the `learned` space stands beside those of four others: `raw`, the embeddings without anchors;
    `plain`, relative to random anchors; `direct`, to anchors chosen by DIRECT, for tasks alone; and `start`, the space
    before the first step of training, where controls and unseen models have the maps that all models begin with.

    Attributes:
        anchors: the atoms, with weights and maps: what every command takes.
        models: names, trained ones first, then unseen ones, then controls with random weights.
        num_trained: how many took part in training.
        num_unseen: how many were given maps from their own rows alone.
        agreement: agreement of models on held-out atoms, `all` or `within` one element. No `within` where the element
            has fewer than 100 of them; empty if one trained model was given.
        tasks: by target, the held-out error of a linear readout.
        pairs: pairs of models that were compared.
        element: the atomic number of the element of `within`, the most frequent one.
        losses: of every step of training.
        validation_losses: (checks, 2) step and loss on chemical systems of the validation set: the best state is
            that of the smallest.
        stopped: why training ended.
        settings: how it was made.
        provenance: of the tables.
    """

    UNSAVED: ClassVar[Mapping[str, Any]] = {"anchors": None}

    anchors: Anchors
    models: list[str]
    num_trained: int
    num_unseen: int
    agreement: Mapping[str, Agreement]
    tasks: Mapping[str, Task]
    pairs: list[tuple[int, int]]
    element: int
    losses: np.ndarray
    validation_losses: np.ndarray
    stopped: str
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def places(self) -> dict[str, str]:
        """Descriptions of the keys of `agreement`."""
        descriptions = {"all": "all elements", "within": f"within {chemical_symbols[self.element]}"}
        return {where: descriptions[where] for where in self.agreement}


def train(
    tables: Sequence[EmbeddingTable],
    *,
    objective: Sequence[str] = ("agreement",),
    targets: Mapping[str, Any] | None = None,
    parts: Sequence[str] | None = None,
    unseen: Sequence[str] = (),
    k: int = 100,
    rank: int | None = None,
    seed: int = 0,
    held_out: float = 0.2,
    num_steps: int = 1000,
    num_rows: int = 1024,
    num_evaluated: int = 1000,
    num_neighbours: int = 10,
    checkpoints: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Training:
    """Learn anchors, weights or metrics, and evaluate them.

    Args:
        tables: tables of the same atoms, with their structures; models with random weights serve as controls.
        objective: what to minimise, a sum: `agreement` of the models, or by another measure, `agreement:procrustes`;
            `task:NAME`, the error of a linear readout of a target; `coverage`, `conditioning`, `sparsity`, after which
            anchors of no weight are left out. Each may have a weight, `0.1*sparsity`.
        targets: by name, (s,) values of the structures, or (n,) values of the atoms, of the first table; numbers, or
            words for classes; NaN or empty where unknown. `coordination` and `element_group` are known without.
        parts: what is learned: a `metric` for each model, `anchors`, their `weights`. By default the metric for
            agreement, all of them for tasks.
        unseen: models among the tables that take no part in training: they are evaluated with maps from their own rows
            alone, as `extend` makes them.
        k: the number of anchors.
        rank: directions that a metric keeps; 64, or all there are, by default.
        seed: everything random follows from it.
        held_out: share of the chemical systems in the test set; half as many more form the validation set.
        num_steps: steps of training.
        num_rows: atoms in a batch.
        num_evaluated: maximum number of test atoms for agreement; and as many of one element.
        num_neighbours: the neighbours that `mutual_knn` compares.
        checkpoints: a folder from which a killed run goes on.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        The learned space and its worth.

    Raises:
        ValueError: fewer than two trained models, or none for tasks alone; tables without structures; an unknown
            objective, part or target.
    """
    check_memory(tables, "learning", copies=2, columns=k)
    common = pair(*tables)
    models, controls = ([table for table in common if table.kind == kind] for kind in ("model", "random"))
    check_among("unseen", unseen, [table.model for table in models])
    trained, left_out = ([table for table in models if (table.model in unseen) == out] for out in (False, True))
    paired, num_trained = [*trained, *left_out, *controls], len(trained)
    first, names = common[0], display_names(paired)
    if first.structures is None:
        raise ValueError("`tables` must bring their structures, got bare arrays: anchors are kept as atoms.")
    if len({table.model for table in paired}) < len(paired):
        raise ValueError(f"`tables` must be of different models, got {', '.join(names)}.")
    goal, parts, wanted = goal_of(objective, parts, targets or {}, first)
    least = 2 if any("agreement" in name for name in objective) else 1
    if num_trained < least:
        raise ValueError(f"`tables` must be of {least} or more trained models, got {num_trained}.")
    key = streams(seed, "split", "pool", "fit", "rows", "validation")
    tested_on, validated_on = _held_out(first, held_out, split=key["split"], validation=key["validation"])
    learned_from = ~(tested_on | validated_on)
    if (num_left := min(num_evaluated, tested_on.sum())) <= num_neighbours:
        raise ValueError(
            f"`held_out` must leave more than `num_neighbours` = {num_neighbours} held-out atoms, got {num_left}: "
            "give more structures."
        )

    for name, target in wanted.items():
        known = np.isfinite(target.values)
        parts_of = [np.unique(first.structure_index[part & known]) for part in (learned_from, validated_on, tested_on)]
        if min(map(len, parts_of)) < 2:
            raise ValueError(
                f"`targets[{name!r}]` must be known of structures in the training, validation and test set, got "
                f"{', '.join(str(len(structures)) for structures in parts_of)} of them: give more structures."
            )

    candidates = np.flatnonzero(learned_from)
    number = min(len(candidates), k * POOL) if "anchors" in parts else k
    if k > len(candidates):
        raise ValueError(f"`k` must be at most the number of atoms to learn from = {len(candidates)}, got {k}.")
    drawn = candidates[np.asarray(jax.random.permutation(key["pool"], len(candidates)))]
    pool, at_random = np.sort(drawn[:number]), np.sort(drawn[:k])

    def fitted(space: learn.SharedSpace, chosen: Sequence[EmbeddingTable], name: str, **settings: Any) -> learn.Fit:
        def report(done: int, total: int, loss: float) -> None:
            if progress is not None:
                progress(f"{name}, loss {loss:.3f}", done, total)

        seen, unseen = (
            learn.Data(
                [table.x[mask] for table in chosen],
                first.structure_index[mask],
                targets={name: target.values[mask] for name, target in wanted.items()},
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
            optimiser=_optimiser(num_steps),
            key=key["fit"],
            progress=report,
            **settings,
        )

    begun = [_metric(table.x[learned_from], rank) for table in paired] if "metric" in parts else []
    start = learn.SharedSpace(
        [table.x[pool] for table in trained],
        metrics=begun[:num_trained] or None,
        anchors=learn.SoftAnchors(number, k, key=key["pool"]) if "anchors" in parts else None,
        weights=learn.AnchorWeights(k) if "weights" in parts else None,
    )
    fit = fitted(start, trained, "learning", checkpoints=checkpoints)
    space = fit.space.hardened()
    rows, weights = pool[fit.space.chosen()], None if space.weights is None else np.asarray(space.weights())
    metrics = [] if space.metrics is None else list(space.metrics)
    metrics += begun[num_trained : len(models)]
    for control, name, own in zip(controls, names[len(models) :], begun[len(models) :], strict=False):
        beside = learn.SharedSpace(
            [table.x[rows] for table in (*trained, control)],
            metrics=[*map(learn.frozen, metrics[:num_trained]), own],
            weights=space.weights and learn.frozen(space.weights),
        )
        metrics += list(fitted(beside, [*trained, control], f"fitting {name}").space.metrics or [])[-1:]
    if space.weights is not None and any("sparsity" in name for name in objective):
        kept = space.weights.kept()
        rows, weights = rows[kept], np.asarray(space.weights())[kept]

    structures = first.structures

    def kept_as(method: str, rows: np.ndarray, weights: np.ndarray | None, metrics: Sequence[learn.Metric]) -> Anchors:
        return Anchors.from_rows(
            structures,
            first.structure_index,
            rows,
            method=method,
            weights=weights,
            metrics={table.model: _as_map(table, metric) for table, metric in zip(paired, metrics, strict=False)},
            provenance={"models": names, "seed": seed},
        )

    learned = kept_as(f"learned for {' + '.join(objective)}", rows, weights, metrics)
    spaces: dict[str, Choice | None] = {"raw": None, "plain": Choice("plain", at_random)}
    if wanted:
        sought = np.flatnonzero(learned_from)
        chosen = np.asarray(anchor_methods.direct(jnp.asarray(first.x[sought]), len(rows)))
        spaces["direct"] = Choice("direct", sought[chosen])
    first_rows = pool[start.chosen()]
    spaces["start"] = Choice("start", first_rows, record=kept_as("start of the training", first_rows, None, begun))
    spaces[LEARNED] = Choice(LEARNED, rows, None if weights is None else jnp.asarray(weights), learned)
    kinds = ["trained"] * num_trained + ["unseen"] * len(left_out) + ["control"] * len(controls)
    scores, pairs, element = evaluate_agreement(
        paired,
        spaces,
        tested_on,
        kinds=kinds,
        num_evaluated=num_evaluated,
        num_neighbours=num_neighbours,
        key=key["rows"],
    )
    tasks = evaluate_tasks(
        paired,
        spaces,
        wanted,
        kinds=kinds,
        learned_from=learned_from,
        validated_on=validated_on,
        tested_on=tested_on,
    )
    return Training(
        anchors=learned,
        models=names,
        num_trained=num_trained,
        num_unseen=len(left_out),
        agreement=scores,
        tasks=tasks,
        pairs=pairs,
        element=element,
        losses=fit.losses,
        validation_losses=fit.held_out,
        stopped=fit.stopped,
        settings={
            "objective": list(objective),
            "parts": list(parts),
            "k": k,
            "rank": rank,
            "num_steps": num_steps,
            "num_rows": num_rows,
            "structures": {
                name: len(np.unique(first.structure_index[mask]))
                for name, mask in (("learned", learned_from), ("validated", validated_on), ("evaluated", tested_on))
            },
            "held_out": "whole chemical systems, drawn at random",
            "interval": "value ± t standard errors, by the infinitesimal jackknife over held-out structures; "
            "of tasks, over held-out chemical systems; for these anchors only",
        },
        provenance=provenance(tables, paired, names, seed=seed),
    )


def extend(
    anchors: Anchors, tables: Sequence[EmbeddingTable], *, whitening: float = 0.5, rank: int | None = None
) -> Anchors:
    """Learned anchors with a map for models that took no part, each from its own rows alone.

    No pairs of rows are needed: the map is where training begins, the principal components of the model's rows, each
    divided by its standard deviation to the power `whitening`.

    Args:
        anchors: learned ones, with metrics.
        tables: of the models to add.
        whitening: from 0, which leaves all cosines as they are, to 1.
        rank: directions that are kept; 64, or all there are, by default.

    Returns:
        The same anchors, with maps for these models beside those that were learned.

    Raises:
        ValueError: anchors without metrics, which serve every model as they are, or a model that has a map already.
    """
    if not anchors.metrics:
        raise ValueError("`anchors` must have metrics, got none: they serve every model as they are.")
    maps = dict(anchors.metrics)
    for table in tables:
        if table.model in maps:
            raise ValueError(f"`tables` must be of models without a map, got {table.model}, which has one.")
        metric = _metric(table.x, rank, whitening=whitening)
        maps[table.model] = _as_map(table, metric)
    added = {"extended": [*anchors.provenance.get("extended", []), *(table.model for table in tables)]}
    return dataclasses.replace(anchors, metrics=maps, provenance={**anchors.provenance, **added})


def _metric(x: np.ndarray, rank: int | None, *, whitening: float = 0.5) -> learn.Metric:
    return learn.Metric(x, kind="linear", rank=min(rank or 64, x.shape[1]), whitening=whitening)


def _as_map(table: EmbeddingTable, metric: learn.Metric) -> LinearMap:
    return LinearMap(table.layer, np.asarray(metric.origin[...]), np.asarray(metric.matrix))


def _held_out(table: EmbeddingTable, fraction: float, *, split: Any, validation: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the test set and of the validation set, which share no chemical system."""
    systems = chemical_systems(table.structures)[table.structure_index]
    tested_on = learn.held_out_groups(systems, fraction=fraction, key=split)
    validated_on = np.zeros_like(tested_on)
    validated_on[~tested_on] = learn.held_out_groups(systems[~tested_on], fraction=fraction / 2, key=validation)
    return tested_on, validated_on


def _optimiser(num_steps: int) -> optax.GradientTransformation:
    """Adam with a cosine schedule for each part, at a rate of its own."""

    def part_of(path: Any, _: Any) -> str:
        return next(part for part in LEARNING_RATES if part in jax.tree_util.keystr(path[:1]))

    return optax.partition(
        {part: optax.adam(optax.cosine_decay_schedule(rate, num_steps)) for part, rate in LEARNING_RATES.items()},
        lambda learned: jax.tree_util.tree_map_with_path(part_of, learned),
    )
