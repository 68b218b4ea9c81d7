"""Shared-space coordinates of models on a set of structures, and the file that keeps them."""

import dataclasses
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from platonic_jax._checks import check_count
from platonic_jax._files import replacing
from platonic_jax.analyses._anchoring import choose_anchors, display_names, relative
from platonic_jax.tables import EmbeddingTable, one_per_orbit, pair

SHIPPED = Path(__file__).parent / "atlas.npz"
FORMAT = 1
LEAST_SHARE = 0.5  # Of the structures, which a model must have embedded to be placed.
LEAST_MODELS = 2
_STEPS = 32767  # Cosines are kept as whole numbers of this part of 1: neighbours stay as they are (0.999 of them).
_KEPT = (
    *("model", "family", "checkpoint", "licence", "random_weights", "seed", "architecture", "training_data"),
    *("functional", "supervision", "network", "body_order", "year", "parameters", "fine_tuned_from", "relatives"),
    *("adapter_version", "packages", "layer", "created"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """Relative representations of several models on the same atoms, by the same anchors.

    Attributes:
        ids: Names of s structures.
        hashes: Their content hashes.
        formulas: Their chemical formulas.
        structure: (n,) structure of each atom, non-decreasing.
        atom: (n,) place of each atom in its structure.
        species: (n,) atomic numbers.
        anchors: (k,) atoms that are anchors, as rows of the arrays above.
        models: What is known of each model, by name: its provenance in the store.
        shared: (n, k) cosine similarity of each atom to the anchors, by model, −1 to 1.
    """

    ids: list[str]
    hashes: list[str]
    formulas: list[str]
    structure: Int[np.ndarray, " n"]
    atom: Int[np.ndarray, " n"]
    species: Int[np.ndarray, " n"]
    anchors: Int[np.ndarray, " k"]
    models: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Float[np.ndarray, "n k"]]

    def rows_of(self, table: EmbeddingTable) -> Int[np.ndarray, " n"]:
        """Find each atom in a table, by the content of its structure; −1 where the table lacks it."""
        if table.structures is None:
            raise ValueError(
                f"`table` must bring its structures, got bare arrays of {table.model}: the atlas finds atoms by them."
            )
        place = {
            (table.structures.hashes[s], int(a)): row
            for row, (s, a) in enumerate(zip(table.structure_index, table.atom_index, strict=True))
        }
        wanted = ((self.hashes[s], int(a)) for s, a in zip(self.structure, self.atom, strict=True))
        return np.array([place.get(key, -1) for key in wanted])

    def project(self, table: EmbeddingTable) -> tuple["Coordinates", Float[np.ndarray, "m j"]]:
        """Describe a table by the anchors, on the atoms that it shares with the atlas.

        Args:
            table: A model's default layer on the structures of the atlas, or on at least half of them.

        Returns:
            The atlas on the common atoms, with those anchors that are among them; and the table's coordinates there.

        Raises:
            ValueError: Another layer, other structures, or fewer than half of them.
        """
        default = table.provenance.get("default_layer", table.layer)
        if table.layer != default:
            raise ValueError(
                f"`table` must be of the default layer of {table.model}, `{default}`, as the models of the atlas are, "
                f"got layer `{table.layer}`."
            )
        rows = self.rows_of(table)
        shared, number = rows >= 0, len(self.ids)
        common = len(np.unique(self.structure[shared]))
        if common < LEAST_SHARE * number:
            raise ValueError(
                f"`table` must have at least half of the {number} structures of the atlas, got {common} of them from "
                f"{table.model}: embed the standard set, `platonic embed MODEL atlas -o OUT.zarr`."
            )
        fewer = self._of(shared)
        return fewer, _relative(table.x[rows[shared]], fewer.anchors)

    def _of(self, kept: np.ndarray) -> "Coordinates":
        """Some of the atoms."""
        if kept.all():
            return self
        present = np.unique(self.structure[kept])
        columns, place = kept[self.anchors], np.cumsum(kept) - 1
        return dataclasses.replace(
            self,
            **{name: [getattr(self, name)[s] for s in present] for name in ("ids", "hashes", "formulas")},
            structure=np.searchsorted(present, self.structure[kept]).astype(np.int32),
            atom=self.atom[kept],
            species=self.species[kept],
            anchors=place[self.anchors[columns]].astype(np.int32),
            shared={name: x[kept][:, columns] for name, x in self.shared.items()},
        )

    def tables(self) -> list[EmbeddingTable]:
        """Return the models as tables of their coordinates, without structures."""
        return [
            EmbeddingTable(
                x=np.asarray(x, np.float32),
                species=self.species,
                structure_index=self.structure,
                atom_index=self.atom,
                structures=None,
                provenance={**self.models[name], "model": name},
                layer=str(self.models[name].get("layer", "")),
            )
            for name, x in self.shared.items()
        ]

    def save(self, path: str | Path) -> None:
        """Write the file of the atlas (`.npz`), whole or not at all."""
        arrays: dict[str, np.ndarray] = {name: np.asarray(getattr(self, name), np.int32) for name in _INDICES}
        for i, x in enumerate(self.shared.values()):
            arrays[f"model_{i}"] = np.rint(x * _STEPS).astype(np.int16)
        record = {
            "format": FORMAT,
            "structures": [
                {"id": i, "hash": h, "formula": f} for i, h, f in zip(self.ids, self.hashes, self.formulas, strict=True)
            ],
            "models": [
                {"name": name, "array": f"model_{i}", **known} for i, (name, known) in enumerate(self.models.items())
            ],
            "sha256": {name: _digest(array) for name, array in arrays.items()},
        }
        text = np.frombuffer(json.dumps(record).encode(), np.uint8)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, record=text, **arrays)


_INDICES = ("structure", "atom", "species", "anchors")


def read_atlas(path: str | Path | None = None) -> Coordinates:
    """Read the file of an atlas, and check each array by its SHA-256.

    Args:
        path: The file; that of the package if left out.

    Raises:
        ValueError: It is no atlas, damaged, of a newer format, or without models.
    """
    path = SHIPPED if path is None else Path(path)
    if not path.is_file():
        raise ValueError(f"`{path}` is no file: give an atlas that `platonic atlas --save` wrote.")
    try:
        with zipfile.ZipFile(path):  # An array alone, or a pickle, is none.
            pass
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(bytes(file["record"]))
            if record["format"] > FORMAT:
                raise _Newer
            arrays = {name: file[name] for name in record["sha256"]}
        if any(_digest(array) != record["sha256"][name] for name, array in arrays.items()):
            raise ValueError
        structures, models = record["structures"], record["models"]
        coordinates = Coordinates(
            ids=[one["id"] for one in structures],
            hashes=[one["hash"] for one in structures],
            formulas=[one["formula"] for one in structures],
            structure=arrays["structure"],
            atom=arrays["atom"],
            species=arrays["species"],
            anchors=arrays["anchors"],
            models={
                one["name"]: {key: entry for key, entry in one.items() if key not in ("name", "array")}
                for one in models
            },
            shared={one["name"]: arrays[one["array"]] / np.float64(_STEPS) for one in models},
        )
    except _Newer:
        raise ValueError(
            f"`{path}` is an atlas of a newer format than this version of platonic-jax reads: upgrade it."
        ) from None
    except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"`{path}` is no atlas, or a damaged one: give a file that `platonic atlas --save` wrote."
        ) from error
    if not coordinates.models:
        raise ValueError(f"`{path}` is an atlas without models: add some with `platonic atlas MODEL … --save FILE`.")
    return coordinates


class _Newer(Exception):
    """Format that only a later version reads."""


def build_atlas(
    tables: Sequence[EmbeddingTable], *, base: Coordinates | None = None, k: int = 100, seed: int = 0
) -> Coordinates:
    """Make an atlas of models, or add models to one.

    One atom of each symmetry orbit is kept. Structures that a model had to skip are left out for all.

    Args:
        tables: Default layers of models on the same structures; at least two trained models for a new atlas.
        base: The atlas to which they are added, with its atoms and anchors; a model of the same name is replaced.
        k: Number of anchors of a new atlas, drawn at random from its atoms.
        seed: Seed of this draw.

    Raises:
        ValueError: Fewer than two trained models, another layer than the default one, structures that differ, or a
            model without some structure of `base`.
    """
    check_count("k", k)
    if not tables:
        raise ValueError("`tables` must hold at least one model, got none.")
    if base is None:
        base = _empty(tables, k=k, seed=seed)
    models, shared = dict(base.models), dict(base.shared)
    for name, table in zip(display_names(tables), tables, strict=True):
        fewer, x = base.project(table)
        if len(fewer.structure) < len(base.structure):
            missing = sorted(set(base.ids) - set(fewer.ids))
            raise ValueError(
                f"`tables` must have every structure of the atlas, got none of {missing[0]} from {table.model}: "
                "such a model can be placed, but is no row of it."
            )
        models[name] = {key: table.provenance[key] for key in _KEPT if key in table.provenance}
        shared[name] = x
    return dataclasses.replace(base, models=models, shared=shared)


def _empty(tables: Sequence[EmbeddingTable], *, k: int, seed: int) -> Coordinates:
    """Atoms and anchors of a new atlas."""
    trained = sum(table.kind == "model" for table in tables)
    if trained < LEAST_MODELS:
        raise ValueError(f"`tables` must hold at least {LEAST_MODELS} trained models, got {trained}.")
    first = one_per_orbit(pair(*tables)[0])
    assert first.structures is not None
    choice = choose_anchors("random", first, k=k, key=jax.random.key(seed))
    return Coordinates(
        first.structures.ids,
        first.structures.hashes,
        first.structures.formulas,
        structure=first.structure_index,
        atom=first.atom_index,
        species=first.species,
        anchors=choice.rows,
        models={},
        shared={},
    )


def _relative(x: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Similarities to anchors, rounded as the file keeps them: a model is equal to itself."""
    with jax.enable_x64(True):  # noqa: FBT003
        rows = jnp.asarray(x, jnp.float64)
        cosines = np.asarray(relative(rows, rows[np.asarray(anchors)], similarity="cosine"))
    return np.rint(cosines * _STEPS) / _STEPS


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
