"""Writing a store: block by block, by any number of writers, each of which may be killed at any moment."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from platonic_adapters import _store_layout as layout
from platonic_adapters._store_checking import Damage, survey
from platonic_adapters._store_reading import OF_THE_FILES, Store, flag, flags, load, looks_like_a_store, read_attributes
from platonic_adapters.errors import DamagedStoreError, StoreError
from platonic_adapters.integrity import checksum, sealed, sync
from platonic_adapters.readout import Readout
from platonic_adapters.replacing import Beside, Lock, collect, recover
from platonic_adapters.structures import Structures

# Attributes that may differ between the run that began a store and the one that finishes it.
NOT_OF_THE_RUN = {
    "complete",
    "created",
    "self_test",
    "skipped",
    "source",
    "default_layer",
    "paper_layer",
    *OF_THE_FILES,
}


@dataclass(frozen=True, eq=False)
class Writer:
    """A store being written; several writers may hold the same one.

    Attributes:
        path: where it is written.
        group: its Zarr group.
        structures: those that get rows.
        layers: names of the layers.
        properties: names of the properties.
        backwards: whether to begin with the last block, to meet another writer in the middle.
        run: what tells this store from any other, also from one of the same run.
        damage: what was found damaged when this writer began, and is written again.
        replaces: where the store will stand when it is complete, in place of another, if not at `path`.
    """

    path: Path
    group: zarr.Group
    structures: Structures
    layers: Sequence[str]
    properties: Sequence[str]
    backwards: bool
    run: str | None = None
    damage: Damage = Damage()
    replaces: Beside | None = None

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return int(str(self.group.attrs["block_rows"]))

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return layout.array(self.group, "done").shape[0]

    def is_done(self, block: int) -> bool:
        """Test whether a block is written, by this writer or by another."""
        return bool(flag(layout.array(self.group, "done"), block).any())

    def pending(self) -> Iterator[int]:
        """The blocks still to write, each looked up when its turn comes.

        One who joins goes backwards, so that two writers meet in the middle.
        """
        blocks = range(self.num_blocks)
        yield from (b for b in (reversed(blocks) if self.backwards else blocks) if not self.is_done(b))

    def rows(self, block: int) -> slice:
        """The rows of a block."""
        n = int(self.structures.offsets[-1])
        return slice(block * self.block_rows, min((block + 1) * self.block_rows, n))

    def overlapping(self, block: int) -> range:
        """The structures that have at least one row in a block."""
        return layout.overlapping(self.structures, self.rows(block))

    def write(self, block: int, layers: Mapping[str, np.ndarray], properties: Mapping[str, np.ndarray]) -> None:
        """Write one block whole, then its flag.

        Args:
            block: its number.
            layers: layer → (rows of the block, width).
            properties: name → rows of the block; the values of a structure (energy, stress) stand at its first atom and
                are gathered by `finish`.

        Raises:
            StoreError: another store stands where this one was begun.
        """
        rows = self.rows(block)
        with _hold(self.path, self.run, exclusive=False):
            for name in self.layers:
                layout.array(self.group, f"layers/{name}")[rows] = layers[name]
            for name in self.properties:
                layout.array(self.group, layout.row_array(name))[rows] = properties[name]
            files = self._files(block)
            sync(files)
            layout.array(self.group, "done")[block] = [int(checksum(file) or "0", 16) + 1 for file in files]
            sync([self.path / layout.flag_file(block)])

    def finish(self) -> None:
        """Gather the values of structures, mark the store complete, and move it to its place.

        Every writer may do it, to the same effect.

        Raises:
            StoreError: a block is not what was written, or another store stands where this one was begun.
        """
        with _hold(self.path, self.run, exclusive=True) as attributes:
            if not attributes["complete"]:
                self._complete(attributes)
        if self.replaces is not None:
            if self.replaces.path.exists():
                _refuse_to_replace(self.replaces.path)
            self.replaces.swap_in()
            self.replaces.remove()

    def _complete(self, attributes: dict[str, Any]) -> None:
        store = load(self.path)
        damage = survey(store)
        if damage:
            _clear(store, damage.blocks)
            raise StoreError(
                f"`{self.path}` was damaged while it was written ({damage.sentence()}); run the same command again and"
                " it goes on with what is missing."
            )
        for name in self.properties:
            if not layout.PROPERTIES[name][0]:
                by_row = np.asarray(layout.array(self.group, layout.row_array(name))[:])
                shutil.rmtree(self.path / name / "c", ignore_errors=True)
                layout.array(self.group, name)[...] = by_row[self.structures.offsets[:-1]]
        for left_over in self.path.rglob("*.partial"):
            left_over.unlink(missing_ok=True)
        files = layout.files(self.path)
        sync(file for name, file in files.items() if layout.kind(name, attributes) == "gathered")
        _describe(self.path, {**attributes, "complete": True, "checksums": {k: checksum(v) for k, v in files.items()}})

    def _files(self, block: int) -> list[Path]:
        return [self.path / file for file in layout.block_files(self.layers, self.properties, block)]


def create(
    path: str | Path,
    structures: Structures,
    *,
    layers: Mapping[str, Mapping[str, Any]],
    default_layer: str,
    provenance: Mapping[str, Any],
    skipped: Iterable[Mapping[str, str]] = (),
    properties: Sequence[str] = (),
    readout: Readout | None = None,
    overwrite: bool = False,
    block_rows: int = layout.BLOCK_ROWS,
) -> Writer:
    """Begin a store, or join the one that the same run has begun there.

    Args:
        path: where; made beside it and moved in when whole, so that nothing half-made ever stands there.
        structures: those that get rows.
        layers: layer → `{"width", "what", …}`.
        default_layer: one of them.
        provenance: the attributes that say how the rows come to be.
        skipped: what of the input gets no rows.
        properties: which of `PROPERTIES` to store.
        readout: the model's energy read-out, where it has one of dense layers.
        overwrite: replace what stands at `path`, if it is a store, when the new one is complete; goes on with what a
            killed run of the same kind has left.
        block_rows: rows of a block.

    Raises:
        StoreError: something else stands there.
    """
    path = Path(path)
    attributes = {
        **provenance,
        "schema": layout.SCHEMA,
        "layers": {name: dict(layer) for name, layer in layers.items()},
        "default_layer": default_layer,
        "properties": list(properties),
        "skipped": [dict(s) for s in skipped],
        "block_rows": block_rows,
        "complete": False,
        "structures_sha256": structures.digest,
    }

    def lay_out(folder: Path) -> None:
        group = zarr.open_group(folder, mode="w", zarr_format=3)
        layout.lay_out(group, structures, layers=layers, properties=properties, readout=readout, block_rows=block_rows)
        _describe_new(folder, attributes)

    def is_same_run(folder: Path) -> bool:
        with suppress(StoreError):
            check_same_run(load(folder), structures, attributes)
            return True
        return False

    recover(path)
    if overwrite and path.exists():
        _refuse_to_replace(path)
        beside = collect(path, adopt=is_same_run)
        if beside is None:
            beside = Beside.new(path)
            with _removed_on_failure(beside):
                lay_out(beside.made)
        return _go_on(beside.made, structures, attributes, lay_out, replaces=beside)
    first = False
    if not path.exists():
        beside = Beside.new(path)
        with _removed_on_failure(beside):
            lay_out(beside.made)
            first = beside.move_in()  # if not, another run was faster by a hair: join it
        beside.remove()
    writer = _go_on(path, structures, attributes, lay_out, backwards=not first)
    collect(path)  # only now that the store is known to be of this run, and not of one that would go on with the rest
    return writer


def _go_on(
    path: Path,
    structures: Structures,
    attributes: Mapping[str, Any],
    lay_out: Callable[[Path], None],
    *,
    backwards: bool = False,
    replaces: Beside | None = None,
) -> Writer:
    """Write to a store that is there, once it is known to be of this run, and what is damaged in it is pending."""
    store = load(path)
    check_same_run(store, structures, attributes)
    run, damage = store.attributes.get("run"), Damage()
    with _hold(path, run, exclusive=True):
        store = load(path)
        if store.has_checksums:
            damage = survey(store)
            _mend(store, damage, lay_out)
    group = zarr.open_group(path, mode="r+")
    names = list(attributes["layers"]), list(attributes["properties"])
    return Writer(path, group, structures, *names, backwards, run, damage, replaces)


def join(path: str | Path, run: str) -> Writer:
    """Write blocks of a store that another process has begun, and will finish.

    Args:
        path: where it is.
        run: its `Writer.run`.

    Raises:
        StoreError: another store stands there.
    """
    store = load(path)
    with _hold(store.path, run, exclusive=False):
        group = zarr.open_group(path, mode="r+")
    names = list(store.layers), list(store.properties)
    return Writer(store.path, group, store.structures, *names, backwards=False, run=run)


def check_same_run(store: Store, structures: Structures, attributes: Mapping[str, Any]) -> None:
    """Refuse a store that was made from other structures or in another way than the run that wants to go on with it.

    Args:
        store: what stands there.
        structures: the input of the run.
        attributes: those of the run's attributes that must agree; `layers` and `properties` may be fewer than those of
            a complete store.

    Raises:
        StoreError: what differs first.
    """
    cure = "choose another output or start over with `--overwrite`"
    theirs = store.attributes
    if "model" in attributes and theirs.get("model") != attributes["model"]:
        raise StoreError(f"`{store.path}` was made with {theirs.get('model')}, not {attributes['model']}; {cure}.")
    if theirs.get("structures_sha256") != structures.digest:
        _check_same_structures(store, structures, cure)
    for name in sorted(set(attributes) - NOT_OF_THE_RUN):
        ours = attributes[name]
        if name in ("layers", "properties") and store.complete:
            missing = [x for x in ours if x not in theirs[name]]
            if missing:
                raise StoreError(f"`{store.path}` is complete but without {', '.join(missing)}; {cure}.")
        elif theirs.get(name) != json.loads(json.dumps(ours)):
            raise StoreError(
                f"`{store.path}` was begun with {name} {_short(theirs.get(name))}, this run has {_short(ours)}; {cure}."
            )


def _check_same_structures(store: Store, structures: Structures, cure: str) -> None:
    kept, left_out = store.structures, {s["hash"] for s in store.skipped} - set(store.structures.hashes)
    given = [i for i, h in enumerate(structures.hashes) if h not in left_out]
    for position in range(max(len(kept), len(given))):
        there = f"{kept.ids[position]} ({kept.formulas[position]})" if position < len(kept) else "none"
        here = (
            f"{structures.ids[given[position]]} ({structures.formulas[given[position]]})"
            if position < len(given)
            else "none"
        )
        if "none" in (there, here) or kept.hashes[position] != structures.hashes[given[position]]:
            raise StoreError(
                f"`{store.path}` was made from other structures: the first that differs is number {position}, {there}"
                f" there and {here} here; {cure}."
            )


def write_structures(
    path: str | Path, structures: Structures, *, source: str, skipped: Iterable[Mapping[str, str]] = ()
) -> None:
    """Write structures alone: what one environment hands to another, so that every model sees the same numbers.

    Args:
        path: where.
        structures: what.
        source: the user's own name of where they come from.
        skipped: what was left out on the way.

    Raises:
        StoreError: something stands there.
    """
    path = Path(path)
    collect(path)
    beside = Beside.new(path)
    with _removed_on_failure(beside):
        layout.save_structures(zarr.open_group(beside.made, mode="w", zarr_format=3), structures)
        attributes = {"schema": layout.SCHEMA, "source": source, "skipped": [dict(s) for s in skipped]}
        _describe_new(beside.made, attributes)
        if not beside.move_in():
            raise StoreError(f"`{path}` is there already; choose another place for the structures, or remove it.")
    beside.remove()


@contextmanager
def _hold(path: Path, run: str | None, *, exclusive: bool) -> Iterator[dict[str, Any]]:
    """Keep others from replacing a store, exclusively also from writing to it, if it is that of a run."""
    try:
        lock = Lock(path, exclusive=exclusive)
    except FileNotFoundError:
        raise _replaced(path) from None
    with lock:
        attributes = read_attributes(path)
        if attributes.get("run") != run:
            raise _replaced(path)
        yield attributes


def _replaced(path: Path) -> StoreError:
    return StoreError(
        f"`{path}` was replaced or removed by another run while this one wrote to it; this run ends here, and what"
        " stands there now is not its work."
    )


@contextmanager
def _removed_on_failure(beside: Beside) -> Iterator[None]:
    try:
        yield
    except BaseException:
        beside.remove()
        raise


def _refuse_to_replace(path: Path) -> None:
    """Only ever replace a store, even a damaged one."""
    if not looks_like_a_store(path):
        load(path)  # says what it is instead


def _describe_new(path: Path, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a store that has no rows yet, with the checksums of all its files."""
    files = layout.files(path)
    sync(files.values())
    _describe(path, {**attributes, "run": uuid.uuid4().hex, "checksums": {k: checksum(v) for k, v in files.items()}})


