"""Consensus of several models: does the mean of their shared spaces predict more than any one of them?"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array

from platonic_jax import learn, projection, stitching
from platonic_jax._checks import check_count, check_fraction
from platonic_jax.analyses import _pairs
from platonic_jax.analyses._anchoring import choose_anchors, display_names, whole_structures
from platonic_jax.analyses._intervals import METHOD, draw_weights, of_draws
from platonic_jax.analyses._nulls import check_permutations
from platonic_jax.analyses._result import Estimate, Result
from platonic_jax.analyses._run import provenance, streams
from platonic_jax.analyses._similarities import similarities
from platonic_jax.labels import chemical_systems
from platonic_jax.tables import EmbeddingTable, pair

__all__ = ["Consensus", "consensus"]

MOST_ATOMS = 10_000  # Of the training set for the consensus, and of the test set for similarities.
_NUM_STEPS = (30, 300, 3000)  # Of the consensus, until it converges: models that share little take many.
_STREAMS = ("split", "anchors", "atoms", "null", "bootstrap", "validation", "test_atoms")


@dataclasses.dataclass(frozen=True, eq=False)
class Consensus(Result):
    """Models beside their consensus: what each predicts, and how similar each is to the consensus of the others.

    Chemical systems are split in three. Maps and readouts are fitted on the training set, the best single model is
    chosen on the validation set, and every figure but `validation_errors` is of the test set.

    Attributes:
        models: names of the models in the consensus.
        similarities: by model, and by untrained control, which has no part in any consensus: Procrustes similarity to
            the consensus of the other trained models, on test atoms; the null exchanges the atoms of one structure
            within each element.
        errors: mean absolute errors of a linear readout of a property, in units of the property: by model (and by
            untrained control), for the `consensus`, and for the baselines `composition` and `constant`.
        validation_errors: the same on the validation set, of models and `consensus`, without intervals.
        gain: how much smaller the error of the consensus is than that of the best single model, as a share of the
            latter's error.
        best: name of the model with the smallest error on the validation set.
        num: `fitted`, `validated` and `evaluated` structures, chemical `systems` in the test set, `atoms` that the
            consensus is found from, `test_atoms` of similarities, `groups` (elements) and `tested_groups` of their
            test, and `movable_atoms` that its null can move.
        settings: parameters, and the method of the intervals.
        provenance: of the tables.
    """

    models: list[str]
    similarities: Mapping[str, Estimate]
    errors: Mapping[str, Estimate]
    validation_errors: Mapping[str, float]
    gain: Estimate
    best: str
    num: Mapping[str, int]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]


def consensus(
    tables: Sequence[EmbeddingTable],
    values: Any,
    *,
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "cosine",
    held_out: float = 0.3,
    validation: float = 0.2,
    num_permutations: int = 199,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> Consensus:
    """Find the consensus of models in the space of shared anchors, and evaluate it on unseen chemical systems.

    A structure is the mean of its atoms' relative representations; the readout is a ridge regression whose penalty is
    chosen by leaving out each training structure. The consensus is found from atoms of the training set alone; others
    are mapped to it model by model, and averaged. The best single model is that of the smallest error on the
    validation set, which takes no part in any figure of the test set.

    Args:
        tables: two or more models on the same atoms; models with random weights are controls.
        values: (s,) the property of each structure of the first table; NaN where unknown.
        anchors: how anchors are chosen, in the space of the first table and among all its atoms, those of what is held
            out too, of which nothing but the rows is known; or the anchors, as rows or as atoms.
        k: the number of anchors, where a method chooses them.
        similarity: of embeddings to anchors, as in `projection.relative`.
        held_out: share of the chemical systems in the test set, drawn at random.
        validation: share of the others on which the best single model is chosen.
        num_permutations: draws of the null of similarities, at least 19.
        num_bootstraps: draws of each interval of errors, over chemical systems of the test set, nothing being fitted
            or chosen anew.
        seed: everything random follows from it.

    Returns:
        Errors, similarities, and a verdict.

    Raises:
        ValueError: fewer than two trained models, tables without structures, values of other structures, a set without
            known values, too few permutations for a p-value of 0.05, or a consensus that did not converge.
    """
    check_fraction("held_out", held_out)
    check_fraction("validation", validation)
    check_count("num_bootstraps", num_bootstraps)
    check_permutations(num_permutations)
    paired = pair(*tables)
    first, names = paired[0], display_names(paired)
    trained = [i for i, table in enumerate(paired) if table.kind == "model"]
    if len(trained) < 2:
        raise ValueError(f"`tables` must hold at least two trained models, got {len(trained)}.")
    if first.structures is None:
        raise ValueError("`tables` must bring their structures, got bare arrays: whole chemical systems are held out.")
    values = np.asarray(values, float)
    if values.shape != (len(first.structures),):
        raise ValueError(
            f"`values` must be one for each of the {len(first.structures)} structures that all models share, got "
            f"shape {values.shape}."
        )
    key = streams(seed, *_STREAMS)
    present, begins, place = np.unique(first.structure_index, return_index=True, return_inverse=True)
    system = np.unique(chemical_systems(first.structures), return_inverse=True)[1][present]
    held = learn.held_out_groups(system, fraction=held_out, key=key["split"])
    validated = np.zeros_like(held)
    validated[~held] = learn.held_out_groups(system[~held], fraction=validation, key=key["validation"])
    train, known, target = ~held & ~validated, np.isfinite(values[present]), values[present]
    fitted, chosen_on, tested_on = (np.flatnonzero(part & known) for part in (train, validated, held))
    if not all(map(len, (fitted, chosen_on, tested_on))):
        raise ValueError(
            "`values` must be known of structures in the training, validation and test set, got "
            f"{len(fitted)}, {len(chosen_on)} and {len(tested_on)} of them: give more structures."
        )
    sizes = np.diff(begins, append=len(first.x))
    pooled = lambda x: np.add.reduceat(np.asarray(x), begins, axis=0) / sizes[:, None]

    def atoms_of(part: np.ndarray, name: str) -> np.ndarray:
        rows = np.flatnonzero(part[place])
        return rows[whole_structures(first.structure_index[rows], MOST_ATOMS, key=key[name])]

    some, test_atoms = atoms_of(train, "atoms"), atoms_of(held, "test_atoms")
    with jax.enable_x64(True), _pairs.serial_lapack():  # noqa: FBT003
        choice = choose_anchors(anchors, first, k=k, key=key["anchors"])
        shared = [
            _relative(jnp.asarray(choice.mapped(table), jnp.float64), choice.rows, similarity=similarity)
            for table in paired
        ]
        mean = _consensus([shared[i] for i in trained], some)
        elements, column = np.unique(first.species, return_inverse=True)
        read = partial(_errors, target=target, fitted=fitted)
        errors = {name: read(pooled(x)) for name, x in zip(names, shared, strict=True)}
        errors |= {"consensus": read(pooled(mean)), "composition": read(pooled(np.eye(len(elements))[column]))}
        errors["constant"] = np.abs(target - target[fitted].mean())
        others = [_consensus([shared[j] for j in trained if j != i], some, rows=test_atoms) for i in range(len(paired))]
        tested = similarities(
            [x[test_atoms] for x in shared],
            others,
            tuple((i, i) for i in range(len(shared))),
            species=first.species[test_atoms],
            structure=place[test_atoms],
            measures=("procrustes",),
            num_draws=num_permutations,
            num_permutations=num_permutations,
            key=key["null"],
        )

    validation_errors = {
        name: float(errors[name][chosen_on].mean()) for name in (*(names[i] for i in trained), "consensus")
    }
    best = min((names[i] for i in trained), key=validation_errors.__getitem__)
    of_system = np.unique(system[tested_on], return_inverse=True)[1]
    of_each = np.bincount(of_system)
    draws = draw_weights(key["bootstrap"], len(of_each), num_bootstraps=num_bootstraps)
    weights = np.concatenate([np.ones((1, len(of_each))), draws])
    means = {
        name: weights @ np.bincount(of_system, error[tested_on]) / (weights @ of_each) for name, error in errors.items()
    }
    entry = lambda drawn, scale: of_draws(float(drawn[0]), drawn[1:], scale=scale, sizes=of_each)
    return Consensus(
        models=[names[i] for i in trained],
        similarities=dict(zip(names, tested.estimates["procrustes"], strict=True)),
        errors={name: entry(drawn, "positive") for name, drawn in means.items()},
        validation_errors=validation_errors,
        gain=entry(1 - means["consensus"] / means[best], "at most 1"),
        best=best,
        num={
            "fitted": len(fitted),
            "validated": len(chosen_on),
            "evaluated": len(tested_on),
            "systems": len(of_each),
            "atoms": len(some),
            "test_atoms": len(test_atoms),
            **tested.num,
        },
        settings={
            "anchors": choice.method,
            "k": len(choice.rows),
            "similarity": similarity,
            "held_out": held_out,
            "validation": validation,
            "num_permutations": num_permutations,
            "elements": [chemical_symbols[z] for z in elements],
            "interval": f"95 %; of errors, {num_bootstraps} bootstraps over chemical systems of the test set, nothing "
            f"fitted or chosen anew, {METHOD}; of similarities, value ± t standard errors by the infinitesimal "
            "jackknife over structures of the test set, the consensus and the anchors held fixed",
            "null": "the atoms of one structure exchanged within each element, tested one by one and combined",
        },
        provenance=provenance(tables, paired, names, seed=seed),
    )


_fit, _apply = jax.jit(stitching.fit), jax.jit(stitching.apply)
_mean_space = jax.jit(stitching.consensus, static_argnames="num_steps")


@partial(jax.jit, static_argnames="similarity")
def _relative(x: Array, rows: Array, *, similarity: str) -> Array:
    return projection.relative(x, x[rows], similarity=similarity)


def _consensus(xs: Sequence[Array], some: np.ndarray, *, rows: Any = slice(None)) -> Array:
    """Some rows in the consensus space that is found from others; a single model is its own consensus."""
    if len(xs) == 1:
        return xs[0][rows]
    least, *more = _NUM_STEPS
    consensus = _mean_space([x[some] for x in xs], num_steps=least)
    for num_steps in more:
        if not bool(consensus.converged):
            consensus = _mean_space([x[some] for x in xs], num_steps=num_steps)
    if not bool(consensus.converged):
        raise ValueError(
            f"The consensus did not converge: its last step was {float(consensus.change):.1e} of its norm."
        )
    return jnp.mean(jnp.stack([_apply(map, x[rows]) for map, x in zip(consensus.maps, xs, strict=True)]), axis=0)


def _errors(x: np.ndarray, *, target: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Absolute error of every structure, of a ridge readout that is fitted to some of them."""
    readout = _fit(jnp.asarray(x[fitted], jnp.float64), jnp.asarray(target[fitted, None], jnp.float64))
    return np.abs(np.asarray(_apply(readout, jnp.asarray(x, jnp.float64)))[:, 0] - target)
