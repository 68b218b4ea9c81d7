"""`platonic …`: the command line. It parses, asks, prints and writes; it computes nothing.

Results go to stdout, messages and progress to stderr. Exit codes: 0 fine, 1 a failure, 2 the user's mistake, 130
interrupted.
"""

import argparse
import dataclasses
import errno
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from platonic_adapters import cli as adapters_cli

from platonic_jax._files import replacing

if TYPE_CHECKING:
    from platonic_jax.compare import Comparison

__all__ = ["main"]

TASKS = """\
Do two interatomic potentials know the same chemistry in the same way?

  see it work             platonic demo
  choose models           platonic models
  embed structures        platonic embed MODEL INPUT -o OUT.zarr
  compare models          platonic compare A.zarr B.zarr … -o report/

Every command explains itself, with an example: platonic COMMAND --help
"""
DEMO_MODELS = ("7net-0", "7net-l3i5", "chgnet-0.3.0", "chgnet-r2scan", "random:7net-0?seed=0")
DEMO_INPUT = "prototypes?max_atoms=20"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process if left out.

    Returns:
        The exit code.
    """
    try:
        args = _parser().parse_args(argv)
        return args.run(args)
    except ValueError as error:
        return _say(str(error), code=2)
    except OSError as error:
        return _say(_explain(error), code=2)
    except MemoryError:
        return _say("the memory does not hold this comparison; give it fewer structures.", code=1)
    except KeyboardInterrupt:
        return _say("interrupted.", code=130)


class _Parser(argparse.ArgumentParser):
    """Wrong use is one sentence, as every other mistake."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see `{self.prog} --help`.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="platonic", usage="platonic COMMAND …", add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.set_defaults(run=_map)
    commands = parser.add_subparsers(metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], description: str, examples: str) -> _Parser:
        made = commands.add_parser(
            name,
            description=description,
            epilog=f"example:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run)
        return made

    demo = command(
        "demo",
        _demo,
        "Embed crystal prototypes of at most 20 atoms with four potentials and a random-weight control "
        f"({', '.join(DEMO_MODELS)}),\n"
        "compare them, and write a report. What is there already is kept: the same command again goes on where it "
        "stopped.",
        "  platonic demo -o demo\n",
    )
    demo.add_argument("-o", "--output", metavar="DIR", default="demo", help="the folder to write to (default: demo)")
    _add_json(demo)

    models = command(
        "models", _models, "List the models, each with its family, licence and training data.", "  platonic models\n"
    )
    _add_json(models)

    embed = command(
        "embed",
        _embed,
        "Embed every atom of a set of structures with one model. The model's family gets an environment of its own, "
        "made on first use.",
        "  platonic embed 7net-0 structures.extxyz -o a.zarr\n"
        '  platonic embed "random:7net-0?seed=0" structures.extxyz -o random.zarr\n',
    )
    adapters_cli.add_embed_arguments(embed)

    compare = command(
        "compare",
        _compare,
        "Compare models on the same atoms, in the space of the same anchors: every pair by every measure, each value "
        "with its 95 %\n"
        "interval and with what chance gives, freely and within each element.",
        "  platonic compare a.zarr b.zarr random.zarr --anchors direct -k 100 --json out.json -o report/\n",
    )
    compare.add_argument("stores", metavar="STORE", nargs="+", help="stores made by `platonic embed`, two or more")
    compare.add_argument(
        "--anchors",
        choices=("random", "direct"),
        default="random",
        help="how anchors are chosen, in the space of the first store (default: random)",
    )
    compare.add_argument("-k", metavar="K", type=int, default=100, help="the number of anchors (default: 100)")
    compare.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )
    compare.add_argument(
        "--layer",
        metavar="NAME",
        type=_names,
        default=(None,),
        help="the layer to compare, or one for each store: A,B (default: each store's own)",
    )
    compare.add_argument(
        "--measures", metavar="A,B", type=_names, help="procrustes, cka, mutual_knn, sinkhorn_divergence (default: all)"
    )
    compare.add_argument(
        "--num-permutations", metavar="N", type=_count, default=100, help="draws of each null (default: 100)"
    )
    compare.add_argument(
        "--num-bootstraps", metavar="N", type=_count, default=100, help="draws of each interval (default: 100)"
    )
    compare.add_argument(
        "--transport-rows",
        metavar="N",
        type=_count,
        default=300,
        help="atoms that enter optimal transport, at most (default: 300)",
    )
    compare.add_argument("-o", "--output", metavar="DIR", help="a folder for report.html, compare.json and the figures")
    _add_json(compare)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def _map(args: argparse.Namespace) -> int:
    sys.stdout.write(TASKS)
    return 0


def _models(args: argparse.Namespace) -> int:
    from platonic_adapters import registry
    from rich.table import Column, Table

    _check_json(args.json)
    models = [spec.model for spec in registry.models()]
    heads = ("family", "licence", "trained on", "features, forces", "note")
    table = Table(Column("model", no_wrap=True), *heads, box=None, padding=(0, 2, 0, 0))
    for model in models:
        table.add_row(model.name, model.family, model.licence, model.training_data, model.architecture, model.note)
    console = _console()
    console.print(table)
    console.print("\nEach also as random:NAME?seed=0, the same architecture with re-drawn weights.", highlight=False)
    if args.json:
        listed = json.dumps([dataclasses.asdict(model) for model in models], indent=1, ensure_ascii=False)
        with replacing(args.json) as partial:
            partial.write_text(f"{listed}\n")
    return 0


