"""Displacement of a model's embeddings by training."""

from collections.abc import Iterator

from platonic_jax.analyses import Drift, Estimate, Runs
from platonic_jax.charts import Spec, dots, entries, points, scattered
from platonic_jax.report._table import Table, with_interval
from platonic_jax.report._texts import number

NAME = "drift"
_MOST = 15  # Elements that are shown.
_LEVEL = 0.05  # Of tests over runs of training.
_MILLI = 1e-3
_AXIS = "displacement, in distances between distinct environments"


def title(result: Drift) -> str:
    """Return the heading."""
    return f"Displacement from {result.before} to {result.after}"


def intro(result: Drift) -> str:
    """Summarise the input in a sentence."""
    all_atoms = result.overall
    floors = ", ".join(
        name if floor["noise"] is None else f"{name} ({floor['noise']:.0e} of an embedding)"
        for name, floor in result.floors.items()
    )
    return (
        f"{all_atoms.num_atoms:,} atoms of {all_atoms.num_structures:,} structures, in the shared "
        f"space; numerical floors: {floors}. Lineage of the two models: {result.settings['checked']}."
    )


def verdict(result: Drift) -> list[str]:
    """State displacements beside numerical noise and the spread of training runs, overall and by element."""
    sentences = [*_overall(result), *_over_runs(result), *_by_element(result)]
    for name, entry in result.energy.items():
        if entry.rank_correlation:
            what = "energy" if name == "change" else "energy error"
            correlation = _figure(entry.rank_correlation)
            sentences.append(
                f"The rank correlation of displacement and change of {what} over elements is {correlation}."
            )
    return [" ".join(sentences)]


def _overall(result: Drift) -> Iterator[str]:
    entry = result.overall
    floors = ", ".join(f"{name} {_short(value)}" for name, value in entry.floors["displacement"].items())
    yield (
        f"From {result.before} to {result.after} atoms are displaced by {_figure(entry.displacement)} of the median "
        f"distance between distinct environments; numerical noise alone displaces them by {floors}."
    )
    margin = result.settings["margin"]
    if not entry.displacement.bounded:
        yield f"There are too few structures ({entry.num_structures}) for an interval."
    elif not entry.beyond:
        yield f"The displacement does not exceed numerical noise (by a factor of {margin:g})."
    else:
        least = min(entry.floors["mutual_knn"].values())
        yield (
            f"This is more than {margin:g} times the numerical noise. {entry.mutual_knn:.0%} of nearest neighbours are "
            f"kept; numerical noise alone keeps at least {100 * least:.0f} %."
        )


def _over_runs(result: Drift) -> Iterator[str]:
    untested = "Displacement by training cannot be tested against displacement by the random seed"
    runs, mean = result.runs, result.overall.over_runs
    if runs is None or mean is None:
        yield f"{untested} without repeated training runs."
        return
    yield (
        f"Over {runs.num} runs of training the displacement is {_figure(mean)} on average; two runs differ by "
        f"{_short(runs.spread)}."
    )
    if runs.p is None:
        fewest = round(1 / _LEVEL) - 1
        yield (
            f"{untested} with {runs.num} runs, whose smallest possible p is {runs.least_p:.2f}: a test needs {fewest} "
            "runs."
        )
    else:
        does = "is" if runs.p <= _LEVEL else "is not significantly"
        yield f"{result.before} {does} farther from the runs than the runs are from each other (p = {runs.p:.2g})."


def _by_element(result: Drift) -> Iterator[str]:
    unseen = [symbol for symbol, entry in result.elements.items() if entry.seen is False]
    if not result.overall.beyond and not result.moved:
        return
    unbounded = [symbol for symbol in unseen or result.elements if not result.elements[symbol].displacement.bounded]
    few = f"; {len(unbounded)} are in too few structures for an interval" if unbounded else ""
    if not unseen:
        yield f"{len(result.moved)} of {len(result.elements)} elements are displaced beyond numerical noise{few}."
        return
    moved = [symbol for symbol in result.moved if symbol in unseen]
    first = ", ".join(f"{symbol} {_short(result.elements[symbol].displacement.value)}" for symbol in moved[:5])
    yield (
        f"{len(moved)} of {len(unseen)} elements outside the fine-tuning set are displaced beyond numerical noise"
        f"{f' (largest: {first})' if moved else ''}{few}."
    )


