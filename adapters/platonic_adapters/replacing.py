"""Directories that appear whole and are replaced whole: made beside their place, under a lock, and moved in at the end.

Beside `a.zarr` stands, while it is made or replaced, `.a.zarr.XXXXXXXX.partial` with `made` in it, which will be moved
to the place, and `replaced-1`, which stood there before. Its maker holds a lock on it, so whoever comes later can tell
what a dead run has left: it is put in its place if the run died in the middle of the move, and removed otherwise.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["Beside", "Lock", "collect", "recover"]


class Lock:
    """A lock on a directory, until it is closed or the process ends.

    Where directories cannot be locked (Windows, some network file systems) it is never `held`, and nobody waits.

    Raises:
        FileNotFoundError: no such directory.
    """

    def __init__(self, folder: Path, *, exclusive: bool, wait: bool = True) -> None:
        self.held = False
        self.descriptor: int | None = None
        if fcntl is None:
            folder.stat()
            return
        self.descriptor = os.open(folder, os.O_RDONLY)
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        with suppress(OSError):
            fcntl.flock(self.descriptor, kind | (0 if wait else fcntl.LOCK_NB))
            self.held = True

    def is_at(self, folder: Path) -> bool:
        """Test whether the locked directory is still there."""
        try:
            return self.descriptor is None or os.path.samestat(os.fstat(self.descriptor), folder.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release the lock."""
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor, self.held = None, False

    __del__ = close

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Beside:
    """A directory beside `path`, in which what will stand there is made; locked for as long as this object lives."""

    def __init__(self, path: Path, folder: Path, lock: Lock) -> None:
        self.path, self.folder, self.lock = path, folder, lock

    @classmethod
    def new(cls, path: Path) -> Beside:
        """An empty one, of this process."""
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
            with suppress(FileNotFoundError):  # another process took it for a dead one, and has removed it
                lock = Lock(folder, exclusive=True)
                if lock.is_at(folder):
                    return cls(path, folder, lock)

    @property
    def made(self) -> Path:
        """Path of the directory under construction, which will replace `path`."""
        return self.folder / "made"

    def move_in(self) -> bool:
        """Move what was made to `path`, if nothing stands there; whether it was."""
        try:
            self.made.rename(self.path)
        except OSError:
            if not (self.made.exists() and self.path.exists()):
                raise
            return False
        return True

    def swap_in(self) -> None:
        """Move what was made to `path`, in place of what stands there, when nobody holds a lock on that."""
        while not self.move_in():
            with suppress(FileNotFoundError), Lock(self.path, exclusive=True) as lock:
                if lock.is_at(self.path):
                    self.path.rename(self.folder / f"replaced-{len(list(self.folder.iterdir()))}")
                    if self.move_in():
                        return

    def recover(self) -> None:
        """If its maker died in the middle of a swap, end it."""
        if self.path.exists() or not (moved := sorted(self.folder.glob("replaced-*"))):
            return
        if self.made.exists():
            self.move_in()
        else:
            moved[-1].rename(self.path)

    def remove(self) -> None:
        """Remove it, and what is still in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.close()


def recover(path: Path) -> None:
    """End a swap of `path` in the middle of which its run has died."""
    for beside in _left_over(path):
        beside.recover()


def collect(path: Path, adopt: Callable[[Path], bool] = lambda _: False) -> Beside | None:
    """Clear away what dead runs have left beside `path`.

    Args:
        path: the place; where a swap was cut short, it is ended.
        adopt: whether the caller goes on with what such a run had made.

    Returns:
        The first that is adopted.
    """
    adopted = None
    for beside in _left_over(path):
        beside.recover()
        if adopted is None and beside.made.exists() and adopt(beside.made):
            adopted = beside
        else:
            beside.remove()
    return adopted


def _left_over(path: Path) -> Iterator[Beside]:
    """Return the remains of dead runs, now locked by this process."""
    for name in sorted(glob.glob(f".{glob.escape(path.name)}.*.partial", root_dir=path.parent)):
        folder = path.parent / name
        with suppress(FileNotFoundError, NotADirectoryError):
            lock = Lock(folder, exclusive=True, wait=False)
            if lock.held and lock.is_at(folder):
                yield Beside(path, folder, lock)
