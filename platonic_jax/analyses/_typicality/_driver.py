"""Outlier scores of structures relative to reference sets: per atom, by several models, without ground truth.

The structures of a reference are parted at random, whole: most are what others are judged by, some calibrate, and some
are held out to see whether the calibration holds. One more structure drawn as those of the reference were is
exchangeable with the calibration ones: it is called atypical at 5 % in 5 % of cases. That is a statement about
structures, not about chemical systems, of which the parts share many: a crystal of a new system, however sound, may be
atypical of those that are known.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from platonic_jax import diagnostics, statistics
from platonic_jax._checks import check_choice, check_fraction
from platonic_jax.analyses._anchoring import Choice, choose_anchors, display_names, relative
from platonic_jax.analyses._intervals import METHOD, elements_counted, interval
from platonic_jax.analyses._pairs import serial_lapack
from platonic_jax.analyses._result import Estimate
from platonic_jax.analyses._run import Steps, check_among, provenance, streams
from platonic_jax.analyses._typicality._record import ALL, NONE, UNKNOWN, Against, QuerySet, Typicality
from platonic_jax.diagnostics import DEFAULT_SCORES
from platonic_jax.labels import combined
from platonic_jax.tables import EmbeddingTable, check_memory, pair

__all__ = ["typicality"]

SPACES = ("own", "shared")
OF_STRUCTURES = ("mean", "largest")
# One stream of randomness each, so that adding a draw to one leaves the others as they are.
_STREAMS = ("parts", "anchors", "fit")


class _Set(NamedTuple):
    """Atoms to score: one table per model, and the structure of each atom, counted from 0."""

    tables: list[EmbeddingTable]
    structure: np.ndarray

    @property
    def species(self) -> np.ndarray:
        return self.tables[0].species

    @property
    def number(self) -> int:
        return int(self.structure[-1]) + 1

    @property
    def weights(self) -> np.ndarray:
        """(n,) those of an element in a structure sum to 1."""
        label = combined(self.structure, self.species)
        return (1 / np.bincount(label)[label]).astype(np.float32)

    @classmethod
    def of(cls, tables: Sequence[EmbeddingTable], mask: np.ndarray | None = None) -> "_Set":
        chosen = list(tables) if mask is None else [table.select(mask) for table in tables]
        return cls(chosen, np.unique(chosen[0].structure_index, return_inverse=True)[1].astype(np.int32))


class _Parts(NamedTuple):
    """A reference set in three parts: fitting, calibration, and held-out structures."""

    name: str
    fitted: _Set
    calibration: _Set
    held_out: _Set

    @property
    def sets(self) -> tuple[_Set, ...]:
        return self[1:]

    @property
    def sizes(self) -> dict[str, int]:
        return {name: entry.number for name, entry in zip(self._fields[1:], self.sets, strict=True)}

    @property
    def hashes(self) -> set[str]:
        structures = self.fitted.tables[0].structures
        return set() if structures is None else set(structures.hashes)


class _Anchored(NamedTuple):
    """The shared space: for each model the rows of the anchors, and the rows that similarities are scaled by."""

    choice: Choice
    anchors: list[np.ndarray]
    fitted: list[np.ndarray]
    similarity: str
    description: dict[str, Any]


def typicality(
    references: Mapping[str, Sequence[EmbeddingTable]],
    queries: Mapping[str, Sequence[EmbeddingTable]],
    *,
    scores: Sequence[str] = DEFAULT_SCORES,
    of_structures: str = "mean",
    space: str = "own",
    anchors: Any = "random",
    k: int = 100,
    similarity: str = "whitened",
    held_out: float = 0.1,
    calibration: float = 0.2,
    most: int = 16384,
    level: float = 0.05,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Typicality:
    """Score query structures by their distance to reference sets.

    Args:
        references: by name, the tables of what is typical, one a model, of the same structures.
        queries: by name, the tables of the query sets, one of each of these models.
        scores: of atoms, whose mean counts: `residual`, from the plane in which the reference lies nearby; `distance`
            to the nearest atoms; `density`, how much thinner the reference is than around these; `mahalanobis`.
        of_structures: of their atoms' scores the `mean`, or the `largest`, which one odd atom decides.
        space: each model's `own`, or `shared`, that of anchors.
        anchors: of the shared space, how they are chosen, among atoms of the first reference by the first model; or the
            anchors, as atoms of it (`anchors.Anchors`).
        k: the number of anchors, where a method chooses them.
        similarity: of rows to anchors, as in `projection.relative`.
        held_out: share of a reference's structures that show whether the calibration holds.
        calibration: share of them that calibrate.
        most: maximum number of reference atoms of an element.
        level: share of typical structures that may be called atypical.
        seed: everything random follows from it.
        progress: called with what is being done, how many steps are done, and of how many.

    Returns:
        Scores and p-values of atoms and structures, and what they say of each set.

    Raises:
        ValueError: no reference or query; tables of another model, checkpoint or layer than the reference; too few
            structures to calibrate with; unknown scores or spaces.
    """
    check_among("scores", scores, diagnostics.SCORES)
    check_choice("of_structures", of_structures, OF_STRUCTURES)
    check_choice("space", space, SPACES)
    for name, share in (("held_out", held_out), ("calibration", calibration), ("level", level)):
        check_fraction(name, share)
    if not references or not queries:
        raise ValueError("`references` and `queries` must each name at least one set of structures, got none.")
    every = [table for group in (references, queries) for tables in group.values() for table in tables]
    check_memory(every, "typicality", copies=4, columns=k)
    paired = {name: pair(*tables) for name, tables in references.items()}
    first = next(iter(paired.values()))
    names = display_names(first)
    paired = {name: _matched(name, tables, first) for name, tables in paired.items()}
    asked = {name: _Set.of(_matched(name, pair(*tables), first)) for name, tables in queries.items()}
    key = streams(seed, *_STREAMS)
    parts = [
        _parted(name, tables, held_out, calibration, level, key=jax.random.fold_in(key["parts"], i))
        for i, (name, tables) in enumerate(paired.items())
    ]
    anchored = None
    if space == "shared":
        anchored = _anchored(anchors, first, parts[0].fitted, k=k, similarity=similarity, key=key["anchors"])
    steps = Steps(progress, len(names) * (len(parts) + 1) + len(parts))

    with serial_lapack():
        z: dict[str, dict[str, list[np.ndarray]]] = {part.name: {} for part in parts}
        for model, name in enumerate(names):
            steps.begin(f"rows of {name}")
            sets = [entry for part in parts for entry in part.sets] + list(asked.values())
            rows = _rows(sets, model, anchored)
            for i, part in enumerate(parts):
                steps.begin(f"{name} against {part.name}")
                fitted, queried = rows[3 * i], [*rows[3 * i + 1 : 3 * i + 3], *rows[3 * len(parts) :]]
                z[part.name][name] = _scores(part, fitted, queried, asked, scores=scores, most=most, key=key["fit"])

        by_set: dict[str, dict[str, dict[str, Against]]] = {name: {} for name in asked}
        held, uniform = {}, {}
        for part in parts:
            steps.begin(f"p-values against {part.name}")
            z_of = z[part.name]
            if len(names) > 1:
                z_of[ALL] = [np.mean(values, axis=0) for values in zip(*z_of.values(), strict=True)]
            of_held, uniform[part.name] = {}, {}
            for who, (of_calibration, *of_sets) in z_of.items():
                typical, against = _against(
                    part.calibration,
                    of_calibration,
                    [part.held_out, *asked.values()],
                    of_sets,
                    of_structures=of_structures,
                    level=level,
                )
                of_held[who] = against[0]
                uniform[part.name][who] = _uniform(part.held_out, against[0], typical, level)
                for name, entry in zip(asked, against[1:], strict=True):
                    auroc = _auroc(entry.score, against[0].score)
                    by_set[name].setdefault(part.name, {})[who] = dataclasses.replace(entry, auroc=auroc)
            held[part.name] = _query_set(part.held_out, {part.name: of_held}, [], level)

    return Typicality(
        models=names,
        references=list(paired),
        queries={name: _query_set(entry, by_set[name], parts, level) for name, entry in asked.items()},
        held_out=held,
        uniform=uniform,
        settings={
            "scores": list(scores),
            "of_structures": of_structures,
            "space": space,
            "anchors": None if anchored is None else anchored.description,
            "level": level,
            "most": most,
            "parts": "whole structures, drawn at random",
            "structures": {part.name: part.sizes for part in parts},
            "interval": f"95 %, of shares of scored structures Wilson's; of AUROC {METHOD}, by the infinitesimal "
            "jackknife over structures",
        },
        provenance={
            **provenance(first, first, names, seed=seed),
            "references": {name: _source(tables[0]) for name, tables in paired.items()},
            "queries": {name: _source(entry.tables[0]) for name, entry in asked.items()},
        },
    )


def _matched(name: str, tables: list[EmbeddingTable], first: list[EmbeddingTable]) -> list[EmbeddingTable]:
    """The tables in the order of the models of the first reference."""

    def identity(table: EmbeddingTable) -> tuple[Any, ...]:
        return table.model, table.layer, (table.provenance.get("checkpoint") or {}).get("sha256"), table.x.shape[1]

    def described(sets: Sequence[EmbeddingTable]) -> str:
        return ", ".join(f"{table.model} {table.layer} of {table.x.shape[1]} columns" for table in sets)

    known = {identity(table): table for table in tables}
    wanted = [identity(table) for table in first]
    if len(tables) != len(first) or set(known) != set(wanted):
        raise ValueError(
            f"`{name}` must have the same models, checkpoints and layers as the reference ({described(first)}), got "
            f"{described(tables)}: embed it with those."
        )
    return [known[entry] for entry in wanted]


def _parted(
    name: str, tables: list[EmbeddingTable], held_out: float, calibration: float, level: float, *, key: Array
) -> _Parts:
    structures = np.unique(tables[0].structure_index)
    order = structures[np.asarray(statistics.permutation(jax.random.fold_in(key, 0), n=len(structures)))]
    ends = np.round(np.array([calibration, calibration + held_out]) * len(order)).astype(int)
    least = int(np.ceil(1 / level)) - 1
    if ends[0] < least or not 0 < ends[1] - ends[0] < len(order) - ends[0]:
        raise ValueError(
            f"`{name}` must have {least} structures for calibration at a level of {level:g}, and some to hold out, "
            f"got {len(order)} in all: give a larger reference, or a larger fraction for calibration."
        )
    structure = tables[0].structure_index
    chosen = {"fitted": order[ends[1] :], "calibration": order[: ends[0]], "held_out": order[ends[0] : ends[1]]}
    return _Parts(name, **{which: _Set.of(tables, np.isin(structure, members)) for which, members in chosen.items()})


def _anchored(
    anchors: Any, first: list[EmbeddingTable], fitted: _Set, *, k: int, similarity: str, key: Array
) -> _Anchored:
    """Choose anchors among the fitting atoms by a method, or take given atoms of the first reference."""
    tables = fitted.tables if isinstance(anchors, str) else first
    if isinstance(anchors, str) and k > len(fitted.species):
        raise ValueError(f"`k` must be at most the number of atoms to choose from = {len(fitted.species)}, got {k}.")
    choice = choose_anchors(anchors, tables[0], k=k, key=key)
    return _Anchored(
        anchors=[choice.mapped(table)[choice.rows] for table in tables],
        fitted=[choice.mapped(table) for table in fitted.tables],
        choice=choice,
        similarity=similarity,
        description={
            "method": choice.method,
            "k": len(choice.rows),
            "similarity": similarity,
            "model": first[0].model,
            "structure": [tables[0].structure_name(int(i)) for i in tables[0].structure_index[choice.rows]],
            "atom": tables[0].atom_index[choice.rows].tolist(),
        },
    )


def _rows(sets: Sequence[_Set], model: int, anchored: _Anchored | None) -> list[np.ndarray]:
    """Embeddings of each set by one model, in the space where they are scored."""
    tables = [entry.tables[model] for entry in sets]
    if anchored is None:
        return [table.x for table in tables]
    x = np.concatenate([anchored.choice.mapped(table) for table in tables]).astype(np.float32)
    anchors, fitted = (jnp.asarray(rows[model], jnp.float32) for rows in (anchored.anchors, anchored.fitted))
    shared = relative(
        jnp.asarray(x), anchors, similarity=anchored.similarity, weights=anchored.choice.weights, reference=fitted
    )
    return np.split(np.asarray(shared), np.cumsum([len(table.x) for table in tables])[:-1])


def _scores(
    part: _Parts,
    fitted: np.ndarray,
    queried: list[np.ndarray],
    asked: Mapping[str, _Set],
    *,
    scores: Sequence[str],
    most: int,
    key: Array,
) -> list[np.ndarray]:
    """Scores of the calibration atoms, of those held out, and of each query set."""
    sets = (part.calibration, part.held_out, *asked.values())
    z = diagnostics.typicality(
        np.concatenate(queried),
        np.concatenate([entry.species for entry in sets]),
        reference=fitted,
        reference_species=part.fitted.species,
        reference_structures=part.fitted.structure,
        key=key,
        scores=scores,
        most=most,
    )
    z_of = np.split(z, np.cumsum([len(rows) for rows in queried])[:-1])
    if not all(np.isfinite(values).any() for values in z_of[:2]):
        least = max(diagnostics.LEAST_ATOMS[score] for score in scores)
        raise ValueError(
            f"`references[{part.name!r}]` must hold at least {least} atoms of some element for fitting the scores "
            f"{', '.join(scores)}, besides those for calibration and held-out tests, got fewer: give more structures, "
            "or other scores."
        )
    return z_of


def _structure_scores(z: np.ndarray, atoms: _Set, how: str) -> np.ndarray:
    """(s,) of the scores of a structure's atoms the mean or the largest; NaN where no atom has one."""
    known = np.isfinite(z)
    number = np.bincount(atoms.structure[known], minlength=atoms.number)
    if how == "mean":
        total = np.bincount(atoms.structure[known], z[known], minlength=atoms.number)
        score = total / np.maximum(number, 1)
    else:
        score = np.full(atoms.number, -np.inf)
        np.maximum.at(score, atoms.structure[known], z[known])
    return np.where(number > 0, score, np.nan).astype(np.float32)