def _figure(estimate: Estimate) -> str:
    if not estimate.bounded:
        return f"{_short(estimate.value)} (no interval)"
    return f"{_short(estimate.value)} (95 % CI {_short(estimate.low)} to {_short(estimate.high)})"


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def tables(result: Drift) -> list[Table]:
    """All atoms, those of elements not fine-tuned on, and the elements that moved farthest; and noise alone."""
    entries = {"all": result.overall} | ({"not fine-tuned on": result.unseen} if result.unseen else {})
    entries |= {_named(result, symbol): result.elements[symbol] for symbol in list(result.elements)[:_MOST]}
    rows = []
    for name, entry in entries.items():
        cells = [
            name,
            str(entry.num_atoms),
            with_interval(entry.displacement),
            number(entry.floor),
            *([with_interval(entry.over_runs)] if entry.over_runs else []),
            *(with_interval(estimate) for estimate in (entry.procrustes, entry.mutual_knn)),
        ]
        if result.energy:
            energy = result.energy["change"].elements.get(name.split()[0])
            cells.append("–" if energy is None else number(energy))
        rows.append(cells)
    heads = (
        *("number", "displacement", "largest floor"),
        *(["mean over runs"] if result.runs else []),
        *("Procrustes", "mutual neighbours"),
        *(["energy, eV/atom"] if result.energy else []),
    )
    more = len(result.elements) - _MOST
    floors = [
        (name, *(number(result.overall.floors[measure][name]) for measure in _MEASURES)) for name in result.floors
    ]
    all_tables = [
        Table(
            "Displacement, in median distances between distinct environments, and similarity (95 % CI)",
            ("atoms", *heads),
            rows,
            caption=f"{more} more elements are displaced less" if more > 0 else "",
        ),
        Table("Numerical noise alone, all atoms", ("noise", "displacement", "Procrustes", "mutual neighbours"), floors),
    ]
    if result.runs and result.overall.over_runs:
        all_tables.append(_runs(result, result.runs, result.overall.over_runs))
    return all_tables


_MEASURES = ("displacement", "procrustes", "mutual_knn")


def _runs(result: Drift, runs: Runs, mean: Estimate) -> Table:
    cells = ["not testable" if p is None else number(p) for p in (runs.p, runs.p_of_this_run)]
    return Table(
        f"{runs.num} runs of training",
        ("mean displacement (95 % CI)", "between two runs", f"p of {result.before}", f"p of {result.after}"),
        [(with_interval(mean), number(runs.spread), *cells)],
        words=(),
        caption=f"p of being farther from the runs than the runs are from each other; the smallest possible value is "
        f"{runs.least_p:.2g}",
    )


def charts(result: Drift) -> list[Spec]:
    """Elements, those that moved farthest first, beside what noise moves them by; and the change of their energies."""
    symbols = list(result.elements)[:_MOST]
    labels = {True: "fine-tuned on", False: "not fine-tuned on", None: "displacement"}
    series = [
        entries(
            labels[seen],
            [
                result.elements[symbol].displacement if result.elements[symbol].seen is seen else None
                for symbol in symbols
            ],
            style="random" if seen else "model",
        )
        for seen in labels
        if any(result.elements[symbol].seen is seen for symbol in symbols)
    ]
    floor = [result.elements[symbol].floor for symbol in symbols]
    series.append(entries("largest numerical floor", floor, style="null"))
    specs = [dots("The elements displaced most.", symbols, series, axis=_AXIS)]
    changes = result.energy["change"].elements if result.energy else {}
    if unseen := [symbol for symbol in changes if not result.elements[symbol].seen]:
        moved = [result.elements[symbol].displacement.value for symbol in unseen]
        change = [changes[symbol] / _MILLI for symbol in unseen]
        specs.append(
            points(
                "Elements that were not fine-tuned on: displacement, and change of energy of structures with them.",
                [scattered(f"{result.before} to {result.after}", moved, change, text=unseen)],
                x=_AXIS,
                y="change of energy, meV/atom",
                log_x=True,
                log_y=True,
            )
        )
    return specs


def _named(result: Drift, symbol: str) -> str:
    return f"{symbol} (fine-tuned on)" if result.elements[symbol].seen else symbol
