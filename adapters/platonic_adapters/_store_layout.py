"""The arrays of a store: names, shapes, chunks and codecs, and which file belongs to which block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from platonic_adapters.averaging import SPREAD
from platonic_adapters.readout import Readout
from platonic_adapters.structures import Structures

SCHEMA = 2
BLOCK_ROWS = 2048
CHUNK_ROWS = 1024
# Each property: whether it has a row for every atom (else one for every structure), and its shape. The first three are
# what a model predicts; the last belongs to every store of a model averaged over rotations.
PROPERTIES: dict[str, tuple[bool, tuple[int, ...]]] = {
    "energy": (False, ()),
    "forces": (True, (3,)),
    "stress": (False, (3, 3)),
    SPREAD: (True, ()),
}
PREDICTED = ("energy", "forces", "stress")
# Every chunk ends in its CRC-32C; and every chunk is written, so that one that is absent is one that was lost.
CREATION: dict[str, Any] = {
    "compressors": (ZstdCodec(), Crc32cCodec()),
    "config": {"write_empty_chunks": True},
}


def lay_out(
    group: zarr.Group,
    structures: Structures,
    *,
    layers: Mapping[str, Mapping[str, Any]],
    properties: Sequence[str],
    readout: Readout | None,
    block_rows: int,
) -> None:
    """Write everything of a store but its rows, and make room for these."""
    save_structures(group, structures)
    if readout is not None:
        _save_readout(group, readout)
    n, s = int(structures.offsets[-1]), len(structures)
    for name, layer in layers.items():
        _make_room(group, f"layers/{name}", (n, int(layer["width"])), block_rows)
    for name in properties:
        per_atom, shape = PROPERTIES[name]
        _make_room(group, row_array(name), (n, *shape), block_rows)
        if not per_atom:
            _make_room(group, name, (s, *shape), BLOCK_ROWS)
    arrays = len(layers) + len(properties)
    group.create_array(
        "done", shape=(-(-n // block_rows), arrays), dtype=np.int64, chunks=(1, arrays), fill_value=0, **CREATION
    )


def save_structures(group: zarr.Group, structures: Structures) -> None:
    """Write structures, and the atoms' numbers and structures."""
    _save(group, "species", structures.species)
    _save(group, "structure_index", structures.structure_index)
    for field in fields(structures):
        if field.name != "species":
            values = getattr(structures, field.name)
            data = np.array(values, dtype=np.dtypes.StringDType()) if isinstance(values, list) else values
            _save(group, f"structures/{field.name}", data)


def _save_readout(group: zarr.Group, readout: Readout) -> None:
    group.create_group("readout", attributes={"layer": readout.layer, "activation": readout.activation})
    for name in ("weights", "biases"):
        for i, values in enumerate(getattr(readout, name)):
            _save(group, f"readout/{name}/{i}", np.asarray(values, np.float32))
    for name in ("scale", "shift"):
        _save(group, f"readout/{name}", np.asarray(getattr(readout, name), np.float32))


def _save(group: zarr.Group, name: str, data: np.ndarray) -> None:
    """Write an array that is read whole, in chunks of up to 65,536 rows."""
    chunks = (min(len(data), 1 << 16) or 1, *data.shape[1:])
    group.create_array(name, data=data, chunks=chunks, **CREATION)


def _make_room(group: zarr.Group, name: str, shape: tuple[int, ...], block_rows: int) -> None:
    chunk = CHUNK_ROWS if block_rows % CHUNK_ROWS == 0 else block_rows
    tail = shape[1:]
    group.create_array(
        name,
        shape=shape,
        dtype=np.float32,
        shards=(block_rows, *tail),
        chunks=(chunk, *tail),
        fill_value=float("nan"),
        **CREATION,
    )


def row_array(name: str) -> str:
    """Return the array to which a property is written block by block: as rows, which blocks never share."""
    return name if PROPERTIES[name][0] else f"by_row/{name}"


def row_arrays(layers: Iterable[str], properties: Sequence[str]) -> dict[str, int]:
    """The arrays that are written block by block, with their number of dimensions, in the order of `done`."""
    return {
        **{f"layers/{name}": 2 for name in layers},
        **{row_array(name): 1 + len(PROPERTIES[name][1]) for name in properties},
    }


def block_files(layers: Sequence[str], properties: Sequence[str], block: int) -> list[str]:
    """The files of a block, in the order of `done`."""
    return [f"{name}/c/{block}{'/0' * (axes - 1)}" for name, axes in row_arrays(layers, properties).items()]


def flag_file(block: int) -> str:
    """The file of a block's flag."""
    return f"done/c/{block}/0"


def kind(file: str, attributes: Mapping[str, Any]) -> str | int:
    """Classify a file of a store: the number of its block, `gathered` from the blocks at the end, or `fixed` before."""
    name, _, chunk = file.partition("/c/")
    if chunk and (name == "done" or name in row_arrays(attributes["layers"], attributes["properties"])):
        return int(chunk.partition("/")[0])
    return "gathered" if chunk and name in PROPERTIES else "fixed"


def overlapping(structures: Structures, rows: slice) -> range:
    """The structures that have at least one of some rows."""
    offsets = structures.offsets
    first = int(np.searchsorted(offsets, rows.start, "right")) - 1
    return range(first, int(np.searchsorted(offsets, rows.stop, "left")))


def files(root: Path) -> dict[str, Path]:
    """Every file of a store but its own description and what a killed writer has left, by its name in the store."""
    paths = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path for name, path in paths.items() if name != "zarr.json" and not name.endswith(".partial")}


def array(group: zarr.Group, name: str) -> zarr.Array:
    """An array of a store, which writes every chunk."""
    with zarr.config.set({"array.write_empty_chunks": True}):
        node = group[name]
    if not isinstance(node, zarr.Array):
        raise KeyError(f"{name} is no array")
    return node