def _against(
    calibration: _Set,
    of_calibration: np.ndarray,
    sets: Sequence[_Set],
    scores: Sequence[np.ndarray],
    *,
    of_structures: str,
    level: float,
) -> tuple[np.ndarray, list[Against]]:
    """Scores of the calibration structures, and the results of each set."""
    known = np.isfinite(of_calibration)
    atom_p_values = _p_values(
        np.concatenate(scores),
        np.where(known, of_calibration, -np.inf),
        np.where(known, calibration.weights, 0),
        np.concatenate([atoms.species for atoms in sets]),
        calibration.species,
    )
    typical = _structure_scores(of_calibration, calibration, of_structures)
    typical = typical[np.isfinite(typical)]
    totals = [_structure_scores(z, atoms, of_structures) for z, atoms in zip(scores, sets, strict=True)]
    p_values = _p_values(np.concatenate(totals), typical)
    split = lambda values, parts: np.split(values, np.cumsum([len(part) for part in parts])[:-1])
    return typical, [
        Against(z, atom_p_value, total, p_value, *_share(p_value <= level, np.isfinite(p_value)))
        for z, atom_p_value, total, p_value in zip(
            scores, split(atom_p_values, scores), totals, split(p_values, totals), strict=True
        )
    ]


def _p_values(scores: np.ndarray, calibration: np.ndarray, *more: np.ndarray) -> np.ndarray:
    names = ("weights", "groups", "calibration_groups")
    given = {name: jnp.asarray(array) for name, array in zip(names, more, strict=False)}
    return np.asarray(_conformal(jnp.asarray(scores), jnp.asarray(calibration), **given))


