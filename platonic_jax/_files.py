"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name in the same folder, which takes the place of `path` at the end, and is gone if anything fails.

    Args:
        path: the file to write; the temporary name keeps its suffix.

    Yields:
        The name to write to.
    """
    target = Path(path)
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # safetensors makes files that nobody else may read.
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