def _describe(path: Path, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a store, sealed: one atomic replacement of one file."""
    zarr.open_group(path, mode="r+").attrs.put(sealed(json.loads(json.dumps(attributes))))
    sync([path / "zarr.json"])


def _mend(store: Store, damage: Damage, lay_out: Callable[[Path], None]) -> None:
    """Restore the damaged files that hold no rows, and have the blocks that are damaged written again."""
    if damage.fixed:
        beside = Beside.new(store.path)
        try:
            lay_out(beside.made)
            for name in damage.fixed:
                if checksum(beside.made / name) != store.attributes["checksums"][name]:
                    raise DamagedStoreError(
                        f"`{store.path}` is damaged ({damage.sentence()}), and this version of the packages writes"
                        f" {name} in another way; start over with `--overwrite`."
                    )
                (store.path / name).parent.mkdir(parents=True, exist_ok=True)
                (beside.made / name).replace(store.path / name)
                sync([store.path / name])
        finally:
            beside.remove()
        damage = survey(load(store.path))  # with the description of `done` restored, blocks can be told again
    if store.complete and damage:
        fixed = {k: v for k, v in store.attributes["checksums"].items() if layout.kind(k, store.attributes) == "fixed"}
        _describe(store.path, {**store.attributes, "complete": False, "checksums": fixed})
    if damage or not store.complete:
        _clear(store, {*damage.blocks, *np.flatnonzero(~flags(store.group).any(axis=1)).tolist()})


def _clear(store: Store, blocks: Iterable[int]) -> None:
    """Remove the files and flags of blocks: where the last block ends inside a chunk, old files would be read first."""
    for block in blocks:
        for name in (layout.flag_file(block), *layout.block_files(list(store.layers), store.properties, block)):
            (store.path / name).unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}…"
