"""Checking a store from end to end, file by file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from platonic_adapters import _store_layout as layout
from platonic_adapters._store_reading import Store, flags, load_any
from platonic_adapters.errors import DamagedStoreError, StoreError
from platonic_adapters.integrity import checksum


@dataclass(frozen=True)
class Damage:
    """Files of a store that are not what was written.

    Attributes:
        fixed: those that hold no rows: structures, descriptions of arrays, the energy read-out.
        blocks: numbers of the blocks of rows that have such a file, or a flag without one.
        gathered: those that hold the values of structures.
    """

    fixed: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()
    gathered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fixed or self.blocks or self.gathered)

    def sentence(self) -> str:
        """All of it, in part of a sentence."""
        blocks = [f"{len(self.blocks)} blocks of rows (the first: {self.blocks[0]})"] if self.blocks else []
        return ", ".join([*self.fixed, *self.gathered, *blocks])


@dataclass(frozen=True)
class Verification:
    """Result of `verify`.

    Attributes:
        path: of the store.
        faults: what is wrong, a sentence each; none if the store is intact.
        structures: ids of the structures to embed again.
        num_structures: how many there are in all; None if even that cannot be told.
        num_rows: number of atoms, or None.
        complete: whether every row was written.
        checksums: whether damage can be seen at all; schema 1 had no checksums.
    """

    path: str
    faults: list[str]
    structures: list[str]
    num_structures: int | None
    num_rows: int | None
    complete: bool
    checksums: bool

    @property
    def intact(self) -> bool:
        """True if the store is complete and undamaged."""
        return not self.faults


def survey(store: Store) -> Damage:
    """Compare every file of a store with the checksum of what was written; nothing is seen where there are none."""
    if not store.has_checksums:
        return Damage()
    recorded = store.attributes["checksums"]
    wrong = [name for name, value in recorded.items() if checksum(store.path / name) != value]
    kinds = {name: layout.kind(name, store.attributes) if "layers" in store.attributes else "fixed" for name in wrong}
    blocks = {kind for kind in kinds.values() if isinstance(kind, int)}
    if not store.complete and "layers" in store.attributes and "done/zarr.json" not in wrong:
        blocks |= _damaged_blocks(store)
    fixed, gathered = ([name for name in wrong if kinds[name] == kind] for kind in ("fixed", "gathered"))
    return Damage(tuple(fixed), tuple(sorted(blocks)), tuple(gathered))


def _damaged_blocks(store: Store) -> set[int]:
    """The blocks with a flag but without what it promises, of a store that is being written."""
    damaged = set()
    layers, properties = store.layers, store.properties
    for block, row in enumerate(flags(store.group)):
        if not row.any():
            continue
        files = layout.block_files(list(layers), properties, block)
        if [checksum(store.path / file) for file in files] != [f"{value - 1:08x}" for value in row.tolist()]:
            damaged.add(block)
    return damaged


def verify(path: str | Path) -> Verification:
    """Read a store from end to end, and say what was changed or lost.

    Args:
        path: a store, complete or not, or structures written alone.

    Returns:
        What is wrong, and which structures must be embedded again.

    Raises:
        StoreError: no store there, or a newer one.

    Example:
        >>> verify("a.zarr").intact  # doctest: +SKIP
        True
    """
    try:
        store = load_any(path)
    except DamagedStoreError as error:
        return Verification(str(path), [str(error)], [], None, None, complete=False, checksums=True)
    embeddings = "layers" in store.attributes
    damage = survey(store)
    faults = [f"`{path}` is damaged: {name} is not what was written." for name in (*damage.fixed, *damage.gathered)]
    faults += [f"`{path}` is damaged: block {block} of its rows is not what was written." for block in damage.blocks]
    pending = set(damage.blocks)
    if embeddings and not store.complete and "done/zarr.json" not in damage.fixed:
        pending |= set(np.flatnonzero(~flags(store.group).any(axis=1)).tolist())
    faults += _said(store.check_complete) if embeddings and not faults else []
    faults += _read_all(store) if not damage else []
    known = not _said(lambda: store.structures)
    wanted: set[int] = set()
    if known and embeddings:
        size = store.attributes["block_rows"]
        every = [range(len(store.structures))] if faults and not store.has_checksums else []
        rows = [slice(block * size, min((block + 1) * size, len(store.species))) for block in pending]
        wanted = {i for some in [*every, *(layout.overlapping(store.structures, r) for r in rows)] for i in some}
    return Verification(
        path=str(path),
        faults=faults,
        structures=[store.structures.ids[i] for i in sorted(wanted)],
        num_structures=len(store.structures) if known else None,
        num_rows=len(store.species) if known else None,
        complete=store.complete,
        checksums=store.has_checksums,
    )


def _read_all(store: Store) -> list[str]:
    """List the parts that cannot be read, a sentence each."""
    reads: list[Callable[[], object]] = [lambda: store.structures, lambda: store.structure_index]
    reads.append(lambda: _check_formulas(store))
    if store.attributes.get("complete"):
        reads += [partial(store.layer, name) for name in store.layers]
        reads += [partial(store.property, name) for name in store.properties]
        reads.append(lambda: store.readout)
    return list(dict.fromkeys(sentence for read in reads for sentence in _said(read)))


def _check_formulas(store: Store) -> None:
    structures = store.structures
    for i, formula in enumerate(structures.formulas):
        if structures.atoms(i).get_chemical_formula("metal") != formula:
            raise DamagedStoreError(
                f"`{store.path}` is damaged: the formula of structure {i} ({structures.ids[i]}), {formula}, is not that"
                " of its atoms; embed it again with `--overwrite`."
            )


def _said(read: Callable[[], object]) -> list[str]:
    try:
        read()
    except StoreError as error:
        return [str(error)]
    return []
