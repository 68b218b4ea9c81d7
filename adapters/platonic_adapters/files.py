"""Files as they are found: their kind, packing and encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platonic_adapters.errors import InputError, first_line

__all__ = ["PACKINGS", "encoding", "irregular", "unpacked", "unreadable"]

PACKINGS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
# A packed file may grow by so much, and beyond that to so many times its size.
UNPACKED_BYTES, UNPACKED_RATIO = 1 << 28, 200
# The longest first: a mark of UTF-32 begins with one of UTF-16.
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def irregular(path: Path) -> str | None:
    """The kind of what is not a regular file, nor a link to one; None for a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ("a link that leads nowhere" if path.is_symlink() else None) if not path.exists() else None
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode))


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The plain file behind a packed one: ASE seeks to each frame, quadratic inside a packed stream."""
    opener = PACKINGS.get(path.suffix.lower())
    if opener is None:
        yield path
        return
    most = max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="platonic-") as folder:
        plain = Path(folder) / path.stem
        try:
            with opener(path, "rb") as packed, plain.open("wb") as out:
                while chunk := packed.read(1 << 20):  # pyright: ignore[reportAttributeAccessIssue]
                    out.write(chunk)  # pyright: ignore[reportArgumentType]
                    if out.tell() > most:
                        raise InputError(
                            f"`{path}` unpacks to more than {UNPACKED_RATIO} times its size; unpack it yourself if it"
                            " is what you want."
                        )
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if getattr(error, "errno", None) is not None:  # of the disk, not of the packing
                raise
            raise unreadable(path, error) from error
        yield plain


def encoding(path: Path) -> str:
    """The encoding of a text file: UTF-8 with or without a mark, UTF-16, or Latin-1 where it is neither."""
    with path.open("rb") as file:
        head = file.read(4)
        for mark, name in MARKS.items():
            if head.startswith(mark):
                return name
        if head[1:2] == b"\0" or head[:1] == b"\0":
            return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8-sig"


def unreadable(path: Path, error: Exception) -> InputError:
    """The error of a file that no parser takes."""
    return InputError(
        f"`{path}` could not be read ({first_line(error)}); give a file that ASE reads, such as extended XYZ or CIF."
    )
