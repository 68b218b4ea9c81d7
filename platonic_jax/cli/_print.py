"""Output of commands on the terminal: results as tables, and progress."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_adapters.terminal import printable

if TYPE_CHECKING:
    from platonic_jax.report import Table


def rich_table(table: "Table") -> Any:
    """Convert a table of a result for the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from platonic_jax import report

    printed = Table(
        title=Text(printable(table.title)) if table.title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        title_style="bold",
        caption=Text(printable(table.caption)) if table.caption else None,
        caption_justify="left",
    )
    for i, head in enumerate(table.heads):
        number = i not in table.words
        printed.add_column(Text(printable(head)), justify="right" if number else "left", no_wrap=number)
    for row in table.rows:
        printed.add_row(
            *(Text(printable(cell), style="bold" if isinstance(cell, report.Strong) else "") for cell in row)
        )
    return printed


def say(text: str) -> None:
    """Print a sentence."""
    console().print(printable(text), markup=False, highlight=False)


def say_file(what: str, path: str | Path) -> None:
    """Print the path of a file, never broken over lines, so that it can be copied."""
    console().print(printable(f"{what} {path}"), markup=False, highlight=False, soft_wrap=True)


def console() -> Any:
    """Return the console of stdout: as wide as the terminal, or without line breaks in files and pipes."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, total: bar.update(task, description=printable(what), completed=done, total=total)
