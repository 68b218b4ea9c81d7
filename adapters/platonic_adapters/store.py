"""The file format: one store = one model on one set of structures, a Zarr v3 group; its only writer and reader.

    species (n,) int32 · structure_index (n,) int32, non-decreasing · layers/<name> (n, width) float32
    optional energy (s,) eV · forces (n, 3) eV/Å · stress (s, 3, 3) eV/Å³, float32; a structure that is not periodic in
    every direction has no stress (NaN)
    optional orbit_spread (n,) float32: of a model averaged over rotations, see `averaging`
    optional readout/{weights/<i>, biases/<i>, scale, shift} float32, its attributes layer and activation: the model's
    energy readout, see `readout.Readout`
    by_row/{energy, stress}, the same at the first row of each structure, for writers
    structures/{ids, hashes, formulas, num_atoms, positions, cells, pbc, charge, spin} · done (blocks, arrays) int64
    (stores of schema 1 may have neither charge nor spin, which read as 0)
    attributes: schema, complete, default_layer, layers, properties, skipped, the provenance; run, checksums, seal

The unit of work is a block: one shard of rows of every per-atom array. A writer computes every structure that overlaps
the block, writes the whole shard, then the block's own flag, each an atomic replacement of one file. So a killed run
goes on at the first block without a flag, writers of different blocks share no file, and what is written depends on the
block alone: the result is bit-identical however often it was interrupted.

Damage is seen: every chunk ends in its CRC-32C; a block's flag is the checksums of its files, and those of all files
stand in the attributes of a complete store, which are sealed. So a chunk that is lost, changed or exchanged is named
when it is read, and a run that goes on with the store writes just those blocks again.
"""

from platonic_adapters._store_checking import Damage, Verification, survey, verify
from platonic_adapters._store_layout import BLOCK_ROWS, PREDICTED, PROPERTIES, SCHEMA
from platonic_adapters._store_reading import PAPER, Store, load, open, read_structures, source_of  # noqa: A004
from platonic_adapters._store_writing import Writer, check_same_run, create, join, write_structures
from platonic_adapters.errors import StoreError

__all__ = [
    "BLOCK_ROWS",
    "PAPER",
    "PREDICTED",
    "PROPERTIES",
    "SCHEMA",
    "Damage",
    "Store",
    "StoreError",
    "Verification",
    "Writer",
    "check_same_run",
    "create",
    "join",
    "load",
    "open",
    "read_structures",
    "source_of",
    "survey",
    "verify",
    "write_structures",
]
