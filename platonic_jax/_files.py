"""Files that are written whole or not at all, and tables that are read whole or refused."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platonic_adapters.files import encoding, irregular

__all__ = ["read_csv", "replacing"]


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


def read_csv(path: str | Path, name: str) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file with a heading, in UTF-8 (with or without a mark), UTF-16 or Latin-1.

    Args:
        path: the file.
        name: the argument that names it, for errors.

    Returns:
        The columns, without those that have no name; and each row by column, empty where it ends before.

    Raises:
        ValueError: no such file, repeated columns, or a row with more fields than the heading.
    """
    path = Path(path)
    if kind := irregular(path):
        raise ValueError(f"`{name}` must be a CSV file, got {str(path)!r}, which is {kind}.")
    if not path.is_file():
        raise ValueError(f"`{name}` must be a CSV file, got {str(path)!r}, which does not exist.")
    with path.open(newline="", encoding=encoding(path), errors="replace") as file:
        lines = csv.reader(file, skipinitialspace=True)
        try:
            heads = [head.strip() for head in next(lines, [])]
            rows = [row for row in lines if row]
        except csv.Error as error:
            raise ValueError(f"{str(path)!r} is not a CSV file: line {lines.line_num}, {error}.") from error
    columns = [head for head in heads if head]
    if repeated := next((head for head in columns if columns.count(head) > 1), None):
        raise ValueError(f"{str(path)!r} has two columns `{repeated}`; rename or remove one.")
    for number, row in enumerate(rows, start=1):
        if len(row) > len(heads):
            raise ValueError(
                f"{str(path)!r}: row {number} has {len(row)} fields, its heading has {len(heads)}; put text that "
                "holds a comma in quotes, and write decimals with a point."
            )
    filled = [[field.strip() for field in row] + [""] * (len(heads) - len(row)) for row in rows]
    return columns, [{head: field for head, field in zip(heads, row, strict=True) if head} for row in filled]
