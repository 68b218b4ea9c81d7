"""Export of a model's embeddings of structures to a store."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from platonic_adapters import __version__, blocks, loading, selftest, store
from platonic_adapters.averaging import SPREAD
from platonic_adapters.errors import InputError, UserError
from platonic_adapters.families import Adapter
from platonic_adapters.registry import ModelSpec
from platonic_adapters.replacing import collect, recover
from platonic_adapters.store import PAPER
from platonic_adapters.structures import Structures
from platonic_adapters.terminal import say

__all__ = ["Summary", "already_complete", "export", "say_skipped"]

if TYPE_CHECKING:
    from platonic_adapters.scaleout import DaskPool

# What is said of a model's training, and of re-drawn weights is not.
TRAINING = ("training_data", "functional", "supervision", "year", "fine_tuned_from")


@dataclass(frozen=True)
class Summary:
    """Summary of an export.

    Attributes:
        store: where it stands.
        model: full name.
        layers: stored layers.
        num_structures: with rows.
        num_atoms: rows.
        skipped: of the input, without rows: `{"id", "hash", "reason"}`.
        self_test: the largest relative deviations, or what the store already held.
        seconds: of embedding in this run.
        atoms_per_second: of this run; 0 where nothing was left to do.
        megabytes: of the store on disk.
    """

    store: str
    model: str
    layers: list[str]
    num_structures: int
    num_atoms: int
    skipped: list[dict[str, str]]
    self_test: dict[str, Any]
    seconds: float
    atoms_per_second: float
    megabytes: float


def export(
    spec: ModelSpec,
    structures: Structures,
    output: str | Path,
    *,
    source: str,
    skipped: Sequence[dict[str, str]] = (),
    layers: Sequence[str] = (),
    properties: Sequence[str] = (),
    batch_atoms: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    block_rows: int = store.BLOCK_ROWS,
    pool: DaskPool | None = None,
) -> Summary:
    """Embed structures into a store, or go on with one that the same call has begun.

    Args:
        spec: the model; its library must import here.
        structures: the input.
        output: path of the store.
        source: the user's own name of the input.
        skipped: what reading already left out.
        layers: which layers to store besides the default one; `all` is every one, `paper` that of Li and Walsh.
        properties: which of energy, forces, stress to store.
        batch_atoms: atoms a batch at most (a larger structure goes alone); what suits the device if None.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; all if None.
        overwrite: start over.
        block_rows: rows of a block, the unit of resumption.
        pool: worker processes that embed the blocks; this process does it alone if None.

    Raises:
        UserError: input, layers or output that do not fit.
        ExportError: the model failed on a structure.
    """
    adapter = loading.load(spec, device=device, threads=threads)
    wanted, properties = _choose_layers(adapter, layers), _stored(spec, properties)
    batch_atoms = batch_atoms or adapter.batch_atoms
    known, unsupported = _split_supported(spec, adapter, structures)
    writer = store.create(
        output,
        known,
        layers={name: adapter.layers[name] for name in wanted},
        default_layer=adapter.default_layer,
        provenance=_provenance(spec, adapter, structures, known, source, batch_atoms),
        skipped=[*skipped, *unsupported],
        properties=properties,
        readout=getattr(adapter, "readout", lambda: None)(),
        overwrite=overwrite,
        block_rows=block_rows,
    )
    say_skipped(unsupported)
    if writer.damage:
        say(f"`{output}` was damaged ({writer.damage.sentence()}); that is made again, and nothing else.")
    ions = int(np.count_nonzero((known.charge != 0) | (known.spin > 1)))
    if ions and not getattr(adapter, "charged", False):
        say(f"{spec.name} takes neither charge nor spin; structures that have them and are embedded without: {ions}.")
    start = time.monotonic()
    progress = _Progress([writer.overlapping(block) for block in writer.pending()], known)
    if pool is None:
        blocks.fill(writer, adapter, writer.pending(), batch_atoms=batch_atoms, advance=progress.advance)
    else:
        pool.fill(writer, spec, device=device, threads=threads, batch_atoms=batch_atoms, advance=progress.advance)
    progress.close()
    seconds = time.monotonic() - start
    writer.finish()
    finished = store.open(output)
    if finished.attributes.get("run") != writer.run:
        raise UserError(f"`{output}` was replaced by another run as soon as this one had finished it; that one stands.")
    return _summary(finished, seconds, progress.atoms)


def already_complete(
    output: str | Path,
    spec: ModelSpec,
    structures: Structures,
    *,
    layers: Sequence[str] = (),
    properties: Sequence[str] = (),
) -> Summary | None:
    """Return the summary of a complete store of this very run at `output`, without loading the model; else None.

    A damaged store is work: `export` sees whether it is of the same run, and mends it.

    Raises:
        UserError: something else stands there.
    """
    recover(Path(output))
    if not Path(output).exists():
        return None
    existing = store.load(output)
    if store.survey(existing):
        return None
    named = existing.attributes["available_layers"] if "all" in layers else [existing.layer_name(x) for x in layers]
    store.check_same_run(
        existing,
        structures,
        {
            "model": spec.name,
            **({"layers": named, "properties": _stored(spec, properties)} if existing.complete else {}),
        },
    )
    if not existing.complete:
        return None
    collect(Path(output))
    return _summary(existing, 0.0, 0)


def say_skipped(entries: Sequence[dict[str, str]], most: int = 10) -> None:
    """Name what was left out, on stderr: the first `most` one by one, the rest by number."""
    for entry in entries[:most]:
        say(f"{entry['id']} skipped: {entry['reason']}.")
    if len(entries) > most:
        say(f"and {len(entries) - most} more skipped; the store names them all.")


def _stored(spec: ModelSpec, properties: Sequence[str]) -> list[str]:
    """The properties asked for, and what an average over rotations brings along."""
    return [*properties, *([SPREAD] if spec.orbit_average else [])]


def _choose_layers(adapter: Adapter, layers: Sequence[str]) -> list[str]:
    named = [_paper_layer(adapter) if name == PAPER else name for name in layers]
    unknown = [name for name in named if name not in adapter.layers and name != "all"]
    if unknown:
        known = ", ".join(adapter.layers)
        raise UserError(f"`{unknown[0]}` is not a layer of this model; it has {known} (or `all`, or `{PAPER}`).")
    wanted = {adapter.default_layer, *(adapter.layers if "all" in layers else named)}
    return [name for name in adapter.layers if name in wanted]


def _paper_layer(adapter: Adapter) -> str:
    """Return the layer that Li and Walsh read: the default one, unless the family names another."""
    return getattr(adapter, "paper_layer", adapter.default_layer)


def _split_supported(
    spec: ModelSpec, adapter: Adapter, structures: Structures
) -> tuple[Structures, list[dict[str, str]]]:
    """Separate the structures that the model supports, with an entry for each of the others."""
    from ase.data import chemical_symbols

    foreign = ~np.isin(structures.species, sorted(adapter.elements))
    reasons: dict[int, str] = {}
    for i in np.unique(structures.structure_index[foreign]).tolist():
        rows = slice(structures.offsets[i], structures.offsets[i + 1])
        elements = ", ".join(chemical_symbols[z] for z in np.unique(structures.species[rows][foreign[rows]]))
        reasons[i] = f"{spec.name} does not know {elements}"
    refusal = getattr(adapter, "refusal", None)
    if refusal is not None:
        for i in set(range(len(structures))) - reasons.keys():
            if reason := refusal(structures.wrapped_atoms(i)):
                reasons[i] = reason
    left_out = sorted(reasons)
    entries = [{"id": structures.ids[i], "hash": structures.hashes[i], "reason": reasons[i]} for i in left_out]
    if len(left_out) == len(structures):
        raise InputError(f"no structure is left that {spec.name} takes (of the first: {entries[0]['reason']}).")
    kept = np.ones(len(structures), dtype=bool)
    kept[left_out] = False
    return structures.select(kept), entries


def _provenance(
    spec: ModelSpec, adapter: Adapter, structures: Structures, known: Structures, source: str, batch_atoms: int
) -> dict[str, Any]:
    model = spec.model
    required = [re.split(r"[^\w.-]", requirement)[0] for requirement in spec.family.requirements]
    packages = ["jax", "numpy", "ase", "zarr", *required]
    return {
        "model": spec.name,
        "family": spec.family.name,
        "checkpoint": dict(adapter.checkpoint),
        "licence": model.licence,
        "random_weights": spec.random_weights,
        "seed": spec.seed,
        "architecture": model.architecture,
        **{name: None if spec.random_weights else getattr(model, name) for name in TRAINING},
        **{name: getattr(model, name) for name in ("network", "body_order", "parameters")},
        "relatives": {} if spec.random_weights else model.relatives,
        "adapter_version": __version__,
        "packages": {"python": platform.python_version(), **{p: v for p in packages if (v := _version(p))}},
        **adapter.hardware,
        "available_layers": list(adapter.layers),
        "paper_layer": _paper_layer(adapter),
        "batch_atoms": batch_atoms,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": {"name": source, "sha256": structures.digest},
        "self_test": selftest.run(adapter, known, batch_atoms=batch_atoms),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class _Progress:
    """Structures, atoms, speed and time left on one line of a terminal; nothing elsewhere."""

    def __init__(self, ahead: Sequence[range], structures: Structures) -> None:
        self.num_structures = sum(map(len, ahead))
        self.num_atoms = sum(int(structures.num_atoms[members].sum()) for members in ahead)
        self.structures = self.atoms = 0
        self.start = self.shown = time.monotonic()
        self.visible = sys.stderr.isatty()

    def advance(self, structures: int, atoms: int) -> None:
        """Count a batch."""
        self.structures += structures
        self.atoms += atoms
        now = time.monotonic()
        if self.visible and now - self.shown > 0.2:
            self.shown = now
            speed = self.atoms / (now - self.start)
            left = (self.num_atoms - self.atoms) / speed
            sys.stderr.write(
                f"\r\033[K{self.structures}/{self.num_structures} structures, {self.atoms}/{self.num_atoms} atoms,"
                f" {speed:.0f} atoms/s, {left:.0f} s left"
            )
            sys.stderr.flush()

    def close(self) -> None:
        """Clear the line."""
        if self.visible:
            sys.stderr.write("\r\033[K")


def _summary(existing: store.Store, seconds: float, atoms: int) -> Summary:
    return Summary(
        store=str(existing.path),
        model=existing.provenance["model"],
        layers=list(existing.layers),
        num_structures=existing.group["structures/num_atoms"].shape[0],  # type: ignore[union-attr]
        num_atoms=existing.num_rows,
        skipped=existing.skipped,
        self_test=existing.provenance["self_test"],
        seconds=round(seconds, 3),
        atoms_per_second=round(atoms / seconds, 1) if seconds else 0.0,
        megabytes=round(sum(file.stat().st_size for file in existing.path.rglob("*") if file.is_file()) / 1e6, 1),
    )
