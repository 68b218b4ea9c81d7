"""Values against the number of anchors."""

from collections.abc import Iterator

import numpy as np

from platonic_jax.analyses import PCA, Estimate, Layers, Sweep
from platonic_jax.charts import Spec, curve, lines
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import measure_text, number

NAME = "sweep"
_FEW = 6  # Pairs of models that are drawn each.


def title(result: Sweep) -> str:
    """Return the heading."""
    return f"Similarity of {len(result.models)} models against the number of anchors"


def intro(result: Sweep) -> str:
    """Summarise the input in a sentence."""
    return (
        f"Means over {len(result.pairs)} pair{'' if len(result.pairs) == 1 else 's'} of models, of "
        f"{', '.join(result.models)}, with {', '.join(str(k) for k in result.ks)} anchors."
    )


def verdict(result: Sweep) -> list[str]:
    """State value and stability of each measure, a paragraph for each."""
    return [" ".join(_sentences(result, name)) for name in result.curves]


def _sentences(result: Sweep, name: str) -> Iterator[str]:
    most = result.ks[-1]
    for method, entry in result.curves[name].items():
        if method == PCA:
            continue
        estimate = Estimate(entry.value[-1, -1], entry.low[-1, -1], entry.high[-1, -1])
        stable = entry.stable_from[-1]
        text = f"{measure_text(name).title} with {most} anchors, {_method(method)}"
        says = f"stable from {stable} anchors on" if stable else "not stable: use more anchors"
        yield f"{text}: {estimate:.2f}, {says}."


def tables(result: Sweep) -> list[Table]:
    """One table a measure: the mean over pairs; then layer against layer, where that was asked for."""
    all_tables = []
    for name, curves in result.curves.items():
        rows = []
        for method, entry in curves.items():
            stable = entry.stable_from[-1]
            chance = method in result.settings["chance"]
            rows.append(
                (
                    _method(method),
                    *(number(value) for value in entry.value[:, -1]),
                    f"{number(entry.low[-1, -1])} to {number(entry.high[-1, -1])}",
                    f"± {number(entry.spread[-1, -1])}" if chance else "–",
                    f"K = {stable}" if stable else "–",
                )
            )
        all_tables.append(
            Table(
                f"{measure_text(name).title}, mean over pairs of models",
                ("anchors", *(f"K = {k}" for k in result.ks), "95 % CI", "over anchor sets", "stable from"),
                rows,
                caption="interval and spread at the largest K",
            )
        )
    return [*all_tables, *(_layers(entry) for entry in result.layers)]


def _layers(result: Layers) -> Table:
    rows = []
    for name, entry in result.measures.items():
        (first, second), best = entry.best, entry.best_estimate
        rows.append(
            (
                measure_text(name).title,
                f"{result.names[0][first]} – {result.names[1][second]}",
                with_interval(best),
                number(best.value - best.null) if best.null is not None else "–",
                number(best.p) if best.p is not None else "–",
            )
        )
    return Table(
        f"Layers of {result.models[0]} and {result.models[1]}: the pair that agrees most beyond the element",
        ("measure", "layers", "value (95 % CI)", "effect beyond the element", "p, corrected"),
        rows,
        words=(0, 1),
    )


def charts(result: Sweep) -> list[Spec]:
    """One chart a measure: a curve for each way to choose anchors."""
    ticks = ([float(k) for k in result.ks], [str(k) for k in result.ks])
    few = 1 < len(result.pairs) <= _FEW
    specs = []
    for name, curves in result.curves.items():
        series = [
            curve(
                _method(method),
                result.ks,
                entry.value[:, -1],
                low=entry.low[:, -1],
                high=entry.high[:, -1],
                spread=entry.spread[:, -1] if np.isfinite(entry.spread).all() else None,
                strands=entry.value[:, :-1].T if few else (),
                style="baseline" if method == PCA else "model",
                dash=method == PCA,
                markers=True,
            )
            for method, entry in curves.items()
        ]
        stable = [(entry.stable_from[-1], entry.value[:, -1]) for entry in curves.values()]
        if rings := [(k, value[result.ks.index(k)]) for k, value in stable if k]:
            series.append(curve("stable from here", *zip(*rings, strict=True), style="ring", markers=True))
        title = measure_text(name).title
        caption = (
            f"{title}, mean over pairs of models{', which are thin lines' if few else ''}: bars are 95 % intervals "
            "over structures, bands one standard deviation over choices of anchors."
        )
        specs.append(lines(caption, series, x="number of anchors K", y=title, log_x=True, ticks=ticks))
    return specs


def _method(method: str) -> str:
    return "none: K principal components" if method == PCA else method.replace("_", " ")
