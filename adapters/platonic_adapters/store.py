"""The file format: one store = one model on one set of structures, a Zarr v3 group; its only writer and reader.

    species (n,) int32 · structure_index (n,) int32, non-decreasing · layers/<name> (n, width) float32
    optional energy (s,) eV · forces (n, 3) eV/Å · stress (s, 3, 3) eV/Å³, float32; a structure that is not periodic in
    every direction has no stress (NaN)
    optional orbit_spread (n,) float32: of a model averaged over rotations, see `averaging`
    optional readout/{weights/<i>, biases/<i>, scale, shift} float32, its attributes layer and activation: the model's
    energy read-out, see `protocol.Readout`
    by_row/{energy, stress}, the same at the first row of each structure, for writers
    structures/{ids, hashes, formulas, num_atoms, positions, cells, pbc} · done (blocks,) bool
    attributes: schema, complete, default_layer, layers, properties, skipped, and the provenance

The unit of work is a block: one shard of rows of every per-atom array. A writer computes every structure that overlaps
the block, writes the whole shard, then the block's own flag, each an atomic replacement of one file. So a killed run
goes on at the first block without a flag, writers of different blocks share no file, and what is written depends on the
block alone: the result is bit-identical however often it was interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from platonic_adapters.averaging import SPREAD
from platonic_adapters.errors import StoreError
from platonic_adapters.protocol import Readout
from platonic_adapters.structures import Structures

__all__ = [
    "SCHEMA",
    "Store",
    "StoreError",
    "Writer",
    "check_same_run",
    "create",
    "join",
    "load",
    "open",
    "read_structures",
    "write_structures",
]

SCHEMA = 1
BLOCK_ROWS = 2048
CHUNK_ROWS = 256
# Each property: whether it has a row for every atom (else one for every structure), and its shape. The first three are
# what a model predicts; the last belongs to every store of a model averaged over rotations.
PROPERTIES: dict[str, tuple[bool, tuple[int, ...]]] = {
    "energy": (False, ()),
    "forces": (True, (3,)),
    "stress": (False, (3, 3)),
    SPREAD: (True, ()),
}
PREDICTED = ("energy", "forces", "stress")
# Attributes that may differ between the run that began a store and the one that finishes it.
NOT_OF_THE_RUN = {"complete", "created", "self_test", "skipped", "source", "default_layer"}


@dataclass(frozen=True, eq=False)
class Store:
    """A store seen by a reader: arrays stay on disk until asked for."""

    path: Path
    group: zarr.Group

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Every attribute of the root group."""
        return dict(self.group.attrs)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the store came to be: model, checkpoint, licence, packages, precision, self-test, … (see the format)."""
        return {k: v for k, v in self.attributes.items() if k not in {"properties", "skipped"}}

    @property
    def complete(self) -> bool:
        """Whether every row is written."""
        return self.attributes.get("complete") is True

    @property
    def layers(self) -> dict[str, dict[str, Any]]:
        """Layer → `{"width": int, "what": str, …}`."""
        return self.attributes["layers"]

    @property
    def default_layer(self) -> str:
        """The layer that stands for the model where none is named."""
        return self.attributes["default_layer"]

    @property
    def properties(self) -> tuple[str, ...]:
        """Which of energy, forces, stress and orbit_spread are stored."""
        return tuple(self.attributes["properties"])

    @property
    def skipped(self) -> list[dict[str, str]]:
        """What of the input is not here: a list of `{"id", "hash", "reason"}`."""
        return self.attributes["skipped"]

    @cached_property
    def structures(self) -> Structures:
        """The structures, in the order of their rows."""
        return _load_structures(self.group)

    @cached_property
    def species(self) -> np.ndarray:
        """(n,) int32, atomic numbers."""
        return _values(self.group, "species")

    @cached_property
    def structure_index(self) -> np.ndarray:
        """(n,) int32, non-decreasing."""
        return _values(self.group, "structure_index")

    @property
    def num_rows(self) -> int:
        """n, the number of atoms."""
        return _array(self.group, "species").shape[0]

    def layer(self, name: str | None = None, rows: slice = slice(None)) -> np.ndarray:
        """Rows of one layer.

        Args:
            name: a layer of this store; the default layer if None.
            rows: which rows, all by default.

        Returns:
            (rows, width) float32.

        Raises:
            StoreError: no such layer, or rows that are not finite.
        """
        name = name or self.default_layer
        if name not in self.layers:
            raise StoreError(f"`{self.path}` has no layer `{name}`; it holds {', '.join(self.layers)}.")
        values = _values(self.group, f"layers/{name}", rows)
        bad = np.flatnonzero(~np.isfinite(values).all(1))
        if bad.size:
            first = range(self.num_rows)[rows][bad[0] : bad[-1] + 1]
            some = ", ".join(str(first[b - bad[0]]) for b in bad[:3])
            raise StoreError(
                f"`{self.path}`: layer `{name}` has {bad.size} rows that are not finite (rows"
                f" {some}{', …' if bad.size > 3 else ''}); export it again with `--overwrite`."
            )
        return values

    @cached_property
    def readout(self) -> Readout | None:
        """The model's energy read-out, where it can be written as dense layers."""
        if "readout" not in self.group:
            return None
        what = _group(self.group, "readout").attrs
        number = range(len(list(_group(self.group, "readout/weights").array_keys())))
        weights, biases = (
            [_values(self.group, f"readout/{name}/{i}") for i in number] for name in ("weights", "biases")
        )
        scale, shift = (_values(self.group, f"readout/{name}") for name in ("scale", "shift"))
        return Readout(str(what["layer"]), weights, biases, str(what["activation"]), scale, shift)

    def property(self, name: str) -> np.ndarray:
        """Energy (s,) eV, forces (n, 3) eV/Å, stress (s, 3, 3) eV/Å³, or orbit_spread (n,); float32."""
        if name not in self.properties:
            how = "--orbit-average" if name == SPREAD else f"--properties {name}"
            raise StoreError(f"`{self.path}` holds no `{name}`; export it again with `{how} --overwrite`.")
        return _values(self.group, name)


