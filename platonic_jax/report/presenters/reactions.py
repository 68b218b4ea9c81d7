"""Presenter of reaction vectors and of energies read out from them."""

import numpy as np

from platonic_jax.analyses import Reactions
from platonic_jax.analyses._intervals import meaning
from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval

NAME = "reactions"


def title(result: Reactions) -> str:
    """Return the heading."""
    return result.equations[0] if len(result.equations) == 1 else "Energies from reaction vectors"


def intro(result: Reactions) -> str:
    """Summarise the input in a sentence."""
    number = len(result.equations)
    return f"{number:,} reaction{'' if number == 1 else 's'} as vectors of {', '.join(result.models)}."


def tables(result: Reactions) -> list[Table]:
    """Errors of energies where these are known, or else the norms of the reaction vectors."""
    if result.errors:
        rows = [(name, with_interval(entry)) for name, entry in result.errors.items()]
        num = result.groups
        title = f"{num['reactions']} reactions: mean absolute error, eV per atom [95 % CI]"
        caption = f"{num['num']} groups that share no compound, the largest of {num['largest']}; {meaning(num)}"
        return [Table(title, ("readout of", "MAE"), rows, caption=caption)]
    rows = [
        (equation, *(f"{norm[i]:.4f}" for norm in result.norms.values())) for i, equation in enumerate(result.equations)
    ]
    return [Table("change of environments, per atom", ("reaction", *result.norms), rows)]


def charts(result: Reactions) -> list[tuple[str, _charts.Spec]]:
    """Predicted against known energies, or else the norms of the reaction vectors."""
    if result.errors:
        errors = list(result.errors)
        series = [_charts.entries("mean absolute error", [result.errors[name] for name in errors])]
        known = np.isfinite(result.energies)
        hover_text = [equation for equation, has in zip(result.equations, known, strict=True) if has]
        clouds = [
            _charts.scattered(name, np.asarray(result.energies)[known], np.asarray(values)[known], text=hover_text)
            for name, values in result.predicted.items()
        ]
        return [
            (
                "Errors of energies, cross-validated over groups of reactions that share no compound.",
                _charts.dots(errors, series, axis="eV per atom"),
            ),
            (
                "Predicted against known energies, eV per reaction as written.",
                _charts.points(clouds, x="known, eV", y="predicted, eV", diagonal=True),
            ),
        ]
    series = [_charts.entries(model, list(norm)) for model, norm in result.norms.items()]
    caption = "Change of environments per reacting atom."
    return [(caption, _charts.dots(list(result.equations), series, axis="length of the vector, per atom"))]
