"""A table of a result, as the command line prints it and the page shows it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from platonic_jax import _html
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

    def to_html(self) -> str:
        """The table under its title."""
        heads = [_html.text(head) for head in self.heads]
        rows = [[_cell(cell) for cell in row] for row in self.rows]
        below = f'<p class="muted">{_html.prose(self.caption)}</p>' if self.caption else ""
        return f"<h3>{_html.prose(self.title)}</h3>{_html.table(heads, rows, numbers=self.numbers)}{below}"


def with_interval(entry: Mapping[str, float], *, unit: float = 1.0) -> str:
    """A number and its 95 % interval, where it has one, in units of `unit`."""
    value, low, high = (number(entry[end] / unit) for end in ("value", "low", "high"))
    bounded = math.isfinite(entry["low"]) or math.isfinite(entry["high"])
    return f"{value} [{low} to {high}]" if bounded else value


def _cell(cell: str) -> str:
    return f"<b>{_html.text(cell)}</b>" if isinstance(cell, Strong) else _html.text(cell)
