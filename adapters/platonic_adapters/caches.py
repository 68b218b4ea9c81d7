"""Locations of cached files: our own, and the weights that each family's library bundles or downloads."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

from platonic_adapters import registry
from platonic_adapters.registry import ModelSpec

__all__ = [
    "COLUMNS",
    "WORDS_HELP",
    "code_digest",
    "code_files",
    "described_models",
    "directory",
    "notes",
    "table_row",
    "weights_path",
    "weights_state",
]


COLUMNS = ("model", "family", "weights", "licence", "trained on", "fitted to", "architecture", "relatives", "note")
# The states of weights that need no network, and the word that chooses them.
HERE, OFFLINE = ("in the package", "cached"), "offline"
WORDS_HELP = (
    "only models of which every WORD is found in a field, such as equivariant, MPtrj, r2SCAN or self-supervised;"
    f" {OFFLINE} for those whose weights are here"
)


def directory() -> Path:
    """Folder of environments and code: `$PLATONIC_CACHE`, or the user's cache directory."""
    if chosen := os.environ.get("PLATONIC_CACHE"):
        return Path(chosen).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("platonic")


def code_files() -> list[Path]:
    """This package's files that an export needs, relative to the package: its code and the data that it reads."""
    package = Path(__file__).parent
    data = (registry.DATA, *package.glob("families/*.txt"))
    return sorted(file.relative_to(package) for file in (*package.rglob("*.py"), *data))


@functools.cache  # Asked for at every block that a worker writes.
def code_digest() -> str:
    """Digest of this package's code: the content of its files at the first call."""
    digest = hashlib.sha256()
    for file in code_files():
        digest.update(file.as_posix().encode() + (Path(__file__).parent / file).read_bytes())
    return digest.hexdigest()[:16]


def described_models(words: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Describe the models of this package: the fields of `registry.Model`, `relatives`, and where the `weights` are.

    Args:
        words: Only models of which each word is found in a field, in any case; `offline` are those whose weights are
            here.
    """
    described = [
        {
            **dataclasses.asdict(spec.model),
            "relatives": spec.model.relatives,
            "weights": weights_state(spec),
        }
        for spec in registry.models()
    ]
    return [model for model in described if all(_matches(model, word.lower()) for word in words)]


def _matches(model: dict[str, Any], word: str) -> bool:
    if word == OFFLINE:
        return model["weights"] in HERE
    return any(word in str(value).lower() for name, value in model.items() if name not in ("relatives", "sha256"))


def table_row(model: dict[str, Any]) -> tuple[str, ...]:
    """One of `described_models` in a table, in the order of `COLUMNS`."""
    plain = (model[field] for field in ("name", "family", "weights", "licence"))
    trained = "; ".join(str(model[field]) for field in ("training_data", "functional", "year") if model[field])
    size = [f"body order {model['body_order']}"] if model["body_order"] else []
    size += [f"{model['parameters']:,} parameters"] if model["parameters"] else []
    architecture = "; ".join([f"{model['network']}: {model['architecture']}", *size])
    related = ", ".join(f"{name} ({relation})" for name, relation in model["relatives"].items())
    return *plain, trained, model["supervision"], architecture, related, model["note"]


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

    Looks for files alone: no library is imported, no network asked. `unknown` if the family does not state where its
    library keeps them.
    """
    if spec.path:
        return "local file"
    if spec.model.packaged:
        return "in the package"
    if (folder := _weights_folder(spec.family)) is None:
        return "unknown"
    return "cached" if next(folder.glob(_weights_file(spec)), None) else "to be downloaded"


def weights_path(spec: ModelSpec) -> Path:
    """Return the path at which a family that states one keeps a model's weights, whether they are there or not."""
    return (_weights_folder(spec.family) or Path()) / _weights_file(spec)


def _weights_folder(family: registry.Family) -> Path | None:
    """The first of `Family.cache` whose variables are set."""
    variables = {**os.environ, "PLATONIC_CACHE": str(directory())}
    for folder in family.cache:
        with suppress(KeyError):
            return Path(Template(folder).substitute(variables)).expanduser()
    return None


def _weights_file(spec: ModelSpec) -> str:
    return spec.family.files.replace("{}", spec.model.file or spec.model.checkpoint)