_conformal = jax.jit(diagnostics.conformal_p_values)


def _share(chosen: np.ndarray, known: np.ndarray) -> tuple[int, int, Estimate]:
    """Count known structures and those chosen of them, and compute their share with Wilson's 95 % interval."""
    from scipy.stats import binomtest

    count, num_known = int((chosen & known).sum()), int(known.sum())
    if not num_known:
        return 0, 0, Estimate(np.nan)
    ends = binomtest(count, num_known).proportion_ci(method="wilson")
    return num_known, count, Estimate(count / num_known, float(ends.low), float(ends.high), method="Wilson")


def _uniform(held_out: _Set, against: Against, typical: np.ndarray, level: float) -> dict[str, float]:
    from scipy.stats import ks_2samp

    held = against.score[np.isfinite(against.score)]
    p_value = np.asarray(ks_2samp(held, typical))[1]
    known = np.isfinite(against.atom_p_value)
    atypical = np.average(against.atom_p_value[known] <= level, weights=held_out.weights[known])
    return {"p_value": float(p_value), "atoms": float(atypical)}


def _auroc(score: np.ndarray, typical: np.ndarray) -> Estimate:
    """Compute the AUROC of a set against held-out structures, with a 95 % interval over structures."""
    score, typical = (values[np.isfinite(values)] for values in (score, typical))
    if not len(score):
        return Estimate(np.nan)
    both = np.concatenate([score, typical])
    value, error = (float(values) for values in _auroc_and_error(jnp.asarray(both), jnp.arange(len(both)) < len(score)))
    return interval(value, error, scale="share", sizes=np.ones(min(len(score), len(typical)), int))


