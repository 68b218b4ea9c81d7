"""Readout transfer: one model's energy readout on another model's embeddings, mapped to its space."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Array

from platonic_jax import anchors as anchor_methods
from platonic_jax import learn, metrics
from platonic_jax._checks import check_count, check_fraction
from platonic_jax.analyses._anchoring import display_names, whole_structures
from platonic_jax.analyses._intervals import METHOD, draw_weights, of_draws, weighted_medians
from platonic_jax.analyses._result import Estimate, Result
from platonic_jax.analyses._run import provenance, streams
from platonic_jax.labels import chemical_systems
from platonic_jax.readouts import element_energies
from platonic_jax.stitching import Map, apply, energies, fit
from platonic_jax.tables import EmbeddingTable, check_memory, element_baseline, pair

__all__ = ["ReadoutTransfer", "readout_transfer"]

# What is fitted to all pairs of rows, what to those of the anchors alone, and what is not fitted at all.
METHODS = ("orthogonal", "affine", "ridge", "relative", "curved", "anchor pairs", "zero-shot")
FITTED = METHODS[:5]
LEAST_ATOMS = 50  # Of an element, to be evaluated alone.
LOCAL_ROWS = 6000  # That see local maps, whose search for neighbours takes the square of their number.
# One stream of randomness each, so that adding a draw to one leaves the others as they are.
_STREAMS = ("split", "anchors", "bootstrap", "local", "validation")


@dataclasses.dataclass(frozen=True, eq=False)
class Transfer:
    """Figures of mapped embeddings on the test set.

    Attributes:
        unexplained: Fraction of variance unexplained (FVU) of the target's embeddings: 0 is a perfect map, 1 no better
            than their mean; None for a baseline of energies alone.
        elements: The same by symbol, of the variance within the element.
        atoms: Number of atoms of each of these elements.
        mae: Mean absolute error of energies, eV/atom; None where the target has no readout.
        median: Median absolute error of energies, eV/atom.
        rmse: Root mean square error of energies, eV/atom.
    """

    unexplained: Estimate | None = None
    elements: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    atoms: Mapping[str, int] = dataclasses.field(default_factory=dict)
    mae: Estimate | None = None
    median: Estimate | None = None
    rmse: Estimate | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ReadoutTransfer(Result):
    """Errors of a target model's embeddings and energies when they are made from a source model's embeddings.

    Every figure is of a test set, chemical systems of which nothing was fitted or chosen. Energies are those that the
    target's own readout makes of mapped embeddings, against those that it makes of its own.

    Attributes:
        source: name of the model that rows come from.
        target: name of the model that they are mapped to.
        methods: figures by method.
        controls: the same for every control, by name.
        chosen: by name of the source and of every control, the fitted method with the least error, of energies or else
            of embeddings, on the validation set: other chemical systems than those of the training and the test set.
        baselines: the same for `element`, the mean row of an atom's element; and of energies alone for `composition`,
            the least squares fit of one energy an element.
        reconstruction: `gfre` and `lfre`, source → target.
        readout: of the target's readout: `spread`, the standard deviation of the energies judged, in eV/atom; and
            `deviation`, the largest from energies that the target predicted, None where its store has none. Empty
            where it has no readout.
        num: `fitted`, `validated` and `evaluated` atoms, `structures` and `systems` of the test set, and structures
            `left_out` of that because nothing was fitted of one of their elements.
        settings: how it was made.
        provenance: of the tables.
        maps: by method, the map from the source; not in the JSON.
    """

    UNSAVED: ClassVar[Mapping[str, Any]] = {"maps": {}}
    DERIVED: ClassVar[Sequence[str]] = ("best",)

    source: str
    target: str
    methods: Mapping[str, Transfer]
    controls: Mapping[str, Mapping[str, Transfer]]
    chosen: Mapping[str, str]
    baselines: Mapping[str, Transfer]
    reconstruction: Mapping[str, Estimate]
    readout: Mapping[str, float | None]
    num: Mapping[str, int]
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    maps: Mapping[str, Map]

    @property
    def best(self) -> str:
        """The method chosen for the source on the validation set."""
        return self.chosen[self.source]


def readout_transfer(
    source: EmbeddingTable,
    target: EmbeddingTable,
    *,
    controls: Sequence[EmbeddingTable] = (),
    k: int = 300,
    num_components: int = 20,
    held_out: float = 0.3,
    validation: float = 0.2,
    num_neighbours: int = 20,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> ReadoutTransfer:
    """Map embeddings of one model to the space of another, and evaluate them there on unseen chemical systems.

    Chemical systems are split in three: maps are fitted on the training set, one of them is chosen on the validation
    set, and all figures are of the test set.

    The methods are those of `stitching.fit`, and `anchor pairs`: the ridge map fitted to the anchors' pairs alone.
    `zero-shot` is `"anchors"`, with whitened cosines of leading principal components; `relative` and `curved` take
    `"rbf"`.

    Args:
        source: rows to map.
        target: the same atoms in the other model; with its readout, energies are judged too.
        controls: other sources, such as models with random weights.
        k: number of anchors, drawn at random among the atoms that are fitted.
        num_components: principal components that the zero-shot map keeps, of each model its own; no more than one for
            ten anchors.
        held_out: share of the chemical systems in the test set, drawn at random.
        validation: share of the others on which the map is chosen.
        num_neighbours: rows that a local map is fitted to (LFRE).
        num_bootstraps: draws of each interval, over chemical systems of the test set; the maps are not fitted anew.
        seed: everything random follows from it.

    Returns:
        Figures, and a verdict.

    Raises:
        ValueError: other atoms, tables without structures, or too few atoms for so many anchors.
    """
    check_fraction("held_out", held_out)
    check_fraction("validation", validation)
    check_count("num_components", num_components)
    check_memory([source, target, *controls], "the stitching", copies=2, columns=k)
    first, last, *others = pair(source, target, *controls)
    if first.structures is None:
        raise ValueError("`source` must have structures, got bare arrays: whole chemical systems are held out.")
    key = streams(seed, *_STREAMS)
    system = np.unique(chemical_systems(first.structures), return_inverse=True)[1]
    held = learn.held_out_groups(system[first.structure_index], fraction=held_out, key=key["split"])
    validated = ~held
    validated[~held] = learn.held_out_groups(
        system[first.structure_index[~held]], fraction=validation, key=key["validation"]
    )
    train = ~held & ~validated
    fitted = np.flatnonzero(train)
    strange = np.unique(first.structure_index[~np.isin(first.species, first.species[fitted])])
    test, chosen_on = (np.flatnonzero(mask & ~np.isin(first.structure_index, strange)) for mask in (held, validated))
    check_count("k", k, most=len(fitted), bound="the number of fitted atoms", fix="ask for fewer anchors")
    if not len(test) or not len(chosen_on):
        raise ValueError(
            "`target` must have validation and test structures whose elements are all in the training set, got none: "
            "give more structures."
        )

    num_components = min(num_components, max(1, k // 10))
    evaluation = _Evaluation(last, fitted, test, system, num_bootstraps=num_bootstraps, key=key["bootstrap"])
    chooser = _Evaluation(last, fitted, chosen_on, system, num_bootstraps=1, key=key["bootstrap"])
    names = display_names([first, last, *others])
    with jax.enable_x64(True):  # noqa: FBT003
        rows = np.asarray(anchor_methods.random(jnp.asarray(first.x[fitted]), k, key=key["anchors"]))
        y = jnp.asarray(last.x[fitted], jnp.float64)
        maps, results, chosen = {}, {}, {}
        for name, table in zip([names[0], *names[2:]], [first, *others], strict=True):
            x = jnp.asarray(table.x[fitted], jnp.float64)
            maps[name] = {method: _fit(x, y, rows, method=method, c=num_components) for method in METHODS}
            to_evaluate = jnp.asarray(table.x[test], jnp.float64)
            results[name] = {method: evaluation.of_rows(_apply(map, to_evaluate)) for method, map in maps[name].items()}
            to_choose = jnp.asarray(table.x[chosen_on], jnp.float64)
            errors = {method: chooser.error_of(_apply(maps[name][method], to_choose)) for method in FITTED}
            chosen[name] = min(errors, key=errors.__getitem__)
        one_hot = jnp.asarray(element_baseline(first).x, jnp.float64)
        element = _apply(_fitted(one_hot[fitted], y, method="affine"), one_hot[test])
        baselines = {"element": evaluation.of_rows(element)}
        if evaluation.own is not None:
            baselines["composition"] = evaluation.of_energies(_of_composition(first, evaluation))
        reconstruction = _reconstruction(
            first, last, train, test, evaluation, num_neighbours=num_neighbours, key=key["local"]
        )
    return ReadoutTransfer(
        source=names[0],
        target=names[1],
        methods=results.pop(names[0]),
        controls=results,
        chosen=chosen,
        baselines=baselines,
        reconstruction=reconstruction,
        readout=evaluation.readout_figures,
        num={
            "fitted": len(fitted),
            "validated": len(chosen_on),
            "evaluated": len(test),
            "structures": len(evaluation.structures),
            "systems": len(evaluation.weights[0]),
            "left_out": len(strange),
        },
        settings={
            "k": k,
            "num_components": num_components,
            "held_out": held_out,
            "validation": validation,
            "num_neighbours": num_neighbours,
            "local_rows": LOCAL_ROWS,
            "least_atoms": LEAST_ATOMS,
            "layers": {names[0]: first.layer, names[1]: last.layer},
            "interval": f"95 %, {num_bootstraps} bootstraps over chemical systems of the test set, maps neither fitted "
            f"nor chosen anew; {METHOD}",
        },
        provenance=provenance([source, target, *controls], [first, last, *others], names, seed=seed),
        maps=maps[names[0]],
    )


_fitted = partial(jax.jit, static_argnames=("method", "similarity", "num_components"))(fit)
_apply = jax.jit(apply)


def _fit(x: Array, y: Array, rows: np.ndarray, *, method: str, c: int) -> Map:
    if method in ("relative", "curved"):
        return _fitted(x, y, method=method, anchors=rows, similarity="rbf")
    if method == "anchor pairs":
        return _fitted(x[rows], y[rows], method="ridge")
    if method == "zero-shot":
        return _fitted(x, y, method="anchors", anchors=rows, similarity="whitened", num_components=c)
    return _fitted(x, y, method=method)


class _Evaluation:
    """Errors of embeddings and energies on held-out atoms, with intervals over chemical systems."""

    def __init__(
        self,
        target: EmbeddingTable,
        fitted: np.ndarray,
        test: np.ndarray,
        system: np.ndarray,
        *,
        num_bootstraps: int,
        key: Array,
    ) -> None:
        self.y, self.species = target.x[test].astype(np.float64), target.species[test]
        self.structures, self.place = np.unique(target.structure_index[test], return_inverse=True)
        self.fitted_structures = np.unique(target.structure_index[fitted])
        self.system = np.unique(system[self.structures], return_inverse=True)[1]
        self.of_atom = self.system[self.place]
        self.size = np.bincount(self.place)
        number = int(self.system.max()) + 1
        draws = draw_weights(key, number, num_bootstraps=num_bootstraps)
        self.weights = np.concatenate([np.ones((1, number)), draws])
        mean = target.x[fitted].astype(np.float64).mean(axis=0)
        self.spread = ((self.y - mean) ** 2).sum(axis=1)
        elements, count = np.unique(self.species, return_counts=True)
        self.elements = [int(z) for z in elements[count >= LEAST_ATOMS]]
        self.readout, self.own, self.all_own = target.readout, None, np.zeros(0)
        self.readout_figures: dict[str, float | None] = {}
        if self.readout is not None:
            whole = _energies(target.x, target.species, target.structure_index, self.readout)
            of_each = np.bincount(target.structure_index, minlength=len(whole))
            self.all_own = whole / np.maximum(of_each, 1)
            self.own = self.all_own[self.structures]
            predicted = target.properties.get("energy")
            deviation = None
            if predicted is not None:
                present = of_each > 0
                deviation = float(np.abs((whole - predicted[: len(whole)])[present] / of_each[present]).max())
            self.readout_figures = {"spread": float(self.own.std()), "deviation": deviation}

    def of_rows(self, rows: Array) -> Transfer:
        """Unexplained variance of mapped embeddings, overall and within elements, and the readout's errors on them."""
        mapped = np.asarray(rows)
        missed = ((mapped - self.y) ** 2).sum(axis=1)
        within, atoms = {}, {}
        for z in self.elements:
            own = self.species == z
            around = ((self.y[own] - self.y[own].mean(axis=0)) ** 2).sum(axis=1)
            within[chemical_symbols[z]] = self.ratio(missed[own], around, self.of_atom[own])
            atoms[chemical_symbols[z]] = int(own.sum())
        errors = Transfer()
        if self.own is not None:
            errors = self.of_energies(_energies(mapped, self.species, self.place, self.readout) / self.size)
        unexplained = self.ratio(missed, self.spread, self.of_atom)
        return dataclasses.replace(errors, unexplained=unexplained, elements=within, atoms=atoms)

    def error_of(self, rows: Array) -> float:
        """The error by which maps are chosen: of energies, or else of rows."""
        figures = self.of_rows(rows)
        error = figures.unexplained if self.own is None else figures.mae
        assert error is not None
        return error.value

    def of_energies(self, predicted: np.ndarray) -> Transfer:
        """Errors of energies per atom, in eV/atom, against the target's own."""
        away, one = predicted - self.own, np.ones(len(predicted))
        return Transfer(
            mae=self.ratio(np.abs(away), one, self.system),
            median=self.median(np.abs(away)),
            rmse=self.ratio(away**2, one, self.system, root=True),
        )

    def ratio(self, above: np.ndarray, below: np.ndarray, system: np.ndarray, *, root: bool = False) -> Estimate:
        """Σ above / Σ below, or its root, and the interval over systems."""
        number = self.weights.shape[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = (self.weights @ np.bincount(system, above, number)) / (
                self.weights @ np.bincount(system, below, number)
            )
        return _entry(np.sqrt(draws) if root else draws, system)

    def median(self, errors: np.ndarray) -> Estimate:
        """The error that half of the structures stay below, and its interval over systems."""
        return _entry(weighted_medians(errors, self.weights[:, self.system]), self.system)


def _entry(draws: np.ndarray, system: np.ndarray) -> Estimate:
    """The first, and the interval of the others over systems."""
    sizes = np.unique(system, return_counts=True)[1]
    return of_draws(float(draws[0]), draws[1:], scale="positive", sizes=sizes)


def _energies(x: np.ndarray, species: np.ndarray, index: np.ndarray, readout: Any) -> np.ndarray:
    energy = energies(
        jnp.asarray(x),
        jnp.asarray(species),
        jnp.asarray(index, jnp.int32),
        readout=readout,
        num_structures=int(index.max()) + 1,
    )
    return np.asarray(energy, float)


def _of_composition(table: EmbeddingTable, evaluation: _Evaluation) -> np.ndarray:
    """Energies per atom of the test set from one energy per element, fitted to the target's own energies."""
    elements, column = np.unique(table.species, return_inverse=True)
    share = np.zeros((len(evaluation.all_own), len(elements)))
    np.add.at(share, (table.structure_index, column), 1)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1)
    known = evaluation.fitted_structures
    return share[evaluation.structures] @ element_energies(share[known], evaluation.all_own[known])


def _reconstruction(
    source: EmbeddingTable,
    target: EmbeddingTable,
    train: np.ndarray,
    test: np.ndarray,
    evaluation: _Evaluation,
    *,
    num_neighbours: int,
    key: Array,
) -> dict[str, Estimate]:
    """GFRE and LFRE on the test set, the latter on atoms of some structures only."""
    x, y = (jnp.asarray(table.x, jnp.float64) for table in (source, target))
    system = np.full(len(source.x), -1)
    system[test] = evaluation.of_atom
    errors = np.asarray(jax.jit(metrics.gfre_rows)(x, y, train=jnp.asarray(train)))
    some = whole_structures(source.structure_index, LOCAL_ROWS, key=key)
    local = np.asarray(
        metrics.lfre_rows(x[some], y[some], num_neighbours=num_neighbours, train=jnp.asarray(train[some]))
    )

    def root_mean(errors: np.ndarray, system: np.ndarray) -> Estimate:
        known = system >= 0
        return evaluation.ratio(errors[known] ** 2, np.ones(known.sum()), system[known], root=True)

    return {"gfre": root_mean(errors, system), "lfre": root_mean(local, system[some])}
