"""Helpers shared by all families."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path

from platonic_adapters import caches, processes, registry
from platonic_adapters.errors import DownloadError, UserError, first_line
from platonic_adapters.registry import ModelSpec

# The 89 elements of the Materials Project's calculations, and of OMat24's: up to Pu, without Po, At, Rn, Fr and Ra.
MATERIALS_PROJECT = frozenset(range(1, 95)) - frozenset(range(84, 89))


def file_checkpoint(path: Path, files: Sequence[str] = ()) -> dict[str, str]:
    """Return the `Adapter.checkpoint` of a file, or of `files` in a folder."""
    return {"name": path.name, "sha256": registry.digest(path, files)}


def random_checkpoint(name: str, seed: int, weights: Iterable[bytes]) -> dict[str, str]:
    """Return the `Adapter.checkpoint` of re-drawn weights in the architecture of `name`."""
    digest = hashlib.sha256()
    for part in weights:
        digest.update(part)
    return {"name": f"random weights, seed {seed}, in the architecture of {name}", "sha256": digest.hexdigest()}


def published(spec: ModelSpec, address: str, form: str) -> Path:
    """Return the published checkpoint of a model, from our cache or fetched into it.

    Args:
        spec: The model, of a family whose `cache` is ours.
        address: Where its authors publish it: the file, or the folder of `Family.folder`.
        form: How its path is passed instead, such as `cgcnn:PATH`.

    Raises:
        DownloadError: It is not in the cache and cannot be fetched.
    """
    path = caches.weights_path(spec)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with processes.temporary(".download-", path.parent) as folder:
            whole = folder / path.name
            try:
                if spec.family.folder:
                    whole.mkdir()
                    for name in spec.family.folder:
                        _fetch(f"{address}/{name}", whole / name)
                else:
                    _fetch(address, whole)
            except (OSError, HTTPException) as error:
                raise DownloadError(spec.name, path.name, f"its authors at {address}", form, error) from error
            whole.replace(path)
    return path


def _fetch(address: str, path: Path) -> None:
    with urllib.request.urlopen(address, timeout=60) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)


@contextmanager
def readable(path: Path, library: str) -> Iterator[None]:
    """Inside, whatever a library raises while it reads a file is the user's error: no checkpoint of that library."""
    try:
        yield
    except Exception as error:
        raise UserError(f"`{path}` is not a {library} checkpoint that can be loaded ({first_line(error)}).") from error


@contextmanager
def silence() -> Iterator[None]:
    """Inside, nothing is printed to stdout, on which libraries greet and report downloads."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield
