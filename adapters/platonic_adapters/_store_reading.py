"""Reading of stores: data that were changed or lost on the disk are never returned as numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr

from platonic_adapters import _store_layout as layout
from platonic_adapters import replacing
from platonic_adapters.averaging import SPREAD
from platonic_adapters.errors import DamagedStoreError, StoreError, StoreWarning, first_line
from platonic_adapters.integrity import checksum, is_sealed
from platonic_adapters.readout import Readout
from platonic_adapters.structures import Structures, content_hashes

# The name for the layer that Li and Walsh (arXiv:2512.05349) read of a model.
PAPER = "paper"
# Attributes that are about the files, not about the rows.
OF_THE_FILES = {"run", "structures_sha256", "checksums", "seal"}


@dataclass(frozen=True, eq=False)
class Store:
    """A store seen by a reader: arrays stay on disk until asked for, and are checked when they are read.

    Attributes:
        path: where it stands.
        group: its Zarr group.
        attributes: every attribute of the root group.
        version: what changes when another store takes its place.
    """

    path: Path
    group: zarr.Group
    attributes: dict[str, Any]
    version: int

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the store: model, checkpoint, licence, packages, precision, self-test, … (see the format)."""
        return {k: v for k, v in self.attributes.items() if k not in {"properties", "skipped", *OF_THE_FILES}}

    @property
    def complete(self) -> bool:
        """True if every row is written."""
        return self.attributes.get("complete") is True

    @property
    def has_checksums(self) -> bool:
        """True if damage can be detected; schema 1 had no checksums."""
        return self.attributes["schema"] > 1

    @property
    def layers(self) -> dict[str, dict[str, Any]]:
        """Layer → `{"width": int, "what": str, …}`."""
        return self.attributes["layers"]

    @property
    def default_layer(self) -> str:
        """The layer that stands for the model where none is named."""
        return self.attributes["default_layer"]

    def layer_name(self, name: str | None) -> str:
        """Return the layer that is meant by a name: the default one by None, that of Li and Walsh by `paper`."""
        if name == PAPER:
            return self.attributes.get("paper_layer", self.default_layer)
        return name or self.default_layer

    @property
    def properties(self) -> tuple[str, ...]:
        """Stored properties among energy, forces, stress and orbit_spread."""
        return tuple(self.attributes["properties"])

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Structures of the input that were skipped: a list of `{"id", "hash", "reason"}`."""
        return self.attributes["skipped"]

    @cached_property
    def structures(self) -> Structures:
        """The structures, in the order of their rows; each agrees with its content hash."""
        read: dict[str, Any] = {"species": self.species}
        for field in fields(Structures):
            known = self.has_checksums or field.name not in ("charge", "spin") or self._has(f"structures/{field.name}")
            if field.name != "species" and known:
                values = self._read(f"structures/{field.name}")
                read[field.name] = values.tolist() if field.type == "list[str]" else values
        return self._checked(Structures(**read))

    @cached_property
    def species(self) -> np.ndarray:
        """(n,) int32, atomic numbers."""
        return self._read("species")

    @cached_property
    def structure_index(self) -> np.ndarray:
        """(n,) int32, non-decreasing."""
        index, expected = self._read("structure_index"), self.structures.structure_index
        if not np.array_equal(index, expected):
            self._refuse("`structure_index` contradicts `structures/num_atoms`")
        return index

    @cached_property
    def num_rows(self) -> int:
        """n, the number of atoms."""
        return self._array("species").shape[0]

    def layer(self, name: str | None = None, rows: slice = slice(None)) -> np.ndarray:
        """Rows of one layer.

        Args:
            name: a layer of this store; the default layer if None, that of Li and Walsh if `paper`.
            rows: which rows, all by default.

        Returns:
            (rows, width) float32.

        Raises:
            StoreError: no such layer, an incomplete or damaged store, or rows that are not finite.
        """
        name = self.layer_name(name)
        if name not in self.layers:
            known = name in self.attributes.get("available_layers", ())
            cure = f"; export it again with `--layers {name} --overwrite`" if known else ""
            raise StoreError(f"`{self.path}` has no layer `{name}`; it holds {', '.join(self.layers)}{cure}.")
        self.check_complete()
        values = self._read(f"layers/{name}", rows, (self.num_rows, self.layers[name]["width"]))
        if not is_finite(values):
            bad = np.flatnonzero(~np.isfinite(values).all(1))
            numbers = range(self.num_rows)[rows]
            some = ", ".join(str(numbers[b]) for b in bad[:3])
            raise StoreError(
                f"`{self.path}`: layer `{name}` has {bad.size} rows that are not finite (rows"
                f" {some}{', …' if bad.size > 3 else ''}); export it again with `--overwrite`."
            )
        return values

    @cached_property
    def readout(self) -> Readout | None:
        """The model's energy readout, if it can be written as dense layers."""
        if not self._has("readout"):
            return None
        self._check_files("readout")
        what = self._attempt("readout", lambda: dict(self.group["readout"].attrs))
        if not {"layer", "activation"} <= set(what):
            self._refuse("`readout` says neither its layer nor its activation")
        number = 0
        while self._has(f"readout/weights/{number}"):
            number += 1
        weights, biases = ([self._read(f"readout/{name}/{i}") for i in range(number)] for name in ("weights", "biases"))
        scale, shift = (self._read(f"readout/{name}") for name in ("scale", "shift"))
        return Readout(str(what["layer"]), weights, biases, str(what["activation"]), scale, shift)

    def property(self, name: str) -> np.ndarray:
        """Energy (s,) eV, forces (n, 3) eV/Å, stress (s, 3, 3) eV/Å³, or orbit_spread (n,); float32.

        Raises:
            StoreError: not stored, an incomplete or damaged store, or values that are not finite.
        """
        if name not in self.properties:
            how = "--orbit-average" if name == SPREAD else f"--properties {name}"
            raise StoreError(f"`{self.path}` holds no `{name}`; export it again with `{how} --overwrite`.")
        self.check_complete()
        per_atom, shape = layout.PROPERTIES[name]
        length = self.num_rows if per_atom else self._array("structures/num_atoms").shape[0]
        values = self._read(name, slice(None), (length, *shape))
        if name != "stress" and not is_finite(values):  # a structure that is not periodic has no stress
            raise StoreError(f"`{self.path}`: `{name}` is not finite everywhere; export it again with `--overwrite`.")
        return values

    def check_complete(self) -> None:
        """Refuse a store to which rows are still to be written."""
        if not self.complete:
            done = flags(self.group).any(axis=1)
            raise StoreError(
                f"`{self.path}` is incomplete ({done.sum()} of {done.size} blocks written); run the command that began"
                " it again and it goes on where it stopped."
            )

    @cached_property
    def files(self) -> dict[str, dict[str, str]]:
        """Array or group → its files → their checksums, of everything that is written for good."""
        checksums: dict[str, dict[str, str]] = {}
        for file, value in self.attributes.get("checksums", {}).items():
            checksums.setdefault(file.partition("/c/")[0].removesuffix("/zarr.json"), {})[file] = value
        return checksums

    def _has(self, name: str) -> bool:
        return name in self.files if self.has_checksums else name in self.group

    def _array(self, name: str) -> zarr.Array:
        if name not in self._arrays:
            self._check_files(name, None)
            self._arrays[name] = self._attempt(name, lambda: layout.array(self.group, name))
        return self._arrays[name]

    def _read(self, name: str, rows: slice = slice(None), shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Some rows of an array, whose files are what was written and whose shape is `shape`, where that is known."""
        self._check_files(name, rows)
        array = self._array(name)
        if shape is not None and (array.shape != shape or array.dtype != np.float32):
            self._refuse(f"`{name}` has shape {array.shape} and type {array.dtype}, not {shape} and float32")
        values = self._attempt(name, lambda: np.asarray(array[rows]))
        if version(self.path) != self.version:
            self._refuse(f"`{name}` was replaced")
        return values

    def _check_files(self, name: str, rows: slice | None = slice(None)) -> None:
        """Compare the files of an array that hold `rows`, or its description alone, with their checksums."""
        if not self.has_checksums:
            return
        if name not in self.files:
            self._refuse(f"`{name}` is not there")
        block_rows = self.attributes["block_rows"] if name in self._row_arrays else None
        for file, value in self.files[name].items():
            part, chunk = f"`{name}`", file.partition("/c/")[2].partition("/")[0]
            if chunk and rows is None:
                continue
            if chunk and rows is not None and block_rows:
                first = int(chunk) * block_rows
                if not _overlap(range(self.num_rows)[rows], first, block_rows):
                    continue
                part += f", rows from {first}"
            seen = checksum(self.path / file)
            if seen != value:
                self._refuse(f"{part}: {file} {'is missing' if seen is None else 'is not what was written'}")

    @cached_property
    def _arrays(self) -> dict[str, zarr.Array]:
        return {}

    @cached_property
    def _row_arrays(self) -> dict[str, int]:
        return layout.row_arrays(list(self.attributes.get("layers", ())), self.attributes.get("properties", ()))

    def _attempt(self, name: str, read: Callable[[], Any]) -> Any:
        """Return the result of `read`; any error in it is reported as damage of the store."""
        try:
            return read()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - Zarr and its codecs raise anything on what they did not write
            self._refuse(f"`{name}` cannot be read ({first_line(error)})")

    def _refuse(self, what: str) -> NoReturn:
        if version(self.path) != self.version:
            raise StoreError(f"`{self.path}` was replaced by another run while it was read; read it again.")
        cure = (
            f"`platonic verify {self.path}` names the structures to embed again, and the command that made it does so"
            if self.has_checksums
            else "embed it again with `--overwrite`"
        )
        raise DamagedStoreError(f"`{self.path}` is damaged: {what}; {cure}.")

    def _checked(self, structures: Structures) -> Structures:
        """Structures whose arrays agree with each other, and with their content hashes."""
        n, s = len(structures.species), len(structures.hashes)
        for field in fields(structures):
            column = getattr(structures, field.name)
            expected = n if field.name in ("species", "positions") else s
            if len(column) != expected:
                self._refuse(f"`structures/{field.name}` has {len(column)} entries, not {expected}")
        counts = structures.num_atoms
        if counts.dtype.kind != "i" or not ((counts > 0) & (counts <= n)).all() or counts.sum() != n:
            self._refuse(f"`structures/num_atoms` does not add up to the {n} atoms of `species`")
        hashes = self._attempt("structures", lambda: content_hashes(structures))
        wrong = [i for i, (a, b) in enumerate(zip(hashes, structures.hashes, strict=True)) if a != b]
        if wrong:
            more = f", the first of {len(wrong)} such structures," if len(wrong) > 1 else ""
            self._refuse(f"structure {wrong[0]} ({structures.ids[wrong[0]]}){more} is not the one of its content hash")
        return structures


def open(path: str | Path) -> Store:  # noqa: A001 - read as `store.open`
    """Open a complete store for reading.

    Raises:
        StoreError: absent, not a store, newer than this reader, incomplete or damaged.
    """
    store = load(path)
    store.check_complete()
    if not store.has_checksums:
        warnings.warn(
            f"`{path}` was written by an older version, without checksums: damage to its numbers cannot be seen; embed"
            " it again with `--overwrite` to have them.",
            StoreWarning,
            stacklevel=3,
        )
    return store


def load(path: str | Path) -> Store:
    """Open a store whether or not it is complete."""
    store = load_any(path)
    if "layers" not in store.attributes:
        raise StoreError(
            f"`{path}` holds structures but no embeddings; embed them with `platonic embed MODEL {path} -o OUT.zarr`."
        )
    return store


def read_structures(path: str | Path) -> tuple[Structures, list[dict[str, str]]]:
    """The structures of a store (complete or not) or written alone; and what had been left out of the latter."""
    store = load_any(path)
    return store.structures, [] if "layers" in store.attributes else list(store.skipped)


def source_of(path: str | Path) -> str:
    """The user's own name of the structures in `path`: where they came from if written alone, else the path."""
    attributes = load_any(path).attributes
    return str(path if "layers" in attributes else attributes["source"])


def load_any(path: str | Path) -> Store:
    """Open a store, or structures written alone."""
    path = Path(path)
    if not path.exists():
        replacing.recover(path)
    if not path.exists():
        raise StoreError(f"`{path}` does not exist; make it with `platonic embed MODEL INPUT -o {path}`.")
    seen = version(path)
    attributes = read_attributes(path)
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except Exception as error:
        raise _damaged_description(path, first_line(error)) from error
    return Store(path, group, attributes, seen)


def read_attributes(path: Path) -> dict[str, Any]:
    """The attributes of a store, which are what was written.

    Raises:
        DamagedStoreError: they are not.
        StoreError: not a store, or one newer than this reader.
    """
    try:
        attributes = json.loads((path / "zarr.json").read_bytes())["attributes"]
        schema = attributes.get("schema")
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        if looks_like_a_store(path):
            raise _damaged_description(path, "it is missing or cannot be read") from None
        raise StoreError(f"`{path}` is not a store of embeddings; give one that `platonic embed` has made.") from None
    whole = is_sealed(attributes)
    if isinstance(schema, int) and schema > layout.SCHEMA:
        raise StoreError(
            f"`{path}` has schema {schema}, newer than the {layout.SCHEMA} that this version reads"
            f"{'' if whole else ' (or is damaged)'}; update platonic-adapters."
        )
    if not whole and ("seal" in attributes or (schema != 1 and looks_like_a_store(path))):
        raise _damaged_description(path, "it is not what was written")
    if not isinstance(schema, int):
        raise StoreError(
            f"`{path}` is a Zarr group but not a store of embeddings; give one that `platonic embed` has made."
        )
    if not _is_description(attributes):
        raise _damaged_description(path, "it contradicts the format")
    return attributes


def _is_description(attributes: Mapping[str, Any]) -> bool:
    """Test whether the attributes have the types and names that a reader relies on."""
    skipped = attributes.get("skipped")
    if not isinstance(skipped, list) or not all(
        isinstance(s, dict) and {"id", "hash", "reason"} <= set(s) for s in skipped
    ):
        return False
    if "layers" not in attributes:
        return "source" in attributes
    layers, properties = attributes["layers"], attributes.get("properties")
    return (
        isinstance(layers, dict)
        and all(isinstance(layer, dict) and isinstance(layer.get("width"), int) for layer in layers.values())
        and attributes.get("default_layer") in layers
        and isinstance(properties, list)
        and all(name in layout.PROPERTIES for name in properties)
        and isinstance(attributes.get("block_rows"), int)
        and attributes["block_rows"] > 0
        and isinstance(attributes.get("model"), str)
    )


def looks_like_a_store(path: Path) -> bool:
    """Test whether a directory has the folders of a store, even if its description is damaged."""
    return (path / "structures").is_dir() and (path / "species").is_dir()


def _damaged_description(path: Path, why: str) -> DamagedStoreError:
    return DamagedStoreError(
        f"`{path}` is damaged: its description, zarr.json, cannot be trusted ({why}), nor can its rows; embed every"
        " structure again with `--overwrite`."
    )


def version(path: Path) -> int:
    """Return a value that changes when another store takes a store's place."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def flags(group: zarr.Group) -> np.ndarray:
    """(blocks, arrays) int64: one more than the checksum of each block's file in each array; 0 where not written.

    A flag that is damaged counts as not written.
    """
    done = layout.array(group, "done")
    return np.stack([flag(done, block) for block in range(done.shape[0])])


def flag(done: zarr.Array, block: int) -> np.ndarray:
    """(arrays,) int64, one row of `flags`."""
    try:
        return np.atleast_1d(np.asarray(done[block]))
    except Exception:  # noqa: BLE001 - see above
        return np.zeros(done.shape[1:] or 1, np.int64)


def is_finite(values: np.ndarray) -> bool:
    """Test whether every value is finite, without an array of booleans if their sum is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _overlap(rows: range, first: int, length: int) -> bool:
    return bool(rows) and first <= max(rows[0], rows[-1]) and min(rows[0], rows[-1]) < first + length
