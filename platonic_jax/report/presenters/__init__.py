"""Presenters: every word, table and chart of a result, one module for each analysis.

Each has `NAME`, the base name of its files, and `title`, `intro`, `verdict`, `tables` and `charts` of a result. It is
found by the name of the analysis in `analyses.ANALYSES`, and may replace the page content that is made of these by a
`part` of its own.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from platonic_jax import _html
from platonic_jax.analyses import ANALYSES
from platonic_jax.charts import Spec
from platonic_jax.report._part import Part, defined, figure, undefined
from platonic_jax.report._provenance import provenance
from platonic_jax.report._table import Table

__all__ = ["charts", "html", "name", "part", "tables", "verdict"]

_ROWS = 45  # Of a table that a notebook shows.


def name(result: Any) -> str:
    """Return the base name of the result's files."""
    return _presenter(result).NAME


def verdict(result: Any) -> list[str]:
    """Return the verdict, one string per paragraph."""
    return [defined(paragraph) for paragraph in _presenter(result).verdict(_given(result))]


def tables(result: Any) -> list[Table]:
    """Return the tables of the result, with dashes for undefined numbers."""
    return [_defined_table(table) for table in _presenter(result).tables(_given(result))]


def charts(result: Any) -> list[Spec]:
    """Return the charts of the result, as data."""
    return _presenter(result).charts(_given(result))


def part(result: Any, *, name: str | None = None) -> Part:
    """Assemble the page content of a result.

    Args:
        result: A result; of symmetry, a list of them, one a model.
        name: Name of the part, where a page has several of a kind; that of its kind if left out.
    """
    presenter = _presenter(result)
    if hasattr(presenter, "part"):
        return presenter.part(result)
    name = name or str(presenter.NAME)
    drawn = {f"{name}-{i}": chart for i, chart in enumerate(charts(result))}
    sections = {
        "figures": ("Figures", "".join(itertools.starmap(figure, drawn.items()))),
        "numbers": ("Numbers", "".join(table.to_html() for table in tables(result))),
        "provenance": ("Provenance", _provenance(result)),
    }
    return Part(
        name=name,
        title=presenter.title(_given(result)),
        intro=_html.prose(presenter.intro(_given(result))),
        verdict=verdict(result),
        sections={f"{name}-{key}": entry for key, entry in sections.items() if entry[1]},
        charts=drawn,
    )


def html(result: Any) -> str:
    """Render verdict and tables of a result for a notebook."""
    presenter = _presenter(result)
    paragraphs = [*verdict(result), presenter.intro(_given(result))]
    parts = [f"<p>{_html.prose(paragraph)}</p>" for paragraph in paragraphs]
    if hasattr(presenter, "answers"):
        _, answers = presenter.answers(result)
        parts.append(_html.facts((answer.question, answer.html) for answer in answers))
    parts += [table.to_html(most=_ROWS) for table in tables(result)]
    return _html.record(presenter.title(_given(result)), *parts)


def _presenter(result: Any) -> ModuleType:
    one = result[0] if isinstance(result, Sequence) and result else result
    for analysis in ANALYSES:
        if analysis.result == type(one).__name__:
            return analysis.presenter
    raise TypeError(f"`result` must be a result of an analysis, got {type(one).__name__}.")


def _given(result: Any) -> Any:
    """Symmetry is presented for several models at once."""
    several = getattr(_presenter(result), "SEVERAL", False)
    return [result] if several and not isinstance(result, Sequence) else result


def _defined_table(table: Table) -> Table:
    cell = lambda i, text: "–" if i in table.numbers and undefined(text) else text
    return dataclasses.replace(table, rows=[[cell(i, text) for i, text in enumerate(row)] for row in table.rows])


def _provenance(result: Any) -> str:
    if isinstance(result, Sequence):
        return "".join(f"<h3>{_html.text(entry.model)}</h3>{_provenance(entry)}" for entry in result)
    return provenance(result)
