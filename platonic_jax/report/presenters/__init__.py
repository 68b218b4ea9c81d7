"""Presenters: one module for each kind of result, with its heading, verdict, tables and charts.

To add one: a module with `NAME`, `title`, `intro`, `tables` and `charts`, and its line in `_MODULES`; and `verdicts`,
where the record's own `verdict` is not the whole of it.
"""

import dataclasses
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from platonic_jax import _html, analyses
from platonic_jax.analyses import Comparison, Sweep, Training
from platonic_jax.analyses._result import plain
from platonic_jax.report import _comparison
from platonic_jax.report._part import Part, defined, figure, plain_settings, undefined
from platonic_jax.report._table import Table
from platonic_jax.report.presenters import (
    analogies,
    comparison,
    drift,
    error_ranking,
    expression,
    phonons,
    polymorphs,
    reactions,
    readout_transfer,
    sweep,
    symmetry,
    training,
    typicality,
)

__all__ = ["name", "part", "tables", "verdicts"]

_MODULES: dict[type, ModuleType] = {
    Comparison: comparison,
    Sweep: sweep,
    Training: training,
    analyses.Analogies: analogies,
    analyses.Expression: expression,
    analyses.ErrorRanking: error_ranking,
    analyses.Drift: drift,
    analyses.Phonons: phonons,
    analyses.Polymorphs: polymorphs,
    analyses.Reactions: reactions,
    analyses.ReadoutTransfer: readout_transfer,
    analyses.Symmetry: symmetry,
    analyses.Typicality: typicality,
}


def name(result: Any) -> str:
    """Return the base name of the result's files."""
    return _module(result).NAME


def verdicts(result: Any) -> list[str]:
    """Return the verdict, one string per paragraph."""
    module = _module(result)
    paragraphs = module.verdicts(result) if hasattr(module, "verdicts") else [result.verdict]
    return [defined(paragraph) for paragraph in paragraphs]


def tables(result: Any) -> list[Table]:
    """Return the tables of the result, with dashes for undefined numbers."""
    return [_defined_table(table) for table in _module(result).tables(result)]


def part(result: Any, *, name: str | None = None) -> Part:
    """Assemble the page content of the result.

    Args:
        result: a result; of symmetry, a list of them, one a model.
        name: of the part, where a page has several of a kind; that of its kind if left out.

    Returns:
        The part, which knows nothing of the page.
    """
    if isinstance(result, Comparison):
        return _comparison.part(result)
    module = _module(result)
    name = name or str(module.NAME)
    drawn = {f"{name}-{i}": chart for i, chart in enumerate(module.charts(result))}
    sections = {
        "figures": ("Figures", "".join(figure(place, caption, spec) for place, (caption, spec) in drawn.items())),
        "numbers": ("Numbers", "".join(table.to_html() for table in tables(result))),
        "provenance": ("Provenance", _provenance(result)),
    }
    return Part(
        name=name,
        title=module.title(result),
        intro=_html.prose(module.intro(result)),
        verdict=verdicts(result),
        sections={f"{name}-{key}": entry for key, entry in sections.items() if entry[1]},
        charts={place: spec for place, (_, spec) in drawn.items()},
    )


def _defined_table(table: Table) -> Table:
    cell = lambda i, text: "–" if i in table.numbers and undefined(text) else text
    return dataclasses.replace(table, rows=[[cell(i, text) for i, text in enumerate(row)] for row in table.rows])


def _module(result: Any) -> ModuleType:
    # Symmetry is a result for each model.
    one = result[0] if isinstance(result, Sequence) and result else result
    if type(one) not in _MODULES:
        raise TypeError(f"`found` must be a result of compare, sweep, training or studies, got {type(one).__name__}.")
    return _MODULES[type(one)]


def _provenance(result: Any) -> str:
    if isinstance(result, Sequence):
        return "".join(f"<h3>{_html.text(entry.model)}</h3>{_provenance(entry)}" for entry in result)
    return plain_settings(plain(result.settings)) + _stores(plain(result.provenance))


def _stores(provenance: dict[str, Any]) -> str:
    """Provenance of the numbers: a collapsible block for each model, and the rest."""
    nested = {key: value for key, value in provenance.items() if isinstance(value, dict)}
    flat = {key: value for key, value in provenance.items() if key not in nested}
    folds = "".join(
        f"<details><summary>{_html.text(key.replace('_', ' '))}</summary>{plain_settings(value)}</details>"
        for key, value in nested.items()
    )
    return plain_settings(flat) + folds
