"""Checksums of files, a seal on attributes, and writing that survives the loss of power."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["checksum", "is_sealed", "sealed", "sync"]


def checksum(file: Path) -> str | None:
    """CRC-32 of a file in eight hexadecimal digits, or None where there is no such file.

    CRC-32C would not do: every chunk ends in its own, and the CRC-32C of data followed by their CRC-32C is the same for
    all data, so that two chunks could be exchanged unnoticed.
    """
    try:
        return f"{zlib.crc32(file.read_bytes()):08x}"
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with a `seal`: the SHA-256 of all the others as JSON with sorted keys."""
    return {**attributes, "seal": _digest(attributes)}


def is_sealed(attributes: Mapping[str, Any]) -> bool:
    """Test whether the attributes are those that were sealed."""
    return attributes.get("seal") == _digest(attributes)


def _digest(attributes: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in attributes.items() if k != "seal"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sync(files: Iterable[Path]) -> None:
    """Make sure that files, and their names up to four folders above, are on the disk."""
    if os.name == "nt":  # which opens no directories, and syncs no file opened for reading
        return
    files = list(files)
    folders = dict.fromkeys(folder for file in files for folder in file.parents[:4])
    for path in [*files, *folders]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
