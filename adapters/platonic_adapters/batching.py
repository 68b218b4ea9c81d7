"""Batches of structures that a model can hold: limited in atoms, halved where the memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from platonic_adapters.errors import ExportError, first_line
from platonic_adapters.families import Adapter

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["DoesNotFit", "Member", "embed", "prepare", "split"]


class DoesNotFit(ExportError):
    """One structure alone needs more memory than there is."""


class Member(NamedTuple):
    """A structure as errors name it, such as `mp-1 (NaCl)`, and how many atoms it has."""

    name: str
    num_atoms: int


def split(members: Iterable[int], num_atoms: Sequence[int] | np.ndarray, batch_atoms: int) -> list[list[int]]:
    """Divide structures into batches, in the order given.

    Args:
        members: indices of structures.
        num_atoms: atoms of each structure, by index.
        batch_atoms: atoms a batch at most; a structure with more goes alone.
    """
    batches: list[list[int]] = []
    size = batch_atoms
    for i in members:
        atoms = int(num_atoms[i])
        if size + atoms > batch_atoms:
            batches.append([])
            size = 0
        batches[-1].append(i)
        size += atoms
    return batches


def prepare(adapter: Adapter, atoms: Atoms, member: Member) -> Any:
    """Build the graph of a structure; a failure names it."""
    try:
        return adapter.prepare(atoms)
    except Exception as error:
        raise ExportError(
            f"the model cannot build the graph of {member.name} ({first_line(error)}); leave it out."
        ) from error


def embed(
    adapter: Adapter, graphs: Sequence[Any], members: Sequence[Member], properties: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Embed a batch, in halves where the memory does not hold it.

    Args:
        adapter: the model.
        graphs: what `prepare` made of each structure.
        members: the same structures.
        properties: those of energy, forces and stress that are wanted too.

    Returns:
        As `families.Adapter.embed`.

    Raises:
        DoesNotFit: one structure alone does not; named.
        ExportError: values (but stress) that are not finite; the structure is named.
    """
    try:
        layers, values = adapter.embed(graphs, properties)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        if len(members) == 1:
            raise DoesNotFit(
                f"{members[0].name}, {members[0].num_atoms} atoms, does not fit into the memory; leave it out."
            ) from error
    else:
        _refuse_non_finite(members, {**layers, **{k: v for k, v in values.items() if k != "stress"}})
        return layers, values
    half = len(members) // 2
    parts = [embed(adapter, graphs[part], members[part], properties) for part in (slice(half), slice(half, None))]
    joined = [{name: np.concatenate([p[k][name] for p in parts]) for name in parts[0][k]} for k in (0, 1)]
    return joined[0], joined[1]


def _out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _refuse_non_finite(members: Sequence[Member], outputs: dict[str, np.ndarray]) -> None:
    ends = np.cumsum([member.num_atoms for member in members])
    for name, x in outputs.items():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))
        if bad.size:
            member = members[bad[0] if name == "energy" else int(np.searchsorted(ends, bad[0], "right"))]
            raise ExportError(f"the model gives values that are not finite ({name}) for {member.name}; leave it out.")
