"""Estimates are written in one way; results are read as they were written, whatever they hold."""

import json
import subprocess
import sys
from pathlib import Path

import comparisons
import numpy as np
import pytest
import reports

from platonic_jax import analyses
from platonic_jax.analyses import Curve, Estimate, Sweep, plain


def polymorphs():
    figures = {"identity": Estimate.around(0.75, 0.125), "separation": Estimate.around(0.5, 0.125)}
    return analyses.Polymorphs(["a"], {"a": {"mean": figures}}, {}, {}, {}, {}, {})


def sweep():
    value = np.array([[0.2, 0.4], [0.4, 0.6]])
    curve = Curve(value, value - 0.05, value + 0.05, np.full((2, 2), np.nan), [10, None])
    return Sweep(["a", "b"], ["model"] * 2, [(0, 1)], [10, 30], {"cka": {"direct": curve}}, {"chance": []}, {})


@pytest.mark.parametrize(
    ("estimate", "spec", "text"),
    [
        (Estimate(0.27, 0.23, 0.31), ".2f", "0.27 (95 % CI 0.23 to 0.31)"),
        (Estimate(0.27, 0.23, 0.31), ".0%", "27 % (95 % CI 23 to 31 %)"),
        (Estimate(0.27, 0.23, 0.31), "", "0.27 (95 % CI 0.23 to 0.31)"),
        (Estimate(0.27), ".2f", "0.27 (no interval)"),
        (Estimate(0.27), ".0%", "27 % (no interval)"),
        (Estimate(np.nan), ".2f", "undefined"),
    ],
)
def test_an_estimate_is_written_with_its_interval(estimate, spec, text):
    assert f"{estimate:{spec}}" == text


def test_an_estimate_in_another_unit_and_with_another_sign():
    estimate = Estimate(0.2, 0.1, 0.4, null=0.1, p=0.01, method="bootstrap")
    assert estimate.scaled(1000.0) == Estimate(200.0, 100.0, 400.0, method="bootstrap")
    assert -estimate == Estimate(-0.2, -0.4, -0.1, method="bootstrap")


def test_an_interval_around_a_value_stays_within_limits():
    assert Estimate.around(0.5, 0.25) == Estimate(0.5, 0.25, 0.75)
    assert Estimate.around(0.75, 0.5, limits=(0.5, 1.0), p=0.5) == Estimate(0.75, 0.5, 1.0, p=0.5)
    assert not Estimate.around(0.5, np.nan).bounded


def test_an_estimate_as_json_has_no_more_than_it_knows():
    effect = Estimate(0.1)
    assert plain(Estimate(0.2, 0.1, 0.4)) == {"value": 0.2, "low": 0.1, "high": 0.4}
    assert plain(Estimate(0.2, null=0.1, effect=effect, p=np.nan)) == {
        "value": 0.2,
        "low": None,
        "high": None,
        "null": 0.1,
        "effect": {"value": 0.1, "low": None, "high": None},
        "p": None,
    }


def test_a_comparison_and_a_sweep_are_read_as_they_were_written():
    """The others are where they are computed: `reports.check`."""
    reports.check_saved(comparisons.make())
    assert reports.check_saved(sweep()).verdict.endswith("not stable: use more anchors.")


def test_another_file_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "other.json"
    comparisons.make().save(path)
    for content in (path.read_text(), "[1, 2]", "no JSON", "{}", json.dumps({"models": ["a"]})):
        path.write_text(content)
        with pytest.raises(
            ValueError, match=r"^'.*other.json' is not the JSON of a Drift: give one that `save` wrote\.$"
        ):
            analyses.Drift.load(path)


def test_each_estimate_is_a_row_of_the_frame():
    frame = polymorphs().to_frame()
    assert frame["quantity"].tolist() == ["within.a.mean.identity", "within.a.mean.separation"]
    assert frame[["value", "low", "high"]].to_numpy().tolist() == [[0.75, 0.625, 0.875], [0.5, 0.375, 0.625]]
    assert "p" not in frame
    pairs = comparisons.make().to_frame()
    assert len(pairs) == 3 * 10
    assert pairs.loc[1, ["measure", "model", "other"]].tolist() == ["procrustes", "7net-0", "chgnet-r2scan"]
    assert pairs.loc[1, "value"] == 0.9


@pytest.mark.parametrize("make", [comparisons.make, sweep], ids=["Comparison", "Sweep"])
def test_the_verdict_is_in_the_json(make):
    result = make()
    assert result.to_json()["verdict"] == result.verdict
    assert result.verdict.endswith(".")


def test_words_need_neither_matplotlib_nor_plotly():
    """Where they cannot be imported; that of optimal transport imports matplotlib where it is there."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('matplotlib', 'plotly')))\n"
        "import comparisons; from platonic_jax import report\n"
        "made = comparisons.make()\n"
        "print(made.verdict, report.verdict(made), report.tables(made), made._repr_html_())\n"
        "assert 'platonic_jax.plots' not in sys.modules"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(comparisons.__file__).parent, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
