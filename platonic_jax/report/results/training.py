"""Learned anchors, and what they are worth on held-out structures."""

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
    "control": "with a random-weight model",
    "excess": "excess",
}
_MODELS = {"trained": "trained models", "unseen": "unseen models", "control": "random weights"}
_SPACES = {"plain": "random", "direct": "DIRECT", "learned": "learned"}
_BASELINES = {"constant": "none: a constant", "composition": "none: the composition alone"}
_STYLES = {"plain": "null", "direct": "baseline", "learned": "model"}


def title(found: Trained) -> str:
    """The heading."""
    return f"A learned space for {', '.join(found.models[: found.num_trained])}"


def intro(found: Trained) -> str:
    """What was looked at."""
    return f"{len(found.anchors)} anchors; training ended: {found.stopped}."


def verdicts(found: Trained) -> list[str]:
    """A paragraph for agreement, and one for each task."""
    told = []
    for place, what in found.places.items():
        plain, learned = (found.judged[place][space] for space in ("plain", "learned"))
        said = [
            f"{measure_text(name).title} {with_interval(plain[name]['trained'])} before and "
            f"{with_interval(learned[name]['trained'])} after"
            + (
                f" (beyond models with random weights {number(plain[name]['excess']['value'])} and "
                f"{number(learned[name]['excess']['value'])})"
                if "excess" in plain[name]
                else ""
            )
            for name in plain
        ]
        told.append(f"On held-out chemical systems, {what}: {'; '.join(said)}.")
    for name, task in found.tasks.items():
        of = task["reduction"]["trained"]
        told.append(
            f"{name}: learned anchors reduce the held-out error of DIRECT's by {100 * of['value']:.0f} % "
            f"({100 * of['low']:.0f} to {100 * of['high']:.0f} %)."
        )
    return told or ["Nothing was judged: agreement needs two trained models, and a task its targets."]


def tables(found: Trained) -> list[Table]:
    """Agreement before and after, on held-out atoms of all elements and of one; then the errors of tasks."""
    return [
        *(_agreement(found, place, told) for place, told in found.places.items()),
        *(_task(found, name) for name in found.tasks),
    ]


def _agreement(found: Trained, place: str, told: str) -> Table:
    judged = found.judged[place]
    shown = [kind for kind in _KINDS if kind in judged["plain"]["procrustes"]]
    rows = [
        (measure_text(name).title, space, *(with_interval(judged[space][name][kind]) for kind in shown))
        for name in judged["plain"]
        for space in _spaces(judged)
    ]
    alone = "no model with random weights among the stores: how much is chance is not told"
    return Table(
        f"{judged['num_atoms']} held-out atoms, {told}: mean over pairs of models [95 % interval]",
        ("measure", "space", *(_KINDS[kind] for kind in shown)),
        rows,
        words=(0, 1),
        caption="" if "control" in shown else alone,
    )


def _task(found: Trained, name: str) -> Table:
    task = found.tasks[name]
    shown = [kind for kind in _MODELS if kind in task["learned"]]
    rows = [(told, *(with_interval(task[space][kind]) for kind in shown)) for space, told in _SPACES.items()]
    rows.append(("reduction, learned from DIRECT", *(with_interval(task["reduction"][kind]) for kind in shown)))
    rows += [(_BASELINES[what], *(with_interval(entry) for _ in shown)) for what, entry in task["baselines"].items()]
    title = f"{name}: {task['unit']} of a linear read-out, {task['num']['judged']} held out [95 % interval]"
    return Table(title, ("anchors", *(_MODELS[kind] for kind in shown)), rows)


def charts(found: Trained) -> list[tuple[str, _charts.Spec]]:
    """Agreement before and after, and the course of training."""
    made = []
    for place, told in found.places.items():
        judged = found.judged[place]
        names = list(judged["plain"])
        series = [
            _charts.entries(_SPACES[space], [judged[space][name]["trained"] for name in names], style=_STYLES[space])
            for space in _spaces(judged)
        ]
        rows = [measure_text(name).title for name in names]
        made.append(
            (f"Agreement of trained models on held-out atoms, {told}.", _charts.dots(rows, series, axis="value"))
        )
    losses = np.asarray(found.losses)
    validation = np.asarray(found.validation_losses)
    series = [_charts.curve("training", np.arange(1, len(losses) + 1), losses, style="baseline")]
    if len(validation):
        series.append(_charts.curve("held-out chemical systems", *validation.T, markers=True))
    made.append(("The course of training.", _charts.lines(series, x="step", y="loss")))
    return made


def _spaces(judged: Mapping[str, Any]) -> list[str]:
    return [space for space in _SPACES if space in judged]
