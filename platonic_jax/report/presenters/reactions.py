"""Presenter of reaction vectors and of energies read out from them."""

import itertools

import numpy as np

from platonic_jax.analyses import Groups, Reactions
from platonic_jax.charts import Spec, curve, dots, entries, lines, points, scattered
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import independent_groups

NAME = "reactions"
_MOST = 30  # Reactions that have a row each.


def title(result: Reactions) -> str:
    """Return the heading."""
    return result.equations[0] if len(result.equations) == 1 else "Energies from reaction vectors"


def intro(result: Reactions) -> str:
    """Summarise the input in a sentence."""
    number = len(result.equations)
    return f"{number:,} reaction{'' if number == 1 else 's'} as vectors of {', '.join(result.models)}."


def verdict(result: Reactions) -> list[str]:
    """State the errors of energies read out from reaction vectors, or else the largest changes of environments."""
    sentences = [
        f"{entry['name']} is {entry['id']}, chosen among {len(entry['phases'])} phases as {entry['because']}."
        for entry in result.phases
    ]
    if result.groups is None:
        largest = {model: result.equations[int(np.argmax(norm))] for model, norm in result.norms.items()}
        sentences += [f"{model}: the largest change of environments is in {one}." for model, one in largest.items()]
        return [" ".join(sentences)]
    baseline = result.errors["constant"]
    sentences.append(f"The constant-mean baseline has an MAE of {baseline:.3f} eV/atom.")
    for name in result.predicted:
        error = result.errors[name]
        below = ", below the baseline" if error.high < baseline.low else ", not significantly below it"
        sentences.append(f"A readout of {name} has {error:.3f}{below if baseline.bounded else ''}.")
    sentences.append(f"The {result.num_evaluated} reactions fall into {_groups(result.groups)}.")
    return [" ".join(sentences)]


def _groups(groups: Groups) -> str:
    return f"{groups.num} groups that share no compound, the largest of {groups.largest}; {independent_groups(groups)}"


def tables(result: Reactions) -> list[Table]:
    """Errors of energies where these are known, or else the norms of the reaction vectors."""
    if result.groups:
        rows = [(name, with_interval(entry)) for name, entry in result.errors.items()]
        title = f"{result.num_evaluated} reactions: mean absolute error, eV per atom (95 % CI)"
        caption = _groups(result.groups)
        return [Table(title, ("readout of", "MAE"), rows, caption=caption)]
    rows = [
        (equation, *(f"{norm[i]:.4f}" for norm in result.norms.values())) for i, equation in enumerate(result.equations)
    ]
    return [Table("change of environments, per atom", ("reaction", *result.norms), rows)]


def charts(result: Reactions) -> list[Spec]:
    """Predicted against known energies; and the norms of the reaction vectors."""
    axis = "norm of the reaction vector, per atom"
    if not result.errors:
        caption = "Change of environments per reacting atom."
        if len(result.equations) > _MOST:
            curves = [curve(model, range(1, len(norm) + 1), np.sort(norm)) for model, norm in result.norms.items()]
            return [lines(caption, curves, x="reactions, smallest change first", y=axis)]
        series = [entries(model, list(norm)) for model, norm in result.norms.items()]
        return [dots(caption, list(result.equations), series, axis=axis)]
    known = np.isfinite(result.energies)
    energies, names = result.energies[known], list(itertools.compress(result.equations, known))
    predicted = [
        scattered(name, energies, np.asarray(values)[known], text=names) for name, values in result.predicted.items()
    ]
    norms = [scattered(model, abs(energies), norm[known], text=names) for model, norm in result.norms.items()]
    return [
        dots(
            "Errors of energies, cross-validated over groups of reactions that share no compound.",
            list(result.errors),
            [entries("mean absolute error", list(result.errors.values()))],
            axis="mean absolute error, eV/atom",
        ),
        points(
            "Predicted against known energies, eV per reaction as written.",
            predicted,
            x="known energy, eV",
            y="predicted energy, eV",
            diagonal=True,
        ),
        points("Change of environments and energy of each reaction.", norms, x="|ΔE| as written, eV", y=axis),
    ]
