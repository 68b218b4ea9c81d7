"""What every result says: a module for each kind, with its heading, verdict, tables and charts.

To add one: a module with `NAME`, `title`, `intro`, `tables` and `charts`, and its line in `_MODULES`; and `verdicts`,
where the record's own `verdict` is not the whole of it.
"""

import dataclasses
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from platonic_jax import _html, studies
from platonic_jax.compare import Comparison
from platonic_jax.compare._record import plain
from platonic_jax.report import _comparison
from platonic_jax.report._part import Part, defined, figure, plain_settings, undefined
from platonic_jax.report._table import Table
from platonic_jax.report.results import (
    analogies,
    arithmetic,
    calibration,
    comparison,
    drift,
    phonons,
    polymorphs,
    reactions,
    stitching,
    sweep,
    symmetry,
    training,
    typicality,
)
from platonic_jax.sweep import Sweep
from platonic_jax.training import Trained

__all__ = ["name", "part", "tables", "verdicts"]

_MODULES: dict[type, ModuleType] = {
    Comparison: comparison,
    Sweep: sweep,
    Trained: training,
    studies.Analogies: analogies,
    studies.Arithmetic: arithmetic,
    studies.Calibration: calibration,
    studies.Drift: drift,
    studies.Phonons: phonons,
    studies.Polymorphs: polymorphs,
    studies.Reactions: reactions,
    studies.Stitching: stitching,
    studies.Symmetry: symmetry,
    studies.Typicality: typicality,
}


def name(found: Any) -> str:
    """The name of its files."""
    return _module(found).NAME


def verdicts(found: Any) -> list[str]:
    """What to make of it, a paragraph each."""
    module = _module(found)
    said = module.verdicts(found) if hasattr(module, "verdicts") else [found.verdict]
    return [defined(paragraph) for paragraph in said]


def tables(found: Any) -> list[Table]:
    """Its numbers; a dash where there is none."""
    return [_defined_table(table) for table in _module(found).tables(found)]


def part(found: Any, *, name: str | None = None) -> Part:
    """What it puts on the page.

    Args:
        found: a result; of symmetry, a list of them, one a model.
        name: of the part, where a page has several of a kind; that of its kind if left out.

    Returns:
        The part, which knows nothing of the page.
    """
    if isinstance(found, Comparison):
        return _comparison.part(found)
    module = _module(found)
    name = name or str(module.NAME)
    drawn = {f"{name}-{i}": chart for i, chart in enumerate(module.charts(found))}
    sections = {
        "figures": ("Figures", "".join(figure(place, caption, spec) for place, (caption, spec) in drawn.items())),
        "numbers": ("Numbers", "".join(table.to_html() for table in tables(found))),
        "provenance": ("Provenance", _provenance(found)),
    }
    return Part(
        name=name,
        title=module.title(found),
        intro=_html.prose(module.intro(found)),
        verdict=verdicts(found),
        sections={f"{name}-{of}": entry for of, entry in sections.items() if entry[1]},
        charts={place: spec for place, (_, spec) in drawn.items()},
    )


def _defined_table(table: Table) -> Table:
    cell = lambda i, text: "–" if i in table.numbers and undefined(text) else text
    return dataclasses.replace(table, rows=[[cell(i, text) for i, text in enumerate(row)] for row in table.rows])


def _module(found: Any) -> ModuleType:
    # Symmetry is a result for each model.
    one = found[0] if isinstance(found, Sequence) and found else found
    if type(one) not in _MODULES:
        raise TypeError(f"`found` must be a result of compare, sweep, training or studies, got {type(one).__name__}.")
    return _MODULES[type(one)]


def _provenance(found: Any) -> str:
    if isinstance(found, Sequence):
        return "".join(f"<h3>{_html.text(entry.model)}</h3>{_provenance(entry)}" for entry in found)
    return plain_settings(plain(found.settings)) + _stores(plain(found.provenance))


def _stores(provenance: dict[str, Any]) -> str:
    """Where the numbers come from: a fold for each model, and the rest."""
    nested = {key: value for key, value in provenance.items() if isinstance(value, dict)}
    flat = {key: value for key, value in provenance.items() if key not in nested}
    folds = "".join(
        f"<details><summary>{_html.text(key.replace('_', ' '))}</summary>{plain_settings(value)}</details>"
        for key, value in nested.items()
    )
    return plain_settings(flat) + folds
