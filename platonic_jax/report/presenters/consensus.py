"""Presenter of the consensus of several models."""

import numpy as np

from platonic_jax.analyses import Consensus, Estimate
from platonic_jax.charts import Spec, dots, entries
from platonic_jax.report._table import Strong, Table, with_interval
from platonic_jax.report._texts import number, series

NAME = "consensus"
_BASELINES = ("composition", "constant")


def title(result: Consensus) -> str:
    """Return the heading."""
    return f"Consensus of {series(result.models)}"


def intro(result: Consensus) -> str:
    """Summarise the input in a sentence."""
    num = result.num
    return (
        f"Readouts fitted on {num['fitted']:,} structures, the best single model chosen on {num['validated']:,}, and "
        f"evaluated on {num['evaluated']:,} structures of {num['systems']:,} unseen chemical systems."
    )


def verdict(result: Consensus) -> list[str]:
    """Compare the errors of the consensus and of the best single model, and state the similarities."""
    gain, word = (-result.gain, "more") if result.gain.value < 0 else (result.gain, "less")
    certain = "" if result.gain.low > 0 or result.gain.high < 0 else ", which is not significant"
    consensus, single, composition = (result.errors[name] for name in ("consensus", result.best, "composition"))
    near = "; ".join(f"{name} {_similarity(entry)}" for name, entry in result.similarities.items())
    return [
        f"On unseen chemical systems the consensus of {series(result.models)} has a mean absolute error of "
        f"{consensus:.3f}, {gain:.0%} {word} than {result.best}, the best single model on the validation set, which "
        f"has {single:.3f}{certain}. The composition baseline has {composition:.3f}.",
        f"Procrustes similarity to the consensus of the other trained models: {near}.",
    ]


def _similarity(estimate: Estimate) -> str:
    p_value = np.nan if estimate.p is None else estimate.p
    tested = f"p = {p_value:.2g}" if np.isfinite(p_value) else "cannot be tested"
    return f"{estimate:.2f}, {estimate.effect:.2f} beyond the element, {tested}"


def tables(result: Consensus) -> list[Table]:
    """Errors of the readouts, and similarities to the consensus."""
    errors = [
        (
            Strong(name) if name == result.best else name,
            with_interval(error),
            number(result.validation_errors[name]) if name in result.validation_errors else "–",
        )
        for name, error in result.errors.items()
    ]
    similarities = [
        (name, with_interval(entry), number(entry.null), with_interval(entry.effect), number(entry.p))
        for name, entry in result.similarities.items()
        if entry.null is not None and entry.effect is not None and entry.p is not None
    ]
    num = result.num
    return [
        Table(
            "Mean absolute error of a linear readout (95 % CI)",
            ("embeddings", "test set", "validation set"),
            errors,
            caption=f"{num['evaluated']} structures of {num['systems']} chemical systems in the test set",
        ),
        Table(
            "Procrustes similarity to the consensus of the other trained models (95 % CI)",
            ("model", "similarity", "permuted within element", "effect", "p"),
            similarities,
            caption=f"{num['tested_groups']} of {num['groups']} elements tested, {num['movable_atoms']} of "
            f"{num['test_atoms']} atoms can be exchanged",
        ),
    ]


def charts(result: Consensus) -> list[Spec]:
    """Errors of every readout, and similarities beside their nulls."""
    rows = list(result.errors)
    styles = {name: "baseline" if name in _BASELINES else "model" for name in rows}
    series_of = lambda style: [result.errors[name] if styles[name] == style else None for name in rows]
    errors = [
        entries("readouts", series_of("model")),
        entries("baselines", series_of("baseline"), style="baseline"),
    ]
    names, estimates = list(result.similarities), list(result.similarities.values())
    similarities = [
        entries("similarity", estimates),
        entries("permuted within element", [estimate.null for estimate in estimates], style="null"),
    ]
    return [
        dots("Errors of a linear readout on unseen chemical systems.", rows, errors, axis="mean absolute error"),
        dots(
            "Similarity to the consensus of the other trained models.",
            names,
            similarities,
            axis="Procrustes similarity to the consensus",
        ),
    ]