def _embed(args: argparse.Namespace) -> int:
    from platonic_adapters import environments

    return environments.embed(args)


def _compare(args: argparse.Namespace) -> int:
    if len(args.stores) < 2:
        raise ValueError(
            f"`STORE` must be given at least twice, got {args.stores[0]} alone: a model is compared with another one."
        )
    if len(args.layer) not in (1, len(args.stores)):
        raise ValueError(
            f"`--layer` must name one layer or one for each of the {len(args.stores)} stores, got {len(args.layer)}."
        )
    _check_json(args.json)
    if args.output:
        _check_folder(Path(args.output))
    layers = args.layer * len(args.stores) if len(args.layer) == 1 else args.layer
    options = {"measures": args.measures} if args.measures else {}
    comparison = _run_comparison(
        zip(args.stores, layers, strict=True),
        anchors=args.anchors,
        k=args.k,
        seed=args.seed,
        num_permutations=args.num_permutations,
        num_bootstraps=args.num_bootstraps,
        num_transport_rows=args.transport_rows,
        **options,
    )
    _deliver(comparison, folder=args.output, json_path=args.json)
    return 0


def _demo(args: argparse.Namespace) -> int:
    from platonic_adapters import environments

    folder = Path(args.output)
    _check_json(args.json)
    _check_folder(folder)
    stores = []
    for model in DEMO_MODELS:
        stores.append(str(folder / "stores" / f"{model.translate(str.maketrans(':?=', '---'))}.zarr"))
        code = environments.embed(_parser().parse_args(["embed", model, DEMO_INPUT, "-o", stores[-1]]))
        if code:
            return code
    comparison = _run_comparison(((store, None) for store in stores), anchors="direct", k=100)
    _deliver(comparison, folder=folder, json_path=args.json)
    return 0


def _run_comparison(stores: Iterator[tuple[str, str | None]], **options: Any) -> "Comparison":
    from platonic_adapters import environments

    # What is compiled once is kept: before JAX comes, and for this process alone.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(environments.cache_directory() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    from platonic_jax.compare import compare
    from platonic_jax.tables import load

    with _progress() as progress:
        return compare([load(path, layer) for path, layer in stores], progress=progress, **options)


def _deliver(comparison: "Comparison", *, folder: str | Path | None, json_path: str | None) -> None:
    """Print the tables and the verdict; write what was asked for."""
    from platonic_jax import report

    console = _console()
    for table in _tables(comparison):
        console.print(table)
    console.print(report.verdict(comparison).lead, markup=False, highlight=False)
    if json_path:
        comparison.save(json_path)
    if folder:
        console.print(
            f"The report is in {report.write(comparison, folder)}", markup=False, highlight=False, soft_wrap=True
        )


def _tables(comparison: "Comparison") -> Iterator[Any]:
    """One table a measure, the most similar pair first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from platonic_jax import plots, report

    names = plots.labels(comparison)
    for name, measure in comparison.measures.items():
        table = Table(
            title=report.measure_text(name).title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold"
        )
        table.add_column("models")
        for head in ("value", "95 % interval", "shuffled", "p", "within element", "p"):
            table.add_column(head, justify="right", no_wrap=True)
        for i, j, _ in plots.ranked_pairs(comparison, name):
            at = lambda array, i=i, j=j: report.number(array[i, j])
            table.add_row(
                Text(f"{names[i]} – {names[j]}"),
                Text(at(measure.value), style="bold"),
                f"{at(measure.low)} to {at(measure.high)}",
                at(measure.null),
                at(measure.p_value),
                at(measure.null_within_element),
                at(measure.p_value_within_element),
            )
        yield table


def _console() -> Any:
    """Stdout: as wide as the terminal, or, where it is a file or a pipe, wide enough that no line is broken."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
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


def _check_folder(folder: Path) -> None:
    """See that the folder can be made and written, before an hour of work; make nothing yet."""
    with tempfile.TemporaryFile(dir=next(place for place in (folder, *folder.absolute().parents) if place.exists())):
        pass


def _check_json(path: str | None) -> None:
    if path is None:
        return
    if Path(path).is_dir():
        raise ValueError(f"`--json` must be a file, got the folder {path}.")
    with tempfile.TemporaryFile(dir=Path(path).parent):
        pass


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run the same command again."
    # The name of a temporary file says nothing to the user; its folder does.
    place = Path(str(error.filename)) if error.filename else None
    where = f"`{place.parent if place.name.startswith(('.', 'tmp')) else place}` cannot be used: " if place else ""
    return f"{where}{(error.strerror or str(error)).lower()}."


def _say(text: str, *, code: int) -> int:
    sys.stderr.write(f"platonic: {' '.join(text.split())}\n")
    return code
