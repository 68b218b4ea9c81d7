"""Presenter of the error ranking of scores."""

from typing import Any

from platonic_jax.analyses import ErrorRanking
from platonic_jax.analyses._intervals import listed
from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval

NAME = "calibration"
_NAMED = 5  # Elements of what is left out.
_PLACES = {
    "atoms": "force error of atoms",
    "within": "within each element",
    "structures": "energy error of structures",
}


def title(result: ErrorRanking) -> str:
    """Return the heading."""
    return f"Error ranking of {' and '.join(result.models)}"


def intro(result: ErrorRanking) -> str:
    """Summarise the input in a sentence."""
    left_out = "".join(
        f" {sum(counts.values()):,} more have no {score} ({listed(list(counts), most=_NAMED)})."
        for score, counts in result.left_out.items()
    )
    return f"{result.num_atoms:,} atoms of {result.num_structures:,} structures with known forces.{left_out}"


def tables(result: ErrorRanking) -> list[Table]:
    """One table a model: a row for each score."""
    all_tables = []
    for model, scores in result.scores.items():
        places = _places(scores)
        rows = []
        for score, entry in scores.items():
            beyond = entry.get("within", {}).get("beyond_force_size")
            cells = [_cell(entry[place]) if place in entry else "–" for place in places]
            rows.append((_named(result, score), *cells, with_interval(beyond) if beyond else "–"))
        all_tables.append(
            Table(
                f"{model}: rank correlation with its errors, AUROC of the worst tenth [95 % CI of each]; mean "
                f"force error {result.errors[model]['force']['mean']:.3f} eV/Å on {result.num_atoms} atoms",
                ("score", *(_PLACES[place] for place in places), "partial, given the force magnitude"),
                rows,
            )
        )
    return all_tables


def charts(result: ErrorRanking) -> list[tuple[str, _charts.Spec]]:
    """Of each model the rank correlations, and the error that is left where what scores most is left out."""
    specs = []
    for model, scores in result.scores.items():
        series = [
            _charts.entries(
                _PLACES[place],
                [entry[place]["rank_correlation"] if place in entry else None for entry in scores.values()],
            )
            for place in _places(scores)
        ]
        rows = [_named(result, score) for score in scores]
        caption = f"{model}: rank correlation of each score with its errors; 0 is chance."
        specs.append((caption, _charts.dots(rows, series, axis="rank correlation", marks={"chance": 0.0})))
        curves = [
            _charts.curve(
                _named(result, score),
                entry["atoms"]["curve"]["coverage"],
                entry["atoms"]["curve"]["error"],
                style="baseline" if score in result.baselines else "model",
            )
            for score, entry in scores.items()
        ]
        caption = f"{model}: risk-coverage curve, the mean force error of the atoms of lowest score (lower is better)."
        specs.append((caption, _charts.lines(curves, x="share of atoms kept", y="mean force error, eV/Å")))
    return specs


def _places(scores: Any) -> list[str]:
    return [place for place in _PLACES if any(place in entry for entry in scores.values())]


def _named(result: ErrorRanking, score: str) -> str:
    return f"{score} (baseline)" if score in result.baselines else score


def _cell(entry: Any) -> str:
    return f"{with_interval(entry['rank_correlation'])}, {with_interval(entry['worst_auroc'])}"
