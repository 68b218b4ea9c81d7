"""Output of commands: checks of paths before the work begins, and JSON to a file or to stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from platonic_adapters.errors import UserError

__all__ = ["STDOUT", "check_file", "check_folder", "json_alone", "write_json"]

STDOUT = "-"


def check_file(option: str, path: str | Path | None) -> None:
    """Check that a file can be written; none if there is no path.

    Args:
        option: That names it, for the message.
        path: Of the file; its folder must exist.

    Raises:
        UserError: something else stands there, or the folder takes no files.
    """
    if path is None or path == STDOUT:
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


@contextmanager
def json_alone(path: str | None) -> Iterator[None]:
    """Send everything but `write_json` to stderr while JSON goes to stdout."""
    if path != STDOUT or _stdout:
        yield
        return
    _stdout.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.pop()


_stdout: list[Any] = []


def write_json(content: Any, path: str | None) -> None:
    """Write JSON to a file, whole or not at all, or to stdout; nowhere if there is no path.

    Args:
        content: Dictionaries, lists, numbers and texts.
        path: Of the file, or `-`.
    """
    if not path:
        return
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if path == STDOUT:
        (_stdout[-1] if _stdout else sys.stdout).write(text)
        return
    partial = Path(path).with_name(f".{os.getpid()}.{Path(path).name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _try(option: str, folder: Path, name: str) -> None:
    trial = folder / f".{os.getpid()}.{name}"  # as long as the name that it is written under
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"`{option}` cannot be written into `{folder}`: {why}.") from None