@jax.jit
def _auroc_and_error(score: Array, positive: Array) -> tuple[Array, Array]:
    """The AUROC and its standard error over structures, of both kinds.

    The influence of a structure is the share of the other kind that it beats, less the mean: DeLong, DeLong &
    Clarke-Pearson, Biometrics 44, 837 (1988).
    """
    value = diagnostics.auroc(score, positive)
    number = len(score)
    own = jnp.where(positive, jnp.sum(positive), jnp.sum(~positive)).astype(score.dtype)
    below = number * diagnostics.ranks(score) - own * diagnostics.ranks(score, groups=positive.astype(jnp.int32))
    share = below / (number - own)
    beaten = jnp.where(positive, share, 1 - share)
    return value, statistics.cluster_error((beaten - value) / own, clusters=jnp.arange(number))


def _query_set(
    atoms: _Set, against: Mapping[str, Mapping[str, Against]], parts: Sequence[_Parts], level: float
) -> QuerySet:
    table = atoms.tables[0]
    p_values = np.array([list(entries.values())[-1].p_value for entries in against.values()])  # All models come last.
    best = np.where(np.isnan(p_values), -1.0, p_values)
    present = np.unique(table.structure_index).tolist()
    hashes = [] if table.structures is None else [table.structures.hashes[i] for i in present]
    without, unscored = {}, {}
    for name, entries in against.items():
        first = next(iter(entries.values()))
        without[name] = elements_counted(table.species[np.isnan(first.atom_score)])
        none = np.isnan(first.score)
        held = np.unique(np.stack([atoms.structure, table.species])[:, none[atoms.structure]], axis=1)
        unscored[name] = {"num": int(none.sum()), "elements": elements_counted(held[1])}
    return QuerySet(
        ids=[table.structure_name(i) for i in present],
        species=table.species,
        structure_index=atoms.structure,
        atom_index=table.atom_index,
        against=against,
        regime=[
            list(against)[i] if p > level else NONE if p >= 0 else UNKNOWN
            for i, p in zip(best.argmax(axis=0).tolist(), best.max(axis=0).tolist(), strict=True)
        ],
        without_reference=without,
        unscored=unscored,
        known={part.name: len(part.hashes.intersection(hashes)) for part in parts},
    )


def _source(table: EmbeddingTable) -> dict[str, Any]:
    return {
        "source": table.provenance.get("source"),
        "num_structures": table.num_structures,
        "num_atoms": len(table.x),
        "left_out": {entry["id"]: entry["reason"] for entry in table.skipped},
    }
