"""Anchors as atoms of structures, which can be saved, loaded, and located in other tables."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platonic_adapters.errors import first_line
from platonic_adapters.structures import Structures

from platonic_jax._files import replacing

SCHEMA = 2  # 1 had no metrics.
_FORMAT = "platonic anchors"
_STRUCTURE_ARRAYS = ("num_atoms", "species", "positions", "cells", "pbc", "charge", "spin")
_LATER_ARRAYS = ("charge", "spin")  # Older files have neither.
_STRUCTURE_TEXTS = ("ids", "hashes", "formulas")


class LinearMap(NamedTuple):
    """Affine map applied to one model's embeddings before their similarities to anchors: x → (x − origin) matrix.

    Attributes:
        layer: The layer whose rows it takes.
        origin: (1, p) what is subtracted.
        matrix: (p, r) what they are multiplied by.
    """

    layer: str
    origin: np.ndarray
    matrix: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Anchors:
    """Anchor atoms, with the structures that hold them; host-side.

    Attributes:
        structures: the structures that have an anchor, and no others.
        structure_index: (k,) int32, the structure of each anchor.
        atom_index: (k,) int32, the place of each anchor in its structure.
        method: how they were chosen.
        weights: (k,) what each column of similarities is multiplied by, or None.
        metrics: by model, the map before the similarities; empty where anchors are for rows as they are.
        provenance: where they come from: model, layer, versions; what JSON can hold.
    """

    structures: Structures
    structure_index: np.ndarray
    atom_index: np.ndarray
    method: str
    weights: np.ndarray | None = None
    metrics: Mapping[str, LinearMap] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the arrays once, here."""
        k = len(self.structure_index)
        if k == 0 or self.structure_index.shape != self.atom_index.shape or self.structure_index.ndim != 1:
            raise ValueError(
                "`structure_index` and `atom_index` must have one entry for each of at least one anchor, got shapes "
                f"{self.structure_index.shape} and {self.atom_index.shape}."
            )
        if self.weights is not None and self.weights.shape != (k,):
            raise ValueError(f"`weights` must have one entry for each of {k} anchors, got shape {self.weights.shape}.")
        if self.structure_index.min() < 0 or self.structure_index.max() >= len(self.structures):
            raise ValueError(f"`structure_index` must be from 0 to {len(self.structures) - 1}, got one outside.")
        if (self.atom_index < 0).any() or (self.atom_index >= self.structures.num_atoms[self.structure_index]).any():
            raise ValueError("`atom_index` must be a place in the anchor's own structure, got one outside.")
        if self.weights is not None and not np.isfinite(self.weights).all():
            raise ValueError("`weights` must be finite, got NaN or infinity.")
        for model, metric in self.metrics.items():
            shapes = metric.origin.shape, metric.matrix.shape
            if len(shapes[1]) != 2 or shapes[0] != (1, shapes[1][0]):
                raise ValueError(f"`metrics` must map (1, p) by (p, r), got shapes {shapes} for {model}.")
            if not (np.isfinite(metric.origin).all() and np.isfinite(metric.matrix).all()):
                raise ValueError(f"`metrics` must be finite, got NaN or infinity for {model}.")

    def __len__(self) -> int:
        return len(self.atom_index)

    @property
    def species(self) -> np.ndarray:
        """(k,) int32, atomic number of each anchor."""
        return self.structures.species[self.structures.offsets[self.structure_index] + self.atom_index]

    @classmethod
    def from_rows(
        cls,
        structures: Structures,
        structure_index: np.ndarray,
        rows: Any,
        *,
        method: str,
        weights: Any = None,
        metrics: Mapping[str, LinearMap] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> "Anchors":
        """The atoms in some rows of a table.

        Args:
            structures: the structures of the table.
            structure_index: (n,) structure of each row of the table, not decreasing; all atoms of a structure.
            rows: (k,) the rows that are anchors.
            method: how they were chosen.
            weights: (k,) weight of each anchor.
            metrics: by model, the map before the similarities.
            provenance: anything worth keeping, as JSON can hold it.

        Returns:
            The anchors, in the order of `rows`.

        Raises:
            ValueError: a row that is not there, or a structure with an anchor whose rows are not all its atoms.
        """
        index, rows = np.asarray(structure_index), np.asarray(rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(index)):
            raise ValueError(
                f"`rows` must be from 0 to {len(index) - 1}, got {rows.min()} to {rows.max()}: "
                "give the table from which they were chosen."
            )
        needed, place = np.unique(index[rows], return_inverse=True)
        first = _first_rows(structures, index, needed)
        return cls(
            structures=structures.select(needed),
            structure_index=place.astype(np.int32),
            atom_index=(rows - first[place]).astype(np.int32),
            method=method,
            weights=None if weights is None else np.asarray(weights),
            metrics=dict(metrics or {}),
            provenance=dict(provenance or {}),
        )

    def rows(self, structures: Structures, structure_index: np.ndarray) -> np.ndarray:
        """Locate these atoms in another table; structures are matched by content, not by name.

        Args:
            structures: the structures of the table.
            structure_index: (n,) structure of each row of the table, not decreasing; all atoms of a structure.

        Returns:
            (k,) int32 row indices.

        Raises:
            ValueError: a structure with an anchor that the table does not have, or not with all its atoms.
        """
        place = {content: i for i, content in reversed(list(enumerate(structures.hashes)))}  # Of copies, the first.
        missing = [i for i, content in enumerate(self.structures.hashes) if content not in place]
        if missing:
            i = missing[0]
            raise ValueError(
                f"`structures` must hold all {len(self.structures)} structures with an anchor, got {len(missing)} "
                f"missing, first {self.structures.ids[i]!r} ({self.structures.formulas[i]}): embed the input they were "
                "chosen from, or add to yours the file that `write_structures` makes."
            )
        theirs = np.array([place[content] for content in self.structures.hashes])
        first = _first_rows(structures, np.asarray(structure_index), theirs)
        return (first[self.structure_index] + self.atom_index).astype(np.int32)

    def mapped(self, x: np.ndarray, *, model: str, layer: str) -> np.ndarray:
        """Apply the metric learned for a model to its embeddings; without learned metrics, return them unchanged.

        Args:
            x: (n, p) rows.
            model: whose they are.
            layer: the layer they are from.

        Raises:
            ValueError: metrics that were learned for other models, another layer, or rows of another width.
        """
        if not self.metrics:
            return x
        known = ", ".join(f"{name} {metric.layer}" for name, metric in self.metrics.items())
        metric = self.metrics.get(model)
        if metric is None or metric.layer != layer or len(metric.matrix) != x.shape[1]:
            raise ValueError(
                f"`anchors` with metrics must be used with the models they were learned for ({known}), got "
                f"{model} {layer} of {x.shape[1]} columns: learn them with this model among the others, or extend them."
            )
        return (x - metric.origin) @ metric.matrix

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: arrays as they are, all else as JSON in its header; whole or not at all."""
        from safetensors.numpy import save_file

        arrays = {f"structures/{name}": getattr(self.structures, name) for name in _STRUCTURE_ARRAYS}
        arrays |= {"structure_index": self.structure_index, "atom_index": self.atom_index}
        if self.weights is not None:
            arrays["weights"] = self.weights
        for i, metric in enumerate(self.metrics.values()):
            arrays |= {f"metrics/{i}/origin": metric.origin, f"metrics/{i}/matrix": metric.matrix}
        header = {"schema": SCHEMA, "method": self.method, "provenance": self.provenance}
        header["metrics"] = [[model, metric.layer] for model, metric in self.metrics.items()]
        header |= {name: getattr(self.structures, name) for name in _STRUCTURE_TEXTS}
        texts = {name: json.dumps(value) for name, value in header.items()}
        with replacing(path) as partial:
            save_file(
                {name: np.ascontiguousarray(array) for name, array in arrays.items()},
                partial,
                metadata={"format": _FORMAT, **texts},
            )

    @classmethod
    def load(cls, path: str | Path) -> "Anchors":
        """Read what `save` wrote, bit for bit.

        Raises:
            ValueError: no such file, a file of another kind or damaged, or a newer schema.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise ValueError(f"`path` must be a file of anchors, got {str(path)!r}, which does not exist.")
        try:
            with safe_open(path, framework="numpy") as file:
                texts = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except SafetensorError as error:
            raise ValueError(f"`path` must be a file of anchors, got {str(path)!r}, which is none: {error}.") from error
        if texts.pop("format", None) != _FORMAT:
            raise ValueError(f"`path` must be a file that `Anchors.save` wrote, got {str(path)!r} of another kind.")
        try:
            header = {name: json.loads(text) for name, text in texts.items()}
            schema = header["schema"]
            if type(schema) is int and schema > SCHEMA:
                raise _NewerError(
                    f"`path` must have schema {SCHEMA} or older, got {schema} in {str(path)!r}: "
                    "update platonic-jax to read it."
                )
            return cls._from_file(header, arrays)
        except _NewerError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"`path` must be a file as `Anchors.save` wrote it, got {str(path)!r}, which was changed or damaged "
                f"({first_line(error)}): take it from where it was made."
            ) from error

    @classmethod
    def _from_file(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Anchors":
        """The anchors in the parts of a file, each of which may be anything."""
        expected = {"schema": int, "method": str, "provenance": dict} | dict.fromkeys(_STRUCTURE_TEXTS, list)
        for name, kind in expected.items():
            if type(header[name]) is not kind:
                raise TypeError(f"`{name}` is no {kind.__name__}")
        known = {name: f"structures/{name}" for name in _STRUCTURE_ARRAYS}
        structures: dict[str, Any] = {
            name: arrays[key] for name, key in known.items() if key in arrays or name not in _LATER_ARRAYS
        }
        structures |= {name: header[name] for name in _STRUCTURE_TEXTS}
        indices = {name: arrays[name] for name in ("structure_index", "atom_index")}
        for name, index in {**indices, **{name: structures[name] for name in ("num_atoms", "species")}}.items():
            if index.ndim != 1 or index.dtype.kind != "i":
                raise TypeError(f"`{name}` is no list of whole numbers")
        metrics = {
            model: LinearMap(layer, arrays[f"metrics/{i}/origin"], arrays[f"metrics/{i}/matrix"])
            for i, (model, layer) in enumerate(header.get("metrics", []))
        }
        if not all(type(name) is str for model, metric in metrics.items() for name in (model, metric.layer)):
            raise TypeError("`metrics` are not of models and layers")
        anchor_structures = Structures(**structures)
        _check_structures(anchor_structures)
        return cls(
            structures=anchor_structures,
            **indices,
            method=header["method"],
            weights=arrays.get("weights"),
            metrics=metrics,
            provenance=header["provenance"],
        )

    def write_structures(self, path: str | Path) -> None:
        """Write the structures to extended XYZ, to embed them with another model.

        Numbers have all their digits, where ASE rounds positions to 1e-8 Å: structures read back have the same content.

        Args:
            path: the file, whose name ends in `.extxyz` or `.xyz`.
        """
        from ase.io.extxyz import key_val_dict_to_str

        lines = []
        for i, name in enumerate(self.structures.ids):
            atoms = self.structures.atoms(i)
            comment = {"Lattice": atoms.cell.array.T, "Properties": "species:S:1:pos:R:3", "pbc": atoms.pbc}
            lines += [str(len(atoms)), key_val_dict_to_str({**comment, "material_id": name, **atoms.info})]
            lines += [" ".join(map(str, (atom.symbol, *atom.position))) for atom in atoms]
        with replacing(path) as partial:
            partial.write_text("\n".join(lines) + "\n")


class _NewerError(ValueError):
    """A file of a later version, which is not damaged."""


def _check_structures(structures: Structures) -> None:
    """Check that structures from a file are whole, and have the content that their hashes say."""
    s, n = len(structures.ids), len(structures.species)
    shapes = {name: (s,) for name in ("num_atoms", "charge", "spin")}
    shapes |= {"positions": (n, 3), "cells": (s, 3, 3), "pbc": (s, 3)}
    for name, shape in shapes.items():
        if (got := getattr(structures, name).shape) != shape:
            raise ValueError(f"`{name}` has shape {got}, not {shape}")
    if (structures.num_atoms < 1).any() or structures.num_atoms.sum() != n:
        raise ValueError("`num_atoms` does not add up to the atoms")
    for name in _STRUCTURE_TEXTS:
        texts = getattr(structures, name)
        if len(texts) != s or not all(type(text) is str for text in texts):
            raise ValueError(f"`{name}` does not name every structure")
    again = Structures.from_atoms([structures.atoms(i) for i in range(s)], structures.ids)
    for name, was, now in zip(structures.ids, structures.hashes, again.hashes, strict=True):
        if was != now:
            raise ValueError(f"the content of {name} is not that of its hash")


def _first_rows(structures: Structures, structure_index: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The first row of each chosen structure in a table that has all its atoms."""
    first = np.searchsorted(structure_index, chosen, side="left")
    num_listed = np.searchsorted(structure_index, chosen, side="right") - first
    partly = np.flatnonzero(num_listed != structures.num_atoms[chosen])
    if partly.size:
        i = partly[0]
        raise ValueError(
            f"`structure_index` must list every atom of each structure with an anchor, got {num_listed[i]} of "
            f"{structures.num_atoms[chosen[i]]} for {structures.ids[chosen[i]]!r}: give the whole table, without a "
            "selection."
        )
    return first
