"""Objectives by name, and the targets of tasks."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platonic_adapters.sources import identifier

from platonic_jax import learn
from platonic_jax._files import read_csv
from platonic_jax.analyses._run import check_among
from platonic_jax.labels import coordination, element_groups
from platonic_jax.learn import objectives
from platonic_jax.tables import EmbeddingTable

PARTS = ("metric", "anchors", "weights")
# Targets that follow from the structures alone.
KNOWN: dict[str, Callable[[Any], np.ndarray]] = {
    "coordination": lambda structures: coordination(structures).astype(np.float32),
    "element_group": element_groups,
}
# Objectives that are not of a task, and what each of them asks to be learned if nothing else is said.
_PLAIN = {
    "coverage": (objectives.coverage, {"anchors"}),
    "conditioning": (objectives.conditioning, {"anchors"}),
    "sparsity": (objectives.sparsity, {"weights"}),
}
_MISSING = {"", "?", ".", "-", "--", "n/a", "na", "nan", "none", "null", "#n/a"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_TERM = re.compile(r"(?:(?P<weight>[^*]*)\*)?(?P<kind>\w+)(?::(?P<name>.+))?")


class Target(NamedTuple):
    """Target values of a task, of atoms or structures.

    Attributes:
        values: (n,) float32 at every atom, NaN where unknown; of classes, their place in `labels`.
        per: `"atom"` or `"structure"`.
        labels: names of the classes; None of values.
    """

    values: np.ndarray
    per: str
    labels: tuple[str, ...] | None = None


def targets_of(given: Mapping[str, Any], names: Sequence[str], table: EmbeddingTable) -> dict[str, Target]:
    """The targets with these names, from what is given or what the structures tell."""
    structures, n = table.structures, len(table.x)
    number = 0 if structures is None else len(structures)
    targets = {}
    for name in names:
        values = np.asarray(given[name] if name in given else KNOWN[name](structures))
        if values.shape not in ((number,), (n,)):
            raise ValueError(
                f"`targets[{name!r}]` must have a value for each of {number} structures or {n} atoms, got shape "
                f"{values.shape}."
            )
        labels, per = None, "structure" if len(values) == number else "atom"
        if values.dtype.kind in "OUS":
            words = np.array([str(word or "") for word in values])
            labels = tuple(sorted(set(words) - {""}))
            place = {label: float(i) for i, label in enumerate(labels)}
            values = np.array([place.get(word, np.nan) for word in words])
        values = values.astype(np.float32)
        if not np.isfinite(values).any():
            raise ValueError(f"`targets[{name!r}]` must be known of some structures here, got none that is.")
        targets[name] = Target(values[table.structure_index] if per == "structure" else values, per, labels)
    return targets


def goal_of(
    objective: Sequence[str], parts: Sequence[str] | None, given: Mapping[str, Any], table: EmbeddingTable
) -> tuple[learn.objectives.Objective, tuple[str, ...], dict[str, Target]]:
    """The function to minimise, what is learned, and the targets of its tasks."""
    names = [*given, *(name for name in KNOWN if name not in given)]
    offered = [
        *("agreement", "agreement:MEASURE"),
        *(f"task:{name}" for name in names),
        *_PLAIN,
        "each as WEIGHT*NAME too",
    ]
    terms, wanted, tasks = [], set(), []
    for text in objective:
        match = _TERM.fullmatch(text)
        kind, name = (match["kind"], match["name"]) if match else ("", None)
        try:
            weight = float((match and match["weight"]) or 1)
        except ValueError:
            weight = np.nan
        if not 0 < weight < np.inf:
            kind = ""
        if kind == "agreement" and (name is None or name in objectives.MEASURES):
            term, asked = (lambda name=name: objectives.agreement(name or "matching")), {"metric"}
        elif kind == "task" and name in names:
            term, asked = None, set(PARTS)
            tasks.append(name)
        elif kind in _PLAIN and name is None:
            term, asked = _PLAIN[kind]
        else:
            raise ValueError(f"`objective` must be among {', '.join(offered)}, got {text!r}.")
        terms.append((weight, term))
        wanted |= asked
    if not terms:
        raise ValueError(f"`objective` must be one or more of {', '.join(offered)}, got none.")
    if parts is not None:
        check_among("parts", parts, PARTS)
        wanted = set(parts)
    targets = targets_of(given, tasks, table)
    of_task = iter(tasks)
    weighted_terms = [
        (weight, term() if term else _task(name := next(of_task), targets[name])) for weight, term in terms
    ]
    return objectives.weighted(*weighted_terms), tuple(part for part in PARTS if part in wanted), targets


def _task(name: str, target: Target) -> learn.objectives.Objective:
    if target.labels is None:
        return objectives.values(name, per=target.per)
    return objectives.classes(name, num_classes=len(target.labels), per=target.per)


def read_targets(path: str | Path, table: EmbeddingTable) -> dict[str, np.ndarray]:
    """Read values and classes of structures from a CSV file.

    Args:
        path: the file, with a column `id` or `material_id`; a column of numbers holds values, one of words classes.
            Unknown is an empty field, `?`, `-`, `n/a`, `NA`, `NaN`, `none` or `null`. Structures that the table does
            not have are left out.
        table: whose structures are meant.

    Returns:
        By column, (s,) float32, NaN where the file has none; or words, empty where it has none.

    Raises:
        ValueError: no such file, no column of ids, no other column, an id twice, a column of numbers and words, or none
            of the table's structures.
    """
    heads, rows = read_csv(path, "targets")
    identity = next((head for head in ("id", "material_id") if head in heads), None)
    if identity is None:
        raise ValueError(
            f"{str(path)!r} must have a column `id` or `material_id`, got {', '.join(heads) or 'nothing'}."
        )
    if len(heads) == 1:
        raise ValueError(f"{str(path)!r} must have a column of values or classes, got {identity} alone.")
    place: dict[str, int] = {}
    for i, row in enumerate(rows):
        name = identifier(row[identity])
        if name in place:
            raise ValueError(
                f"{str(path)!r} must have one row for each structure, got {name!r} in rows {place[name] + 1} and "
                f"{i + 1}."
            )
        place[name] = i
    ids = [] if table.structures is None else table.structures.ids
    order = [place.get(name) for name in ids]
    if all(row is None for row in order):
        raise ValueError(f"{str(path)!r} must hold structures of the stores, such as {ids[0]!r}, got none of them.")
    targets = {}
    for head in heads:
        if head != identity:
            column = _column([row[head] for row in rows], f"{str(path)!r}: column `{head}`")
            unknown = np.zeros((), column.dtype) if column.dtype.kind == "U" else np.float32(np.nan)
            targets[head] = np.array([unknown if row is None else column[row] for row in order], column.dtype)
    return targets


def _column(fields: list[str], name: str) -> np.ndarray:
    """Numbers, NaN where missing, or words, empty where missing; a column of both is refused."""
    known = {i: field for i, field in enumerate(fields) if field.lower() not in _MISSING}
    numbers = {i: float(field) for i, field in known.items() if _NUMBER.fullmatch(field)}
    wrong = next((i for i in known if i not in numbers), None)
    if numbers and wrong is not None:
        words = len(known) - len(numbers)
        odd = wrong if words <= len(numbers) else next(iter(numbers))
        comma = "; write decimals with a point" if _NUMBER.fullmatch(fields[wrong].replace(",", ".")) else ""
        raise ValueError(
            f"{name} must hold numbers or words, got {len(numbers)} numbers and {words} others, {fields[odd]!r} in row "
            f"{odd + 1}{comma}."
        )
    if wrong is not None:
        if all(_NUMBER.fullmatch(field.replace(",", ".")) for field in known.values()):
            raise ValueError(f"{name} must have decimals with a point, got {fields[wrong]!r} in row {wrong + 1}.")
        return np.array([known.get(i, "") for i in range(len(fields))])
    values = np.array([numbers.get(i, np.nan) for i in range(len(fields))])
    if (large := np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)).size:
        raise ValueError(f"{name} must hold finite numbers, got {fields[large[0]]!r} in row {large[0] + 1}.")
    return values.astype(np.float32)
