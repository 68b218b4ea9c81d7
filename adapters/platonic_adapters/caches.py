"""Locations of cached files: our own, and the weights that each family's library bundles or downloads."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Any

from platonic_adapters import registry
from platonic_adapters.registry import ModelSpec

__all__ = ["code_digest", "described_models", "directory", "mattersim", "nequix", "notes", "table_row", "weights_state"]

ORB_RELEASE = "https://orbitalmaterials-public-models.s3.us-west-1.amazonaws.com/forcefields/orb-v3/{}-20250404.ckpt"
# The eSEN files that are not called like the models.
ESEN = {
    "esen-md-direct-all-omol": "esen_md_direct_all.pt",
    "esen-sm-conserving-all-omol": "esen_sm_conserving_all.pt",
    "esen-sm-direct-all-omol": "esen_sm_direct_all.pt",
    "esen-sm-conserving-all-oc25": "esen_sm_conserve.pt",
    "esen-md-direct-all-oc25": "esen_md_direct.pt",
    "esen-sm-filtered-odac25": "esen_sm_odac25_filtered.pt",
    "esen-sm-full-odac25": "esen_sm_odac25_full.pt",
}


def directory() -> Path:
    """Folder of environments and code: `$PLATONIC_CACHE`, or the user's cache directory."""
    if chosen := os.environ.get("PLATONIC_CACHE"):
        return Path(chosen).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("platonic")


def mattersim() -> Path:
    """Folder in which MatterSim's library keeps downloads."""
    return Path.home() / ".local/mattersim/pretrained_models"


def nequix() -> Path:
    """Folder in which Nequix's library keeps downloads."""
    return Path.home() / ".cache/nequix/models"


@functools.cache  # Asked for at every block that a worker writes.
def code_digest() -> str:
    """Digest of this package's code: the content of its files at the first call."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def described_models() -> list[dict[str, Any]]:
    """Every model of this package: the fields of `registry.Model`, and where its `weights` are."""
    return [{**dataclasses.asdict(spec.model), "weights": weights_state(spec)} for spec in registry.models()]


def table_row(model: dict[str, Any]) -> tuple[str, ...]:
    """One of `described_models` in a table: name, family, weights, licence, data, architecture, relatives, note."""
    fields = ("name", "family", "weights", "licence", "training_data", "architecture")
    return *(model[field] for field in fields), ", ".join(model["relatives"]), model["note"]


def notes() -> list[str]:
    """Notes below the table of models: controls, and families of other packages, whose code is not run."""
    sentences = ["Each also as random:NAME?seed=0, the same architecture with re-drawn weights."]
    for family, package in registry.plugins().items():
        sentences.append(
            f"And the models of the family {family} of the package {package}, known to it alone until asked for."
        )
    return sentences


def weights_state(spec: ModelSpec) -> str:
    """State of a model's weights: `in the package`, `cached`, `to be downloaded`, or `local file`.

    Looks for files alone: no library is imported, no network asked.
    """
    if spec.path:
        return "local file"
    if spec.model.packaged:
        return "in the package"
    folder, pattern = _cached(spec.family.name, spec.model.checkpoint)
    return "cached" if next(folder.glob(pattern), None) else "to be downloaded"


def _cached(family: str, checkpoint: str) -> tuple[Path, str]:
    """The folder and the pattern under which the library of a family keeps a checkpoint."""
    home = Path.home() / ".cache"
    if family == "mace":
        name = "".join(c for c in checkpoint.rsplit("/", 1)[-1] if c.isalnum() or c == "_")
        return Path(os.environ.get("XDG_CACHE_HOME", home)) / "mace", name
    if family == "orb":
        name = hashlib.sha256(ORB_RELEASE.format(checkpoint).encode()).hexdigest()
        return Path(os.environ.get("CACHED_PATH_CACHE_ROOT", home / "cached_path")), f"{name}.*"
    if family == "fairchem":
        name = ESEN.get(checkpoint, f"{checkpoint}.pt")
        return Path(os.environ.get("FAIRCHEM_CACHE_DIR", home / "fairchem")), f"models--*/snapshots/*/*/{name}"
    if family == "sevennet":
        return home / "sevennet", f"*/checkpoint_seven{checkpoint.removeprefix('7').replace('-', '_')}.pth"
    if family == "chemeleon":
        return directory() / "checkpoints", checkpoint
    return (mattersim(), checkpoint) if family == "mattersim" else (nequix(), f"{checkpoint}.nqx")
