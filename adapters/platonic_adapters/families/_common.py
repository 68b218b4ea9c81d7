"""Helpers shared by all families."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from platonic_adapters import registry
from platonic_adapters.errors import UserError, first_line

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
