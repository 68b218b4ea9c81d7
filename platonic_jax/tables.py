"""Embedding tables: per-atom arrays with the identity of every atom, on the host.

A table is one layer of one model on one set of structures. Its rows are atoms, in the order of the structures; two
tables are comparable only if their rows are the same atoms, and `pair` checks that they are. Tables are records, not
pytrees: algorithms take the arrays inside them.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike
from platonic_adapters import environments, processes, reading
from platonic_adapters import store as _store
from platonic_adapters.readout import Readout
from platonic_adapters.structures import Structures

from platonic_jax import _html, _memory
from platonic_jax.labels import orbits

__all__ = ["EmbeddingTable", "element_baseline", "embed", "load", "one_per_orbit", "pair", "read_labels"]


def __dir__() -> list[str]:
    return __all__


# The same crystal read by two versions of a parser differs in the last bits; anything larger is another structure.
POSITION_TOLERANCE = 1e-6
# Of what models predict, what has an entry for every atom, and what for every structure.
OF_ATOMS, OF_STRUCTURES = ("forces",), ("energy", "stress")


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Embeddings of the atoms of a set of structures in one layer of one model.

    Attributes:
        x: (n, d) float32, one row an atom; finite.
        species: (n,) int32, atomic numbers.
        structure_index: (n,) int32, the structure of each atom; non-decreasing.
        atom_index: (n,) int32, the place of each atom in its structure.
        structures: the s structures themselves, or None where only arrays are known.
        provenance: where the numbers come from: model, checkpoint, layer, versions, self-test.
        layer: the name of the layer.
        skipped: structures of the input that the model could not take: `id`, `hash`, `reason`.
        properties: what the model predicted, where it was asked to: `energy` (s,) eV, `forces` (n, 3) eV/Å, `stress`
            (s, 3, 3) eV/Å³.
        readout: what the model's energy makes of rows of this layer, where the store brings it; `stitching.energies`
            applies it.
    """

    x: np.ndarray
    species: np.ndarray
    structure_index: np.ndarray
    atom_index: np.ndarray
    structures: Structures | None
    provenance: Mapping[str, Any]
    layer: str
    skipped: Sequence[Mapping[str, str]] = ()
    properties: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    readout: Readout | None = None

    def __post_init__(self) -> None:
        """Check the arrays once, here, so that no algorithm has to."""
        n = len(self.x)
        if self.x.ndim != 2 or n == 0:
            raise ValueError(
                f"`x` must have at least one row and two axes (atoms, features), got shape {self.x.shape}."
            )
        for name in ("species", "structure_index", "atom_index"):
            array = getattr(self, name)
            if array.shape != (n,):
                raise ValueError(f"`{name}` must have one entry a row of `x`, got shape {array.shape} for {n} rows.")
        if not _is_finite(self.x):
            bad = np.flatnonzero(~np.isfinite(self.x).all(axis=1))
            raise ValueError(f"`x` must be finite, got {bad.size} rows that are not, first row {bad[0]}.")
        for name, array in self.properties.items():
            if name not in (*OF_ATOMS, *OF_STRUCTURES):
                raise ValueError(f"`properties` must be among {', '.join((*OF_ATOMS, *OF_STRUCTURES))}, got {name!r}.")
            if name in OF_ATOMS and len(array) != n:
                raise ValueError(f"`properties[{name!r}]` must have one entry a row, got {len(array)} for {n} rows.")
        drops = np.flatnonzero(np.diff(self.structure_index) < 0)
        if drops.size:
            raise ValueError(
                f"`structure_index` must not decrease, got {self.structure_index[drops[0] + 1]} after "
                f"{self.structure_index[drops[0]]} at row {drops[0] + 1}: sort the rows by structure."
            )
        if self.structures is not None and self.structure_index[-1] >= len(self.structures):
            raise ValueError(
                f"`structure_index` must stay below the number of structures = {len(self.structures)}, "
                f"got {self.structure_index[-1]}."
            )

    @classmethod
    def from_arrays(
        cls,
        x: ArrayLike,
        species: ArrayLike,
        structure_index: ArrayLike,
        *,
        structures: Structures | None = None,
        model: str = "unnamed",
        provenance: Mapping[str, Any] | None = None,
        layer: str = "embedding",
        properties: Mapping[str, ArrayLike] | None = None,
        readout: Readout | None = None,
    ) -> "EmbeddingTable":
        """Bring your own embeddings.

        Args:
            x: (n, d) embeddings, one row an atom; stored as float32.
            species: (n,) atomic numbers or chemical symbols.
            structure_index: (n,) the structure of each atom, from 0, non-decreasing.
            structures: the structures themselves; without them rows are identified by `species` and
                `structure_index` alone.
            model: the name that results bear.
            provenance: anything worth keeping beside the numbers.
            layer: the name of the layer.
            properties: what the model predicted: `energy`, `forces`, `stress`.
            readout: the model's energy readout of these rows.

        Returns:
            The table.

        Raises:
            ValueError: shapes that do not agree, non-finite rows, an index that decreases.

        Example:
            >>> import numpy as np
            >>> table = EmbeddingTable.from_arrays(np.eye(3), ["H", "H", "O"], [0, 0, 0], model="mine")
            >>> len(table), table[:2].x.shape
            (3, (2, 3))
        """
        index = np.asarray(structure_index, dtype=np.int32)
        return cls(
            x=np.asarray(x, dtype=np.float32),
            species=_atomic_numbers(species),
            structure_index=index,
            atom_index=_atom_index(index),
            structures=structures,
            provenance={"model": model, **(provenance or {})},
            layer=layer,
            properties={name: np.asarray(array, dtype=np.float32) for name, array in (properties or {}).items()},
            readout=readout,
        )

    @property
    def model(self) -> str:
        """The name of the model, as in the registry."""
        return str(self.provenance["model"])

    @property
    def kind(self) -> str:
        """`model`, `random` (re-drawn weights) or `element` (the chemical element alone)."""
        if self.provenance.get("random_weights"):
            return "random"
        return "element" if self.model == "element" else "model"

    @property
    def num_structures(self) -> int:
        """The number of structures that have a row."""
        return len(np.unique(self.structure_index))

    def select(self, mask: np.ndarray) -> "EmbeddingTable":
        """The rows where `mask` (n,) is true; the list of structures stays whole, so indices keep their meaning."""
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != self.species.shape:
            raise ValueError(f"`mask` must be {len(self.species)} booleans, got shape {mask.shape} of {mask.dtype}.")
        return dataclasses.replace(
            self,
            x=self.x[mask],
            species=self.species[mask],
            structure_index=self.structure_index[mask],
            atom_index=self.atom_index[mask],
            properties={name: array[mask] if name in OF_ATOMS else array for name, array in self.properties.items()},
        )

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.x)

    def __getitem__(self, atoms: int | slice | np.ndarray | Sequence[int]) -> "EmbeddingTable":
        """Return the table of some atoms: a number, a slice, rising numbers or a mask, as numpy takes them."""
        index = np.arange(len(self.x))[atoms]
        if (np.diff(np.atleast_1d(index)) <= 0).any():
            raise ValueError("`table[…]` takes rising numbers of atoms: rows stay sorted by structure.")
        mask = np.zeros(len(self.x), bool)
        mask[index] = True
        return self.select(mask)

    def to_frame(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each atom: structure, atom, element, and the embedding."""
        import pandas as pd

        names = np.array([self.structure_name(i) for i in range(int(self.structure_index[-1]) + 1)])
        atoms = pd.DataFrame(
            {
                "structure": names[self.structure_index],
                "atom": self.atom_index,
                "element": np.array(chemical_symbols)[self.species],
            }
        )
        return pd.concat([atoms, pd.DataFrame(self.x).add_prefix("x")], axis="columns")

    def to_anndata(self) -> Any:
        """Return an `anndata.AnnData`: embeddings as `X`, atoms as `obs`, provenance in `uns`.

        Raises:
            ImportError: anndata is not installed.
        """
        try:
            import anndata  # type: ignore[import-not-found]
        except ImportError:
            raise ImportError("`to_anndata` needs the package anndata: pip install anndata.") from None
        atoms = self.to_frame()[["structure", "atom", "element"]]
        atoms.index = atoms.index.astype(str)
        about = {"model": self.model, "layer": self.layer, "provenance": json.dumps(self.provenance)}
        return anndata.AnnData(X=self.x, obs=atoms, uns=about)

    def __repr__(self) -> str:
        rows, columns = self.x.shape
        return (
            f"EmbeddingTable({self.model}, {self.layer}: {rows} atoms of {self.num_structures} structures × {columns})"
        )

    def _repr_html_(self) -> str:
        about = self.provenance.get("layers", {}).get(self.layer, {}).get("what", "")
        known = "" if self.structures is not None else ", known by their rows alone"
        elements = len(np.unique(self.species))
        facts = [
            ("kind", {"random": "random weights", "element": "the chemical element alone"}.get(self.kind, "")),
            ("layer", _html.text(f"{self.layer}{f': {about}' if about else ''}")),
            ("atoms", f"{len(self.x):,} of {self.num_structures:,} structures{known}, {elements} elements"),
            ("columns", f"{self.x.shape[1]:,}"),
            ("predicted", _html.text(", ".join(self.properties))),
            ("energy readout", "brought along" if self.readout is not None else ""),
            ("skipped", f"{len(self.skipped):,} of the input" if self.skipped else ""),
            ("licence", _html.text(self.provenance.get("licence", ""))),
        ]
        return _html.record(f"EmbeddingTable of {self.model}", _html.facts(facts))

    def structure_name(self, structure: int) -> str:
        """The id of a structure, or its number where no structures are known."""
        return str(structure) if self.structures is None else self.structures.ids[structure]


def load(path: str | Path, layer: str | None = None, *, limit: int | None = None) -> EmbeddingTable:
    """Read one layer of a store.

    Args:
        path: the store, as written by `platonic embed`.
        layer: the layer; the store's default, the input of the model's energy readout, if left out; `paper` is the
            layer that Li and Walsh (arXiv:2512.05349) read.
        limit: the first structures alone, this many, to stand beside a store made with `--limit`; all if left out.

    Returns:
        The table.

    Raises:
        ValueError: no store there, an incomplete, damaged or newer one, an unknown layer, non-finite rows, a limit
            below one, or more rows than fit the memory.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` must be at least 1, got {limit}.")
    store = _store.open(path)
    name = store.layer_name(layer)
    if name in store.layers:
        size = 4 * store.num_rows * store.layers[name]["width"]
        _memory.require(size, work=f"reading `{path}`", advice="make a store of fewer structures")
    index = np.asarray(store.structure_index)
    table = EmbeddingTable(
        x=store.layer(name),
        species=np.asarray(store.species),
        structure_index=index,
        atom_index=_atom_index(index),
        structures=store.structures,
        provenance={**store.provenance, "layer": name},
        layer=name,
        skipped=tuple(store.skipped),
        properties={name: store.property(name) for name in store.properties if name in (*OF_ATOMS, *OF_STRUCTURES)},
        readout=store.readout if store.readout and store.readout.layer == name else None,
    )
    return table if limit is None else _of_structures(table, np.arange(len(store.structures)) < limit)


def embed(
    model: str, structures: Any, out: str | Path | None = None, *, properties: Sequence[str] = (), device: str = "auto"
) -> EmbeddingTable:
    """Embed structures with one model, in the environment of its family, as `platonic embed` does.

    Args:
        model: Name of the model, as `platonic models` lists it, or a checkpoint.
        structures: A file, a folder or a named set, as the command takes them; or structures of ASE or pymatgen.
        out: The store to write, or to resume; a temporary one if left out.
        properties: What the model predicts and the store keeps: `energy`, `forces`, `stress`.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The table of the model's default layer.

    Raises:
        ValueError: no such model or structures, or the work failed; the reason stands on stderr.
    """
    with processes.temporary("platonic-") as folder:
        source = structures
        if not isinstance(structures, str | Path):
            source = folder / "structures.zarr"
            known = structures if isinstance(structures, Structures) else reading.read(structures)[0]
            _store.write_structures(source, known, source="Python objects")
        target = Path(out) if out is not None else folder / "embedding.zarr"
        options = ["--duplicates", "keep", "--device", device]
        options += ["--properties", ",".join(properties)] if properties else []
        code = environments.run(model, source, target, *options)
        if code:
            raise ValueError(f"{model} could not embed the structures (exit code {code}): the reason stands above.")
        return load(target)


def as_tables(models: Any) -> list[EmbeddingTable]:
    """Return embedding tables of what a user gives: tables, or arrays of the same atoms, in a list or by name.

    Of a bare array nothing is known but its rows: each is an atom of its own structure, of no known element.
    """
    if not isinstance(models, Mapping | Sequence) or isinstance(models, str):
        raise TypeError(f"`tables` must be a list of embedding tables or of arrays, got {_kind(models)}.")
    named = models.items() if isinstance(models, Mapping) else ((f"array {i + 1}", one) for i, one in enumerate(models))
    return [one if isinstance(one, EmbeddingTable) else _bare(name, one) for name, one in named]


def is_bare(table: EmbeddingTable) -> bool:
    """Test whether a table was made of a bare array, whose elements are unknown."""
    return not table.species.any()


def _bare(name: str, x: Any) -> EmbeddingTable:
    if isinstance(x, str | Path) or np.ndim(x) != 2:
        raise TypeError(
            f"`tables` must be embedding tables or arrays of shape (n, d), got {_kind(x)} for {name}: read a store "
            "with `platonic_jax.load` first."
        )
    return EmbeddingTable.from_arrays(x, np.zeros(len(x), int), np.arange(len(x)), model=name)


def _check_tables(tables: Sequence[Any]) -> None:
    for table in tables:
        if not isinstance(table, EmbeddingTable):
            raise TypeError(f"expected embedding tables, got {_kind(table)}: read a store with `platonic_jax.load`.")


def _kind(value: Any) -> str:
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"{type(value).__name__} {value!r}"


def _atomic_numbers(species: ArrayLike) -> np.ndarray:
    given = np.asarray(species)
    if given.dtype.kind not in "USO":
        return given.astype(np.int32)
    unknown = sorted(set(map(str, given)) - set(atomic_numbers))
    if unknown:
        raise ValueError(f"`species` must be atomic numbers or chemical symbols, got {unknown[0]!r}.")
    return np.array([atomic_numbers[str(symbol)] for symbol in given], np.int32)


def check_memory(tables: Sequence[EmbeddingTable], work: str, *, copies: float | int, columns: int = 0) -> None:
    """Check that work on tables fits the memory there is, before it starts.

    Args:
        tables: what the work takes.
        work: what it is, such as `the drift`.
        copies: how many arrays of the tables' width and `columns` it holds at its peak, in float32, beside the tables.
        columns: columns of the space of the anchors.

    Raises:
        ValueError: it does not fit.
    """
    _check_tables(tables)
    numbers = sum(len(table.x) * (table.x.shape[1] + copies * (table.x.shape[1] + columns)) for table in tables)
    atoms = max(len(table.x) for table in tables)
    _memory.require(
        int(4 * numbers), work=f"{work} of {len(tables)} tables of {atoms:,} atoms", advice="take fewer structures"
    )


def read_labels(path: str | Path, table: EmbeddingTable) -> dict[str, np.ndarray]:
    """Energies and forces of a table's structures from the file that they came from, such as those of DFT.

    Structures are known by their content, not by their names.

    Args:
        path: a file that ASE reads, with energies or forces.
        table: whose structures are meant.

    Returns:
        `energy` (s,) eV and `forces` (n, 3) eV/Å, NaN where the file has none.

    Raises:
        ValueError: no such file, no labels in it, or of none of the table's structures.
    """
    if table.structures is None:
        raise ValueError("`table` must bring its structures, got bare arrays: labels are found by them.")
    known, structures = reading.read_labels(path), table.structures
    energy, forces = np.full(len(structures), np.nan), np.full((len(structures.species), 3), np.nan)
    for i, content in enumerate(structures.hashes):
        labels = known.get(content, {})
        energy[i] = labels.get("energy", np.nan)
        forces[structures.offsets[i] : structures.offsets[i + 1]] = labels.get("forces", np.nan)
    if np.isnan(energy).all() and np.isnan(forces).all():
        raise ValueError(
            f"`path` must have labels of the table's structures, such as {structures.ids[0]}, got {path}, which has "
            "none of them: give the file that was embedded."
        )
    return {"energy": energy, "forces": forces[structures.offsets[table.structure_index] + table.atom_index]}


def element_baseline(table: EmbeddingTable) -> EmbeddingTable:
    """Element-only baseline: the same rows, with a one-hot of the element in place of the embedding."""
    elements, column = np.unique(table.species, return_inverse=True)
    return dataclasses.replace(
        table,
        x=np.eye(len(elements), dtype=np.float32)[column],
        provenance={"model": "element", "what": "one-hot of the chemical element: the baseline without any model"},
        layer="one-hot",
        skipped=(),
        properties={},
        readout=None,
    )


def one_per_orbit(table: EmbeddingTable) -> EmbeddingTable:
    """Count symmetry copies once: keep the first atom of every symmetry orbit of every crystal.

    Args:
        table: Embeddings with their structures.

    Returns:
        The table of these atoms; structures stay whole.

    Raises:
        ValueError: the table brings no structures.
    """
    if table.structures is None:
        raise ValueError(
            f"`table` must bring its structures, got bare arrays of {table.model}: symmetry is found by positions."
        )
    row = np.asarray(table.structures.offsets)[table.structure_index] + table.atom_index
    orbit = orbits(table.structures)[row]
    first = np.zeros(len(row), bool)
    first[np.unique(orbit, return_index=True)[1]] = True
    kept = table.select(first)
    return dataclasses.replace(
        kept, provenance={**table.provenance, "atoms": f"one per symmetry orbit: {len(kept.x)} of {len(row)}"}
    )


def pair(*tables: EmbeddingTable) -> list[EmbeddingTable]:
    """The same atoms of every table, in the same order.

    A structure that one model had to skip (an element it does not know, say) is left out of all; any other difference
    is an error.

    Args:
        *tables: two or more tables.

    Returns:
        The tables on their common rows, in the order given.

    Raises:
        ValueError: naming the two models, the first structure and atom that differ, and what differs.
    """
    _check_tables(tables)
    skipped = {(entry["id"], entry["hash"]) for table in tables for entry in table.skipped}
    common = [_without(table, skipped) for table in tables]
    for other in common[1:]:
        _check_same_rows(common[0], other)
    return common


def _is_finite(x: np.ndarray) -> bool:
    """Test whether every value is finite, without an array of booleans if their sum is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()) or np.isfinite(x).all())


def _atom_index(structure_index: np.ndarray) -> np.ndarray:
    starts = np.flatnonzero(np.diff(structure_index, prepend=-1))
    counts = np.diff(starts, append=len(structure_index))
    return (np.arange(len(structure_index)) - np.repeat(starts, counts)).astype(np.int32)


def _without(table: EmbeddingTable, skipped: set[tuple[str, str]]) -> EmbeddingTable:
    """The table without the structures named in `skipped`."""
    if table.structures is None or not skipped:
        return table
    identity = zip(table.structures.ids, table.structures.hashes, strict=True)
    keep = np.array([key not in skipped for key in identity], dtype=bool)
    if keep.all():
        return table
    if not keep.any():
        raise ValueError(
            f"the tables must share at least one structure: every one of {table.model} was skipped by another model."
        )
    return _of_structures(table, keep)


def _of_structures(table: EmbeddingTable, keep: np.ndarray) -> EmbeddingTable:
    """The table of the structures where `keep` is true alone, renumbered."""
    kept = table.select(keep[table.structure_index])
    number = np.cumsum(keep) - 1
    return dataclasses.replace(
        kept,
        structure_index=number[kept.structure_index].astype(np.int32),
        structures=table.structures and table.structures.select(np.flatnonzero(keep)),
        properties={name: array[keep] if name in OF_STRUCTURES else array for name, array in kept.properties.items()},
    )


def _check_same_rows(a: EmbeddingTable, b: EmbeddingTable) -> None:
    what = f"the rows of {a.model} and {b.model} must be the same atoms"
    fix = "embed the same input with both models, or load as many structures of both (`limit`)"
    if a.structures is not None and b.structures is not None:
        for i in range(max(len(a.structures), len(b.structures))):
            difference = _structure_difference(a.structures, b.structures, i)
            if difference:
                raise ValueError(f"{what}, got a first difference at structure {i}: {difference}; {fix}.")
    if len(a.x) != len(b.x):
        raise ValueError(f"{what}, got {len(a.x)} rows and {len(b.x)} rows; {fix}.")
    for name in ("structure_index", "atom_index", "species"):
        differs = np.flatnonzero(getattr(a, name) != getattr(b, name))
        if differs.size:
            row = differs[0]
            raise ValueError(
                f"{what}, got `{name}` {getattr(a, name)[row]} and {getattr(b, name)[row]} at row {row} "
                f"(structure {a.structure_name(int(a.structure_index[row]))}, atom {a.atom_index[row]}); {fix}."
            )


def _structure_difference(a: Structures, b: Structures, i: int) -> str:
    """Describe the difference between structure i of two tables; empty if there is none."""
    if i >= len(a) or i >= len(b):
        more = a if len(a) > len(b) else b
        return f"{more.ids[i]!r} stands in one of them alone ({len(a)} and {len(b)} structures)"
    if a.hashes[i] == b.hashes[i]:
        return ""
    first, second = a.atoms(i), b.atoms(i)
    name = repr(a.ids[i]) if a.ids[i] == b.ids[i] else f"{a.ids[i]!r} and {b.ids[i]!r}"
    if len(first) != len(second):
        return f"{name}, with {len(first)} and {len(second)} atoms"
    other = np.flatnonzero(first.numbers != second.numbers)
    if other.size:
        return f"{name}, whose atom {other[0]} is {first.symbols[other[0]]} and {second.symbols[other[0]]}"
    if (first.pbc != second.pbc).any():
        return f"{name}, with periodic directions {first.pbc.tolist()} and {second.pbc.tolist()}"
    cell = np.abs(np.asarray(first.cell) - np.asarray(second.cell)).max()
    if cell > POSITION_TOLERANCE:
        return f"{name}, whose cells differ by {cell:.2g} Å"
    moved = np.abs(first.positions - second.positions).max(axis=1)
    if moved.max() > POSITION_TOLERANCE:
        return f"{name}, whose atom {moved.argmax()} is displaced by {moved.max():.2g} Å"
    return ""
