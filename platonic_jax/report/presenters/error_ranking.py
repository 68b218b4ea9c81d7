"""Presenter of the error ranking of scores."""

from collections.abc import Mapping

import numpy as np

from platonic_jax.analyses import ErrorRanking, Ranking
from platonic_jax.charts import Spec, curve, dots, entries, lines
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import listed

NAME = "error_ranking"
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


def verdict(result: ErrorRanking) -> list[str]:
    """Name the best score of each model, and compare it with baselines that need no embeddings."""
    sentences = [
        f"{sum(counts.values())} atoms without a value of {score} are left out "
        f"({listed(sorted(counts, key=lambda symbol, counts=counts: -counts[symbol]), most=_NAMED)})."
        for score, counts in result.left_out.items()
    ]
    sentences += [_model_verdict(result, model) for model in result.models]
    return [" ".join(sentences)]


def _model_verdict(result: ErrorRanking, model: str) -> str:
    scores = result.scores[model]
    # Within elements, unless there are too few atoms of any.
    place = "within" if all("within" in entries for entries in scores.values()) else "atoms"
    where = "within each element" if place == "within" else "over all elements (too few atoms of any one),"
    figures = {name: entries[place].rank_correlation for name, entries in scores.items()}
    rank = {name: np.nan_to_num(figure.value, nan=-1.0) for name, figure in figures.items()}
    of_embeddings = [name for name in figures if name not in result.baselines]
    if not of_embeddings:
        return f"{model}: no score of the embeddings was given."
    leader, best = max(of_embeddings, key=rank.__getitem__), max(rank, key=rank.__getitem__)
    sentence = (
        f"{model}: {where} the score of the embeddings that best ranks force errors is {leader}, with a rank "
        f"correlation of {figures[leader]:.2f}"
    )
    if best != leader:
        sentence += f"; the baseline {best} ranks them better, {figures[best]:.2f}"
    partial = scores[leader][place].given_force_size
    if partial is not None:
        shown = f"{partial:.2f}" if partial.low > 0 else "not significant"
        sentence += f". The partial rank correlation given the force magnitude is {shown}"
    return f"{sentence}."


def tables(result: ErrorRanking) -> list[Table]:
    """One table a model: a row for each score."""
    all_tables = []
    for model, scores in result.scores.items():
        places = _places(scores)
        rows = []
        for score, entry in scores.items():
            cells = [_cell(entry[place]) if place in entry else "–" for place in places]
            partial = entry["within"].given_force_size if "within" in entry else None
            rows.append((_named(result, score), *cells, with_interval(partial) if partial else "–"))
        all_tables.append(
            Table(
                f"{model}: rank correlation with its errors and AUROC of the worst tenth (95 % CI); mean "
                f"force error {result.errors[model]['force']['mean']:.3f} eV/Å on {result.num_atoms} atoms",
                ("score", *(_PLACES[place] for place in places), "partial, given the force magnitude"),
                rows,
            )
        )
    return all_tables


def charts(result: ErrorRanking) -> list[Spec]:
    """Of each model the rank correlations, and the error that is left where what scores most is left out."""
    specs = []
    for model, scores in result.scores.items():
        series = [
            entries(
                _PLACES[place],
                [ranking[place].rank_correlation if place in ranking else None for ranking in scores.values()],
            )
            for place in _places(scores)
        ]
        rows = [_named(result, score) for score in scores]
        caption = f"{model}: rank correlation of each score with its errors; 0 is no correlation."
        axis = f"rank correlation with errors of {model}"
        specs.append(dots(caption, rows, series, axis=axis, marks={"no correlation": 0.0}))
        curves = [
            curve(
                _named(result, score),
                entry["atoms"].coverage,
                entry["atoms"].risk,
                dash=score in result.baselines,
            )
            for score, entry in scores.items()
        ]
        caption = f"{model}: risk-coverage curve, the mean force error of the atoms of lowest score (lower is better)."
        y = f"mean force error of {model}, eV/Å"
        marks = [{"y": result.errors[model]["force"]["mean"], "name": "all atoms"}]
        specs.append(lines(caption, curves, x="share of atoms kept, lowest scores first", y=y, marks=marks))
    return specs


def _places(scores: Mapping[str, Mapping[str, Ranking]]) -> list[str]:
    return [place for place in _PLACES if any(place in entry for entry in scores.values())]


def _named(result: ErrorRanking, score: str) -> str:
    return f"{score} (baseline)" if score in result.baselines else score


def _cell(ranking: Ranking) -> str:
    return f"{with_interval(ranking.rank_correlation)}, {with_interval(ranking.worst_auroc)}"
