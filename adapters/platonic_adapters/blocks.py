"""The loop over the blocks of a store: batches by atoms, graphs built in the background, one block after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from platonic_adapters import batching, store
from platonic_adapters.families import Adapter

__all__ = ["chains", "fill"]

T = TypeVar("T")
R = TypeVar("R")


def fill(
    writer: store.Writer,
    adapter: Adapter,
    blocks: Iterable[int],
    *,
    batch_atoms: int,
    advance: Callable[[int, int], None],
) -> None:
    """Embed and write blocks of a store.

    Batches lie inside a block, so its bytes depend neither on where a run began nor on who writes it.

    Args:
        writer: of the store; it says which layers and properties.
        adapter: the model.
        blocks: their numbers, each asked for when its turn comes.
        batch_atoms: atoms a batch at most.
        advance: called with the numbers of structures and atoms of every batch that is done.
    """
    structures = writer.structures
    members = [
        batching.Member(f"{id_} ({formula})", int(n))
        for id_, formula, n in zip(structures.ids, structures.formulas, structures.num_atoms, strict=True)
    ]

    def jobs() -> Iterator[tuple[int, list[int], bool, bool]]:
        """Block and batch, whether it is the block's last, and whether the block before it has its embeddings."""
        known: set[int] = set()
        for block in blocks:
            inside = writer.overlapping(block)
            long = [i for i in inside if structures.num_atoms[i] > writer.block_rows]
            others = sorted(set(inside) - set(long), key=lambda i: (structures.num_atoms[i], i))
            batches = [[i] for i in long] + batching.split(others, structures.num_atoms, batch_atoms)
            known &= set(long)
            yield from ((block, batch, n == len(batches) - 1, batch[0] in known) for n, batch in enumerate(batches))
            known |= set(long)

    def prepared(job: tuple[int, list[int], bool, bool]) -> list[Any]:
        _, batch, _, known = job
        return [] if known else [batching.prepare(adapter, structures.wrapped_atoms(i), members[i]) for i in batch]

    rows: dict[str, np.ndarray] = {}
    values: dict[str, np.ndarray] = {}
    # What a structure longer than a block has in all of them: it is embedded once, alone, whichever block comes first.
    long: dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    for (block, batch, last, known), graphs in _ahead(jobs(), prepared):
        inside, span = writer.overlapping(block), writer.rows(block)
        first, stop = (int(structures.offsets[i]) for i in (inside.start, inside.stop))
        if not rows:
            rows = {name: _empty(stop - first, int(adapter.layers[name]["width"])) for name in writer.layers}
            values = {name: _empty(stop - first, *store.PROPERTIES[name][1]) for name in writer.properties}
            long = {i: outputs for i, outputs in long.items() if i in inside}
        if known:
            outputs, computed = long[batch[0]]
        else:
            outputs, computed = batching.embed(adapter, graphs, [members[i] for i in batch], writer.properties)
            if "stress" in computed:
                computed["stress"][~structures.pbc[batch].all(axis=1)] = np.nan
            if structures.num_atoms[batch[0]] > writer.block_rows:
                long[batch[0]] = {name: outputs[name] for name in writer.layers}, computed
        index = structures.rows(batch) - first
        for name in writer.layers:
            rows[name][index] = outputs[name]
        for name in writer.properties:
            per_atom = store.PROPERTIES[name][0]
            values[name][index if per_atom else structures.offsets[batch] - first] = computed[name]
        advance(len(batch), len(index))
        if last:
            part = slice(span.start - first, span.stop - first)
            writer.write(block, {k: v[part] for k, v in rows.items()}, {k: v[part] for k, v in values.items()})
            rows, values = {}, {}


def chains(writer: store.Writer, blocks: Iterable[int]) -> list[list[int]]:
    """Blocks that share a structure longer than a block, together, so that whoever takes them embeds it once."""
    structures, chained = writer.structures, []
    for block in blocks:
        previous = chained[-1][-1] if chained else None
        if previous is not None and abs(block - previous) == 1:
            row = max(block, previous) * writer.block_rows
            i = int(np.searchsorted(structures.offsets, row, "right")) - 1
            if structures.offsets[i] < row and structures.num_atoms[i] > writer.block_rows:
                chained[-1].append(block)
                continue
        chained.append([block])
    return chained


def _empty(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


def _ahead(items: Iterable[T], prepare: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Each item with what `prepare` makes of it, one step ahead in a background thread."""
    with ThreadPoolExecutor(1, "prepare") as pool:
        waiting = None
        for item in items:
            following = (item, pool.submit(prepare, item))
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting:
            yield waiting[0], waiting[1].result()
