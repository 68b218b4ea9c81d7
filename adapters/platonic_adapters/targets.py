"""Checks of output paths before the work begins."""

from __future__ import annotations

import os
from pathlib import Path

from platonic_adapters.errors import UserError

__all__ = ["check_file", "check_folder"]


def check_file(option: str, path: str | Path | None) -> None:
    """Check that a file can be written; none if there is no path.

    Args:
        option: That names it, for the message.
        path: Of the file; its folder must exist.

    Raises:
        UserError: something else stands there, or the folder takes no files.
    """
    if path is None:
        return
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"`{option}` must be a file, got the {'folder' if path.is_dir() else 'device'} {path}.")
    _try(option, path.parent, path.name)


def check_folder(option: str, path: str | Path | None, *, files: tuple[str, ...] = ()) -> None:
    """Check that a folder can be made and written; make nothing yet. None if there is no path.

    Args:
        option: That names it, for the message.
        path: Of the folder, which may be absent.
        files: What is to be written into it.

    Raises:
        UserError: no folder can be there, or it takes no files.
    """
    if path is None:
        return
    path = Path(path).absolute()
    existing = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not existing.is_dir():
        raise UserError(f"`{option}` must be a folder, got `{path}`, where `{existing}` is none.")
    _try(option, existing, path.relative_to(existing).parts[0] if existing != path else "file")
    for name in files:
        if path.joinpath(name).is_dir():
            raise UserError(f"`{option}` must be a folder for {name}, got `{path}`, where that is a folder.")


def _try(option: str, folder: Path, name: str) -> None:
    trial = folder / f".{os.getpid()}.{name}"  # as long as the name that it is written under
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"`{option}` cannot be written into `{folder}`: {why}.") from None
