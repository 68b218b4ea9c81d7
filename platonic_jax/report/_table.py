"""A table of a result, as the command line prints it and the page shows it."""

import dataclasses
from collections.abc import Sequence

from platonic_jax import _html
from platonic_jax.analyses import Estimate
from platonic_jax.report._texts import number

__all__ = ["Strong", "Table", "with_interval"]


class Strong(str):
    """A cell that stands out."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """Plain texts in rows.

    Attributes:
        title: what it shows.
        heads: of the columns.
        rows: cells, as many as heads.
        words: the columns that hold words, set flush left; all others are numbers.
        caption: what stands below it.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = (0,)
    caption: str = ""

    @property
    def numbers(self) -> list[int]:
        """The columns that hold numbers."""
        return [i for i in range(len(self.heads)) if i not in self.words]

    def to_html(self, *, most: int | None = None, titled: bool = True) -> str:
        """Render the table, under its title or without, with the first rows if there are too many."""
        heads = [_html.text(head) for head in self.heads]
        rows = [[_cell(cell) for cell in row] for row in self.rows[:most]]
        more = len(self.rows) - len(rows)
        captions = [self.caption, f"{more} more rows are not shown" if more else ""]
        caption = "; ".join(filter(None, captions))
        below = f'<p class="muted">{_html.prose(caption)}</p>' if caption else ""
        title = f"<h3>{_html.prose(self.title)}</h3>" if titled else ""
        return f"{title}{_html.table(heads, rows, numbers=self.numbers)}{below}"


def with_interval(estimate: Estimate, *, unit: float = 1.0) -> str:
    """Write a number and its 95 % interval, where it has one, in units of `unit`, as a cell whose head names it."""
    value, low, high = (number(end / unit) for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})" if estimate.bounded else value


def _cell(cell: str) -> str:
    return f"<b>{_html.text(cell)}</b>" if isinstance(cell, Strong) else _html.text(cell)