@dataclass(frozen=True, eq=False)
class Writer:
    """A store being written; several writers may hold the same one."""

    path: Path
    group: zarr.Group
    structures: Structures
    layers: Sequence[str]
    properties: Sequence[str]
    backwards: bool

    @property
    def block_rows(self) -> int:
        """Rows of a block."""
        return int(str(self.group.attrs["block_rows"]))

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return _array(self.group, "done").shape[0]

    def is_done(self, block: int) -> bool:
        """Whether a block is written, by this writer or by another."""
        return bool(_array(self.group, "done")[block])

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
        rows, offsets = self.rows(block), self.structures.offsets
        return range(
            int(np.searchsorted(offsets, rows.start, "right")) - 1, int(np.searchsorted(offsets, rows.stop, "left"))
        )

    def write(self, block: int, layers: Mapping[str, np.ndarray], properties: Mapping[str, np.ndarray]) -> None:
        """Write one block whole, then its flag.

        Args:
            block: its number.
            layers: layer → (rows of the block, width).
            properties: name → rows of the block; the values of a structure (energy, stress) stand at its first atom and
                are gathered by `finish`.
        """
        rows = self.rows(block)
        for name in self.layers:
            _array(self.group, f"layers/{name}")[rows] = layers[name]
        for name in self.properties:
            _array(self.group, _row_array(name))[rows] = properties[name]
        _array(self.group, "done")[block] = True

    def finish(self) -> None:
        """Gather the values of structures, then mark the store complete; every writer may do it, to the same effect."""
        for name in self.properties:
            if not PROPERTIES[name][0]:
                first_rows = _values(self.group, _row_array(name))[self.structures.offsets[:-1]]
                _array(self.group, name)[...] = first_rows
        self.group.attrs["complete"] = True


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
    block_rows: int = BLOCK_ROWS,
) -> Writer:
    """Begin a store, or join the one that the same run has begun there.

    Args:
        path: where; made beside it and renamed when whole, so that nothing half-made ever stands there.
        structures: those that get rows.
        layers: layer → `{"width", "what", …}`.
        default_layer: one of them.
        provenance: the attributes that say how the rows come to be.
        skipped: what of the input gets no rows.
        properties: which of `PROPERTIES` to store.
        readout: the model's energy read-out, where it has one of dense layers.
        overwrite: replace what stands at `path`, if it is a store.
        block_rows: rows of a block.

    Raises:
        StoreError: something else stands there.
    """
    path = Path(path)
    attributes = {
        **provenance,
        "schema": SCHEMA,
        "layers": {name: dict(layer) for name, layer in layers.items()},
        "default_layer": default_layer,
        "properties": list(properties),
        "skipped": [dict(s) for s in skipped],
        "block_rows": block_rows,
        "complete": False,
    }
    backwards = False
    if overwrite or not path.exists():
        with _beside(path) as made:
            group = zarr.open_group(made, mode="w", zarr_format=3, attributes=attributes)
            _save_structures(group, structures)
            if readout is not None:
                _save_readout(group, readout)
            n, s = int(structures.offsets[-1]), len(structures)
            for name, layer in layers.items():
                _empty(group, f"layers/{name}", (n, int(layer["width"])), block_rows)
            for name in properties:
                per_atom, shape = PROPERTIES[name]
                _empty(group, _row_array(name), (n, *shape), block_rows)
                if not per_atom:
                    _empty(group, name, (s, *shape), BLOCK_ROWS)
            group.create_array("done", shape=(-(-n // block_rows),), dtype=bool, chunks=(1,), fill_value=False)
            if overwrite and path.exists():
                load(path)  # only ever replace a store
                shutil.rmtree(path)
            try:
                os.rename(made, path)
            except OSError:
                if not path.exists():
                    raise
                backwards = True  # another run was faster by a hair: join it
    else:
        backwards = True
    store = load(path)
    check_same_run(store, structures, attributes)
    return Writer(path, zarr.open_group(path, mode="r+"), structures, list(layers), list(properties), backwards)


def join(path: str | Path) -> Writer:
    """Write blocks of a store that another process has begun, and will finish."""
    store = load(path)
    group = zarr.open_group(path, mode="r+")
    return Writer(store.path, group, store.structures, list(store.layers), list(store.properties), backwards=False)


def open(path: str | Path) -> Store:  # noqa: A001 - read as `store.open`
    """Open a complete store for reading.

    Raises:
        StoreError: absent, not a store, newer than this reader, or incomplete.
    """
    store = load(path)
    if not store.complete:
        done = int(np.sum(_values(store.group, "done")))
        raise StoreError(
            f"`{store.path}` is incomplete ({done} of {_array(store.group, 'done').shape[0]} blocks written); run the"
            " command that began it again and it goes on where it stopped."
        )
    return store


def load(path: str | Path) -> Store:
    """Open a store whether or not it is complete."""
    group = _open_group(Path(path))
    if "layers" not in group.attrs:
        raise StoreError(
            f"`{path}` holds structures but no embeddings; embed them with `platonic embed MODEL {path} -o OUT.zarr`."
        )
    return Store(Path(path), group)


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


def write_structures(
    path: str | Path, structures: Structures, *, source: str, skipped: Iterable[Mapping[str, str]] = ()
) -> None:
    """Write structures alone: what one environment hands to another, so that every model sees the same numbers.

    Args:
        path: where.
        structures: what.
        source: the user's own name of where they come from.
        skipped: what was left out on the way.
    """
    with _beside(Path(path)) as made:
        attributes = {"schema": SCHEMA, "source": source, "skipped": [dict(s) for s in skipped]}
        _save_structures(zarr.open_group(made, mode="w", zarr_format=3, attributes=attributes), structures)
        os.rename(made, path)


def read_structures(path: str | Path) -> tuple[Structures, list[dict[str, str]]]:
    """The structures of a store (complete or not) or written alone; and what had been left out of the latter."""
    group = _open_group(Path(path))
    return _load_structures(group), [] if "layers" in group.attrs else list(group.attrs["skipped"])  # pyright: ignore


def source_of(path: str | Path) -> str:
    """The user's own name of the structures in `path`: where they came from if written alone, else the path."""
    attributes = _open_group(Path(path)).attrs
    return str(path if "layers" in attributes else attributes["source"])


def _open_group(path: Path) -> zarr.Group:
    if not path.exists():
        raise StoreError(f"`{path}` does not exist; make it with `platonic embed MODEL INPUT -o {path}`.")
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"`{path}` is not a store of embeddings ({type(error).__name__}); give one that `platonic embed` has made."
        ) from error
    schema = group.attrs.get("schema")
    if not isinstance(schema, int):
        raise StoreError(
            f"`{path}` is a Zarr group but not a store of embeddings; give one that `platonic embed` has made."
        )
    if schema > SCHEMA:
        raise StoreError(
            f"`{path}` has schema {schema}, newer than the {SCHEMA} that this version reads; update platonic-adapters."
        )
    return group


class _beside(tempfile.TemporaryDirectory):
    """A temporary directory beside `path`, where a rename is atomic; gone at exit unless renamed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(prefix=f".{path.name}.", dir=path.parent, ignore_cleanup_errors=True)


def _save_structures(group: zarr.Group, structures: Structures) -> None:
    group.create_array("species", data=structures.species, chunks=_whole(structures.species))
    index = structures.structure_index
    group.create_array("structure_index", data=index, chunks=_whole(index))
    for field in fields(structures):
        if field.name != "species":
            values = getattr(structures, field.name)
            data = np.array(values, dtype=np.dtypes.StringDType()) if isinstance(values, list) else values
            group.create_array(f"structures/{field.name}", data=data, chunks=_whole(data))


def _save_readout(group: zarr.Group, readout: Readout) -> None:
    group.create_group("readout", attributes={"layer": readout.layer, "activation": readout.activation})
    for name in ("weights", "biases"):
        for i, values in enumerate(getattr(readout, name)):
            group.create_array(f"readout/{name}/{i}", data=np.asarray(values, np.float32), chunks=values.shape)
    for name in ("scale", "shift"):
        values = np.asarray(getattr(readout, name), np.float32)
        group.create_array(f"readout/{name}", data=values, chunks=values.shape)


def _load_structures(group: zarr.Group) -> Structures:
    read: dict[str, Any] = {"species": _values(group, "species")}
    for field in fields(Structures):
        if field.name != "species":
            values = _values(group, f"structures/{field.name}")
            read[field.name] = [str(v) for v in values] if field.type == "list[str]" else values
    return Structures(**read)


def _whole(data: np.ndarray) -> tuple[int, ...]:
    """One chunk of up to 65,536 rows: small metadata that is read whole."""
    return (min(len(data), 1 << 16) or 1, *data.shape[1:])


def _empty(group: zarr.Group, name: str, shape: tuple[int, ...], block_rows: int) -> None:
    chunk = CHUNK_ROWS if block_rows % CHUNK_ROWS == 0 else block_rows
    tail = shape[1:]
    group.create_array(
        name, shape=shape, dtype=np.float32, shards=(block_rows, *tail), chunks=(chunk, *tail), fill_value=float("nan")
    )


def _row_array(name: str) -> str:
    """Where a property is written block by block: as rows, because blocks share structures but never rows."""
    return name if PROPERTIES[name][0] else f"by_row/{name}"


def _group(group: zarr.Group, name: str) -> zarr.Group:
    found = group[name]
    assert isinstance(found, zarr.Group)
    return found


def _array(group: zarr.Group, name: str) -> zarr.Array:
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found


def _values(group: zarr.Group, name: str, rows: slice = slice(None)) -> np.ndarray:
    return np.asarray(_array(group, name)[rows])


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}…"
