"""`--workers` and `--scheduler`: the blocks of a store as tasks of Dask, each written by whichever worker is free.

A block depends on nothing but itself, so a task that is run again, by another worker after the first one died, writes
the same bytes to the same place.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import distributed
from distributed.security import Security

from platonic_adapters import blocks, caches, loading, store
from platonic_adapters.errors import ExportError, UserError
from platonic_adapters.families import Adapter
from platonic_adapters.registry import ModelSpec
from platonic_adapters.terminal import say

__all__ = ["DaskPool"]

WAIT = 600  # s until a worker of a scheduler has to be there


class _Job(NamedTuple):
    """Parameters of a worker besides the number of its block."""

    path: Path
    run: str
    spec: ModelSpec
    device: str
    threads: int | None
    batch_atoms: int
    code: str


class DaskPool:
    """Workers of this machine, or those of a scheduler anywhere that see the same files."""

    def __init__(self, *, workers: int | None = None, scheduler: str | None = None) -> None:
        self.workers, self.scheduler = workers, scheduler

    def fill(
        self,
        writer: store.Writer,
        spec: ModelSpec,
        *,
        device: str,
        threads: int | None,
        batch_atoms: int,
        advance: Callable[[int, int], None],
    ) -> None:
        """Embed and write every pending block; the first failure ends it, and what is written stays.

        Raises:
            ExportError: a block failed, or kept killing its workers.
            UserError: no scheduler or no worker there.
        """
        numbers = list(writer.pending())
        if not numbers:
            return
        job = _Job(writer.path.absolute(), str(writer.run), spec, device, threads, batch_atoms, caches.code_digest())
        with self._client() as client:
            chains = blocks.chains(writer, numbers)
            tasks = client.map(functools.partial(_embed_blocks, job), chains, pure=False, key="blocks")
            chain_of = dict(zip([task.key for task in tasks], chains, strict=True))
            for task in distributed.as_completed(tasks):
                chain = chain_of[task.key]
                overlaps = [writer.overlapping(block) for block in chain]
                members = range(min(o.start for o in overlaps), max(o.stop for o in overlaps))
                try:
                    task.result()
                except distributed.KilledWorker as error:
                    raise ExportError(
                        f"block {', '.join(map(str, chain))} ({writer.structures.ids[members.start]} to"
                        f" {writer.structures.ids[members.stop - 1]}) killed one worker after another, most likely for"
                        " want of memory; run the same command again with fewer workers, and it goes on."
                    ) from error
                for overlap in overlaps:
                    advance(len(overlap), int(writer.structures.num_atoms[overlap].sum()))

    @contextmanager
    def _client(self) -> Iterator[distributed.Client]:
        if self.scheduler is None:
            # Memory is not limited here: the loop halves a batch that does not fit.
            settings = {"threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
            # Whoever reaches a scheduler can run code: this one answers only to a key that these processes alone hold.
            settings |= {"security": Security.temporary(), "silence_logs": logging.CRITICAL}
            with (
                distributed.LocalCluster(n_workers=self.workers, **settings) as cluster,
                distributed.Client(cluster) as client,
            ):
                yield client
            return
        if not str(self.scheduler).startswith("tls://"):
            say(
                f"whoever reaches the scheduler `{self.scheduler}` can run code on its workers and here; on a network"
                " that you share, start it with TLS (https://distributed.dask.org/en/stable/tls.html)."
            )
        try:
            client = distributed.Client(self.scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no Dask scheduler answers at `{self.scheduler}`; start one with `dask scheduler`, and workers where"
                " the model is installed."
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=WAIT)
            except TimeoutError as error:
                raise UserError(
                    f"the scheduler at `{self.scheduler}` has had no worker for {WAIT} s; start some with `dask worker"
                    f" {self.scheduler}` where the model is installed."
                ) from error
            yield client


def _embed_blocks(job: _Job, chain: list[int]) -> None:
    """The task: runs in a worker."""
    if job.code != caches.code_digest():
        raise ExportError(
            "this worker has another version of platonic-adapters than the command; install the same one everywhere."
        )
    adapter = _adapter(job.spec, job.device, job.threads)
    writer = _writer(job.path, job.run)
    pending = (block for block in chain if not writer.is_done(block))
    blocks.fill(writer, adapter, pending, batch_atoms=job.batch_atoms, advance=lambda _structures, _atoms: None)


# Loaded once by a worker, for all its blocks.
@functools.lru_cache(1)
def _adapter(spec: ModelSpec, device: str, threads: int | None) -> Adapter:
    return loading.load(spec, device=device, threads=threads)


@functools.lru_cache(1)
def _writer(path: Path, run: str) -> store.Writer:
    return store.join(path, run)
