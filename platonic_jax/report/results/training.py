"""Presenter of learned anchors and their results on held-out structures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from platonic_jax.report import _charts
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import measure_text, number
from platonic_jax.training import Trained

NAME = "learn"
_KINDS = {
    "trained": "trained models",
    "unseen": "with an unseen model",
    "control": "with an untrained control",
    "excess": "excess",
}
_MODELS = {"trained": "trained models", "unseen": "unseen models", "control": "random weights"}
_SPACES = {"plain": "random", "direct": "DIRECT", "learned": "learned"}
_BASELINES = {"constant": "none: constant mean", "composition": "none: composition baseline"}
_STYLES = {"plain": "null", "direct": "baseline", "learned": "model"}


def title(result: Trained) -> str:
    """Return the heading."""
    return f"A learned space for {', '.join(result.models[: result.num_trained])}"


def intro(result: Trained) -> str:
    """Summarise the input in a sentence."""
    return f"{len(result.anchors)} anchors; training ended: {result.stopped}."


def verdicts(result: Trained) -> list[str]:
    """A paragraph for agreement, and one for each task."""
    sentences = []
    for place, what in result.places.items():
        plain, learned = (result.judged[place][space] for space in ("plain", "learned"))
        changes = [
            f"{measure_text(name).title} {with_interval(plain[name]['trained'])} before and "
            f"{with_interval(learned[name]['trained'])} after"
            + (
                f" (excess over untrained controls {number(plain[name]['excess']['value'])} and "
                f"{number(learned[name]['excess']['value'])})"
                if "excess" in plain[name]
                else ""
            )
            for name in plain
        ]
        sentences.append(f"On held-out chemical systems, {what}: {'; '.join(changes)}.")
    for name, task in result.tasks.items():
        reduction = task["reduction"]["trained"]
        sentences.append(
            f"{name}: learned anchors reduce the held-out error of DIRECT anchors by {100 * reduction['value']:.0f} % "
            f"(95 % CI {100 * reduction['low']:.0f} to {100 * reduction['high']:.0f} %)."
        )
    return sentences or ["Nothing was evaluated: agreement needs two trained models, and a task its targets."]


def tables(result: Trained) -> list[Table]:
    """Agreement before and after, on held-out atoms of all elements and of one; then the errors of tasks."""
    return [
        *(_agreement(result, place, description) for place, description in result.places.items()),
        *(_task(result, name) for name in result.tasks),
    ]


def _agreement(result: Trained, place: str, description: str) -> Table:
    scores = result.judged[place]
    shown = [kind for kind in _KINDS if kind in scores["plain"]["procrustes"]]
    rows = [
        (measure_text(name).title, space, *(with_interval(scores[space][name][kind]) for kind in shown))
        for name in scores["plain"]
        for space in _spaces(scores)
    ]
    alone = "no untrained control among the stores"
    return Table(
        f"{scores['num_atoms']} held-out atoms, {description}: mean over pairs of models [95 % interval]",
        ("measure", "space", *(_KINDS[kind] for kind in shown)),
        rows,
        words=(0, 1),
        caption="" if "control" in shown else alone,
    )


def _task(result: Trained, name: str) -> Table:
    task = result.tasks[name]
    shown = [kind for kind in _MODELS if kind in task["learned"]]
    rows = [(label, *(with_interval(task[space][kind]) for kind in shown)) for space, label in _SPACES.items()]
    rows.append(("reduction, learned from DIRECT", *(with_interval(task["reduction"][kind]) for kind in shown)))
    rows += [(_BASELINES[what], *(with_interval(entry) for _ in shown)) for what, entry in task["baselines"].items()]
    title = f"{name}: {task['unit']} of a linear readout, {task['num']['judged']} held out [95 % interval]"
    return Table(title, ("anchors", *(_MODELS[kind] for kind in shown)), rows)


def charts(result: Trained) -> list[tuple[str, _charts.Spec]]:
    """Agreement before and after, and the course of training."""
    specs = []
    for place, description in result.places.items():
        scores = result.judged[place]
        names = list(scores["plain"])
        series = [
            _charts.entries(_SPACES[space], [scores[space][name]["trained"] for name in names], style=_STYLES[space])
            for space in _spaces(scores)
        ]
        rows = [measure_text(name).title for name in names]
        specs.append(
            (f"Agreement of trained models on held-out atoms, {description}.", _charts.dots(rows, series, axis="value"))
        )
    losses = np.asarray(result.losses)
    validation = np.asarray(result.validation_losses)
    series = [_charts.curve("training", np.arange(1, len(losses) + 1), losses, style="baseline")]
    if len(validation):
        series.append(_charts.curve("held-out chemical systems", *validation.T, markers=True))
    specs.append(("Training and validation loss.", _charts.lines(series, x="step", y="loss")))
    return specs


def _spaces(scores: Mapping[str, Any]) -> list[str]:
    return [space for space in _SPACES if space in scores]
