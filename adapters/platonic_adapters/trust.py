"""Checkpoints are code: a file of the user's is read as arrays alone, or not at all without a word of trust."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["VARIABLE", "arrays_alone", "foreign_code", "trusted"]

# `1`, or the SHA-256 of files that are trusted, separated by commas.
VARIABLE = "PLATONIC_TRUST"
# torch's own switches: the first makes every `torch.load` read arrays alone, whatever its caller asks for.
FORCED, FORBIDDEN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
# What a pickle of arrays and settings names, besides torch's own classes.
HARMLESS = {
    "_codecs encode",
    "builtins bytearray",
    "builtins complex",
    "builtins set",
    "collections Counter",
    "collections OrderedDict",
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray _reconstruct",
    "numpy._core.multiarray scalar",
}


def trusted(sha256: str) -> bool:
    """Test whether `$PLATONIC_TRUST` names a file, or all of them.

    Args:
        sha256: Of the file, hex.
    """
    given = {word.strip().lower() for word in os.environ.get(VARIABLE, "").split(",")}
    return "1" in given or sha256 in given


def foreign_code(path: Path) -> str | None:
    """Find the first thing that unpickling a file would import and that is no array; None where there is none.

    It answers early and in a sentence. What protects is `arrays_alone`.

    Args:
        path: A checkpoint, in torch's format or as a bare pickle; any other file names nothing.
    """
    if not zipfile.is_zipfile(path):
        return next(_imports(path.read_bytes()), None)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".pkl"):
                    for name in _imports(archive.read(member)):
                        return name
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
        return None  # the family's library says what is wrong with it
    return None


@contextmanager
def arrays_alone(*, active: bool) -> Iterator[None]:
    """Inside, torch unpickles arrays and plain settings only, whichever way a library calls it.

    Args:
        active: Whether it does.
    """
    if not active:
        yield
        return
    before = {name: os.environ.pop(name, None) for name in (FORCED, FORBIDDEN)}
    os.environ[FORCED] = "1"
    try:
        yield
    finally:
        del os.environ[FORCED]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _imports(data: bytes) -> Iterator[str]:
    """List what one pickle after another would import, up to the first bytes that are none."""
    stream = io.BytesIO(data)
    with suppress(ValueError, IndexError, UnicodeDecodeError, OverflowError):  # storages, or no pickle at all
        while stream.tell() < len(data):
            texts: list[str] = []
            for code, argument, _ in pickletools.genops(stream):
                if code.name in ("GLOBAL", "INST"):
                    if argument not in HARMLESS and not str(argument).startswith(("torch ", "torch.")):
                        yield str(argument).replace(" ", ".")
                elif code.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):  # torch's safe unpickler knows none of them
                    yield ".".join(texts[-2:])
                elif isinstance(argument, str):
                    texts.append(argument)
