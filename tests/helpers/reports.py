"""What must hold of the report of every result."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import jaxtyping
import numpy as np

from platonic_jax import plots, report


def check(found):
    """The part of a result on a page: whole, and kept as JSON the same; returned for what else a test knows of it."""
    part, tables = report.part(found), report.tables(found)
    assert report.Part(**json.loads(json.dumps(asdict(part), allow_nan=False))).charts.keys() == part.charts.keys()
    page = report.page([part])
    assert page.count("<table") >= len(tables) >= 1
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.heads)}
        assert all(isinstance(cell, str) and "nan" not in cell for row in table.rows for cell in row)
    content = "".join(content for _, content in part.sections.values())
    assert re.findall(r'data-chart="([^"]+)"', content) == list(part.charts)
    for spec in part.charts.values():
        _check_chart(spec)
    assert all(said and said[-1] in ".:" for said in part.verdict)
    for result in found if isinstance(found, Sequence) else [found]:
        check_saved(result)
    return part


def check_saved(result):
    """A result is read as it was written; and each of its estimates is a row of its frame."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        result.save(path)
        jaxtyping.config.update("jaxtyping_disable", True)  # What is not saved is None, whatever its annotation.
        try:
            loaded = type(result).load(path)
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)
    expected = result.to_json()
    assert "verdict" in expected
    assert loaded.to_json() == expected
    assert len(result.to_frame()) == len(loaded.to_frame())
    assert loaded._repr_html_()
    assert report.page([report.part(loaded)])
    return loaded


def _check_chart(spec):
    """Every value has a place, and the figure for papers shows the same numbers as the page."""
    drawn = [np.array(line.get_data(), float) for line in plots.draw(spec).lines]
    shows = lambda x, y: any(np.array_equal(line, np.array([x, y], float), equal_nan=True) for line in drawn)
    assert spec["caption"][-1] == "."
    assert spec["series"] or spec["kind"] == "matrix"
    for series in spec["series"]:
        if spec["kind"] == "dots":
            assert all(len(series[end]) == len(spec["rows"]) for end in ("value", "low", "high"))
            assert any(np.array_equal(line[0], np.array(series["value"], float), equal_nan=True) for line in drawn)
            for low, value, high in zip(series["low"], series["value"], series["high"], strict=True):
                if None not in (low, value, high):  # Digits are cut after the sixth.
                    assert low - 1e-5 * abs(low) <= value <= high + 1e-5 * abs(high)
        else:
            assert len(series["x"]) == len(series["y"]) > 0
            assert shows(series["x"], series["y"])
    if spec["kind"] == "dots":
        seen = np.array([[value is not None for value in series["value"]] for series in spec["series"]])
        assert seen.any(axis=0).all(), "a row without a value"
        assert seen.any(axis=1).all(), "a series without a value"
