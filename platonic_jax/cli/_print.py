"""What commands say on the terminal: results as tables, and how far they have come."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platonic_jax.compare import Comparison
    from platonic_jax.sweep import Layers, Sweep
    from platonic_jax.training import Trained


def comparison_tables(comparison: "Comparison") -> Iterator[Any]:
    """One table a measure, the most similar pair first."""
    from rich.text import Text

    from platonic_jax import plots, report

    names = plots.labels(comparison)
    for name, measure in comparison.measures.items():
        table = new_table(report.measure_text(name).title)
        table.add_column("models")
        for head in ("value", "95 % interval", *(head for null in measure.nulls for head in (null, "p"))):
            table.add_column(head, justify="right", no_wrap=True)
        for i, j, _ in plots.ranked_pairs(comparison, name):
            at = lambda array, i=i, j=j: report.number(array[i, j])
            table.add_row(
                Text(f"{names[i]} – {names[j]}"),
                Text(at(measure.value), style="bold"),
                f"{at(measure.low)} to {at(measure.high)}",
                *(at(array) for null in measure.nulls.values() for array in null),
            )
        yield table


def resolved_tables(comparison: "Comparison") -> Iterator[Any]:
    """One table a grouping: means over pairs of models, within each group, beside their nulls within elements."""
    from platonic_jax import plots, report

    for kind, resolved in comparison.resolved.items():
        table = new_table(f"By {kind}, mean over pairs of models (shuffled within element)")
        table.add_column(kind)
        for head in ("atoms", "structures", *(name.replace("_", " ") for name in resolved.measures)):
            table.add_column(head, justify="right", no_wrap=True)
        means = [plots.means_within(comparison, kind, name) for name in resolved.measures]
        for g, label in enumerate(resolved.labels):
            cells = [f"{report.number(value[g])} ({report.number(null[g])})" for value, null in means]
            table.add_row(label, str(resolved.num_atoms[g]), str(resolved.num_structures[g]), *cells)
        if resolved.left_out:
            table.caption = f"{len(resolved.left_out)} more have too few atoms or structures"
        yield table


def sweep_tables(found: "Sweep") -> Iterator[Any]:
    """One table a measure: the mean over pairs, a row for each way to choose anchors, a column for each number."""
    from platonic_jax import report

    for name, curves in found.curves.items():
        table = new_table(f"{report.measure_text(name).title}, mean over pairs of models")
        table.add_column("anchors")
        for head in (*(f"K = {k}" for k in found.ks), "95 % interval", "over choices", "stable from"):
            table.add_column(head, justify="right", no_wrap=True)
        for method, curve in curves.items():
            stable = curve.stable_from[-1]
            table.add_row(
                "none: K principal components" if method == "pca" else method.replace("_", " "),
                *(report.number(value) for value in curve.value[:, -1]),
                f"{report.number(curve.low[-1, -1])} to {report.number(curve.high[-1, -1])}",
                f"± {report.number(curve.spread[-1, -1])}" if method in found.settings["chance"] else "–",
                f"K = {stable}" if stable else "–",
            )
        table.caption = "interval and spread are those at the largest K"
        yield table


def layers_table(found: "Layers") -> Any:
    from platonic_jax import report

    table = new_table(f"Layers of {found.models[0]} and {found.models[1]}: the best pair, beside the best by chance")
    for head in ("measure", "layers"):
        table.add_column(head)
    for head in ("value", "95 % interval", "best of shuffled", "p of the best"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, entry in found.measures.items():
        first, second = entry["best"]
        table.add_row(
            report.measure_text(name).title,
            f"{found.names[0][first]} – {found.names[1][second]}",
            report.number(entry["best_value"]),
            f"{report.number(entry['low'])} to {report.number(entry['high'])}",
            report.number(entry["null_of_best"]),
            report.number(entry["p_value_of_best"]),
        )
    return table


def trained_tables(found: "Trained") -> Iterator[Any]:
    """Agreement before and after, on held-out atoms of all elements and of one; then the errors of tasks."""
    from platonic_jax import report

    heads = {
        "trained": "trained models",
        "unseen": "with an unseen model",
        "control": "with a random-weight model",
        "excess": "excess",
    }
    for place, told in found.places.items():
        judged = found.judged[place]
        table = new_table(f"{judged['num_atoms']} held-out atoms, {told}: mean over pairs of models [95 % interval]")
        table.add_column("measure")
        table.add_column("space")
        spaces = [space for space in judged if space != "num_atoms"]
        shown = [kind for kind in heads if kind in judged["plain"]["procrustes"]]
        for kind in shown:
            table.add_column(heads[kind], justify="right", no_wrap=True)
        for name in judged["plain"]:
            for space in spaces:
                cells = [with_interval(judged[space][name][kind]) for kind in shown]
                table.add_row(report.measure_text(name).title, space, *cells)
        if "control" not in shown:
            table.caption = "no model with random weights among the stores: how much is chance is not told"
        yield table
    for name, task in found.tasks.items():
        what = f"{task['unit']} of a linear read-out, {task['num']['judged']} held out"
        table = new_table(f"{name}: {what} [95 % interval]")
        table.add_column("anchors")
        words = {"trained": "trained models", "unseen": "unseen models", "control": "random weights"}
        shown = [kind for kind in words if kind in task["learned"]]
        for kind in shown:
            table.add_column(words[kind], justify="right")
        for space in ("plain", "direct", "learned"):
            words = {"plain": "random", "direct": "DIRECT", "learned": "learned"}
            table.add_row(words[space], *(with_interval(task[space][kind]) for kind in shown))
        table.add_row("reduction, learned from DIRECT", *(with_interval(task["reduction"][kind]) for kind in shown))
        for baseline, entry in task["baselines"].items():
            words = {"constant": "none: a constant", "composition": "none: the composition alone"}
            table.add_row(words[baseline], *(with_interval(entry) for _ in shown))
        yield table


def with_interval(entry: Any) -> str:
    """A number and its interval."""
    from platonic_jax import report

    return f"{report.number(entry['value'])} [{report.number(entry['low'])} to {report.number(entry['high'])}]"


def new_table(title: str) -> Any:
    """An empty table, as all commands print them."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        title_style="bold",
        caption_justify="left",
    )


def console() -> Any:
    """Stdout: as wide as the terminal, or, where it is a file or a pipe, wide enough that no line is broken."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
