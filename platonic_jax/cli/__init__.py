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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from platonic_adapters import cli as adapters_cli

from platonic_jax._files import replacing
from platonic_jax.cli import _arithmetic, _calibration, _drift, _phonons, _print, _stitching, _symmetry, _typicality

if TYPE_CHECKING:
    from platonic_jax.compare import Comparison

__all__ = ["main"]

TASKS = """\
Do two interatomic potentials know the same chemistry in the same way?

  see it work             platonic demo
  choose models           platonic models
  embed structures        platonic embed MODEL INPUT -o OUT.zarr
  compare models          platonic compare A.zarr B.zarr … -o report/
  vary the anchors        platonic sweep A.zarr B.zarr … -o sweep/
  learn the anchors       platonic learn A.zarr B.zarr … -o anchors.safetensors
  test symmetry           platonic symmetry MODEL STRUCTURES
  test phonons            platonic phonons MODEL CRYSTAL
  find the atypical       platonic typicality --reference R.zarr QUERY.zarr …
  foresee errors          platonic calibrate A.zarr B.zarr --labels DFT.extxyz
  see what training moved platonic drift BEFORE.zarr AFTER.zarr --seen Cu
  add and subtract        platonic arithmetic "TiO2 - Ti + Zr" A.zarr
  swap read-outs          platonic stitch FROM.zarr TO.zarr

Every command explains itself, with an example: platonic COMMAND --help
"""
DEMO_MODELS = ("7net-0", "7net-l3i5", "chgnet-0.3.0", "chgnet-r2scan", "random:7net-0?seed=0")
DEMO_INPUT = "prototypes?max_atoms=20"
ANCHORS = ("random", "farthest_point", "kmeans", "direct")
SIMILARITIES = ("cosine", "angular", "l2", "rbf", "whitened")


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
        "  platonic compare a.zarr b.zarr random.zarr --anchors direct -k 100 --json out.json -o report/\n"
        "  platonic compare a.zarr b.zarr --by element --nulls all,element,coordination --measures cka,mutual_knn\n",
    )
    _add_stores(compare)
    compare.add_argument(
        "--anchors",
        metavar="METHOD",
        default="random",
        help=f"how anchors are chosen, in the space of the first store: {', '.join(ANCHORS)}; or a file of anchors "
        "(default: random)",
    )
    compare.add_argument("-k", metavar="K", type=int, default=100, help="the number of anchors (default: 100)")
    _add_similarity_and_seed(compare)
    compare.add_argument(
        "--layer",
        metavar="NAME",
        type=_names,
        default=(None,),
        help="the layer to compare, or one for each store: A,B (default: each store's own)",
    )
    compare.add_argument(
        "--measures",
        metavar="A,B",
        type=_names,
        help="procrustes, cka, mutual_knn, sinkhorn_divergence (all by default), and of as few atoms as the last: "
        "cknna, distance_correlation, gfre, lfre, information_imbalance, wasserstein, gromov_wasserstein",
    )
    compare.add_argument(
        "--nulls",
        metavar="A,B",
        type=_names,
        default=("all", "element"),
        help="what atoms are shuffled within: all, element, coordination (default: all,element)",
    )
    compare.add_argument(
        "--by",
        metavar="A,B",
        type=_names,
        default=(),
        help="resolve every matrix by element, family (default: neither)",
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
        help="atoms that enter optimal transport and other measures of all pairs of atoms, at most (default: 300)",
    )
    compare.add_argument("-o", "--output", metavar="DIR", help="a folder for report.html, compare.json and the figures")
    _add_json(compare)

    sweep = command(
        "sweep",
        _sweep,
        "Compare models with ever more anchors, chosen in several ways and several times, and without anchors on as "
        "many principal\n"
        "components: from which number on is a value stable? With --layers also every layer of one model against every "
        "layer of\n"
        "another, the best pair beside the best that chance would offer.",
        "  platonic sweep a.zarr b.zarr --ks 10,30,100,300 --methods random,direct -o sweep/\n"
        "  platonic sweep a.zarr b.zarr --ks 100 --methods random --layers --json sweep.json\n",
    )
    _add_stores(sweep)
    sweep.add_argument(
        "--ks",
        metavar="K,K",
        type=_counts,
        default=(10, 30, 100, 300),
        help="the numbers of anchors (default: 10,30,100,300)",
    )
    sweep.add_argument(
        "--methods",
        metavar="A,B",
        type=_names,
        default=("random", "direct"),
        help=f"how anchors are chosen, in the space of the first store: {', '.join(ANCHORS)} (default: random,direct)",
    )
    sweep.add_argument(
        "--choices", metavar="N", type=_count, default=5, help="how often chance chooses anew (default: 5)"
    )
    _add_similarity_and_seed(sweep)
    sweep.add_argument(
        "--measures", metavar="A,B", type=_names, help="procrustes, cka, mutual_knn (default: all of them)"
    )
    sweep.add_argument(
        "--atoms",
        metavar="N",
        type=_count,
        default=20_000,
        help="atoms that enter, at most: whole structures, drawn at random (default: 20000)",
    )
    sweep.add_argument(
        "--layers", action="store_true", help="also compare layer against layer, with the largest of the numbers"
    )
    sweep.add_argument("-o", "--output", metavar="DIR", help="a folder for sweep.json and sweep.png")
    _add_json(sweep)

    learn = command(
        "learn",
        _learn,
        "Learn a shared space by gradient: for agreement, a metric for each model before the similarities to random "
        "anchors; for a\n"
        "task, the anchors themselves and their weights. Judged on chemical systems that training never saw, beside "
        "the plain space,\n"
        "and beside models with random weights, if there are any, which are fitted in the same way.",
        "  platonic learn a.zarr b.zarr random.zarr -k 100 -o anchors.safetensors\n"
        "  platonic learn a.zarr b.zarr --objective task:e_form --targets energies.csv -k 32 -o anchors.safetensors\n"
        "  platonic learn a.zarr --objective task:coordination,0.1*sparsity -k 64 -o anchors.safetensors\n"
        "  platonic learn unseen.zarr --extend anchors.safetensors -o extended.safetensors\n",
    )
    _add_stores(learn, number="two or more for agreement")
    learn.add_argument(
        "--objective",
        metavar="A,B",
        type=_names,
        default=("agreement",),
        help="agreement, agreement:MEASURE, task:COLUMN, coverage, conditioning, sparsity, or the sum of several, each "
        "as WEIGHT*NAME too (default: agreement)",
    )
    learn.add_argument(
        "--targets",
        metavar="FILE",
        help="a CSV file with a column `id`, or `material_id`, and columns of values (numbers) or classes (words) of "
        "structures; coordination and element_group are known without",
    )
    learn.add_argument(
        "--parts",
        metavar="A,B",
        type=_names,
        help="what is learned: metric, anchors, weights (default: metric for agreement, all of them for tasks)",
    )
    learn.add_argument(
        "--unseen",
        metavar="MODEL,MODEL",
        type=_names,
        default=(),
        help="models among the stores that take no part: they are judged with maps from their own rows alone",
    )
    learn.add_argument(
        "--extend",
        metavar="FILE",
        help="learn nothing: give these learned anchors a map for the model of each store, from its own rows alone",
    )
    learn.add_argument("-k", metavar="K", type=_count, default=100, help="the number of anchors (default: 100)")
    learn.add_argument("--steps", metavar="N", type=_count, default=1000, help="steps of training (default: 1000)")
    learn.add_argument("--rows", metavar="N", type=_count, default=1024, help="atoms in a batch (default: 1024)")
    learn.add_argument("--checkpoints", metavar="DIR", help="a folder from which a killed run goes on")
    _add_seed(learn)
    learn.add_argument("-o", "--output", metavar="FILE", required=True, help="the file of anchors to write")
    _add_json(learn)

    studies = {
        "symmetry": _symmetry,
        "phonons": _phonons,
        "typicality": _typicality,
        "calibrate": _calibration,
        "drift": _drift,
        "arithmetic": _arithmetic,
        "stitch": _stitching,
    }
    for name, module in studies.items():
        module.add(command(name, partial(_study, module.run), module.DESCRIPTION, module.EXAMPLES))
    return parser


def _add_stores(parser: argparse.ArgumentParser, *, number: str = "two or more") -> None:
    parser.add_argument("stores", metavar="STORE", nargs="+", help=f"stores made by `platonic embed`, {number}")
    parser.add_argument(
        "--limit", metavar="N", type=_count, help="the first structures of each store alone (default: all)"
    )


def _add_similarity_and_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        default="cosine",
        help=f"of atoms to anchors: {', '.join(SIMILARITIES)} (default: cosine)",
        metavar="NAME",
    )
    _add_seed(parser)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(number) for number in _names(text))


def _map(args: argparse.Namespace) -> int:
    sys.stdout.write(TASKS)
    return 0


def _models(args: argparse.Namespace) -> int:
    from platonic_adapters import caches
    from rich.table import Column, Table

    _check_json(args.json)
    models = caches.described_models()
    heads = ("family", "weights", "licence", "trained on", "features, forces", "relatives", "note")
    table = Table(Column("model", no_wrap=True), *heads, box=None, padding=(0, 2, 0, 0))
    for model in models:
        table.add_row(*caches.table_row(model))
    console = _print.console()
    console.print(table)
    console.print("\nEach also as random:NAME?seed=0, the same architecture with re-drawn weights.", highlight=False)
    if args.json:
        listed = json.dumps(models, indent=1, ensure_ascii=False)
        with replacing(args.json) as partial:
            partial.write_text(f"{listed}\n")
    return 0


def _embed(args: argparse.Namespace) -> int:
    from platonic_adapters import environments

    return environments.embed(args)


def _compare(args: argparse.Namespace) -> int:
    _check_stores(args.stores)
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
        limit=args.limit,
        anchors=args.anchors,
        k=args.k,
        similarity=args.similarity,
        nulls=args.nulls,
        by=args.by,
        seed=args.seed,
        num_permutations=args.num_permutations,
        num_bootstraps=args.num_bootstraps,
        num_transport_rows=args.transport_rows,
        **options,
    )
    _deliver(comparison, folder=args.output, json_path=args.json)
    return 0


def _sweep(args: argparse.Namespace) -> int:
    _check_stores(args.stores)
    _check_json(args.json)
    if args.output:
        _check_folder(Path(args.output))
    _keep_compiled()
    from platonic_jax.sweep import layers, load_layers, sweep
    from platonic_jax.tables import load

    common = {"similarity": args.similarity, "seed": args.seed, "max_atoms": args.atoms}
    if args.measures:
        common["measures"] = args.measures
    with _print.progress_bar() as progress:
        found = sweep(
            [load(path, limit=args.limit) for path in args.stores],
            ks=args.ks,
            methods=args.methods,
            num_seeds=args.choices,
            progress=progress,
            **common,
        )
        if args.layers:
            every = [load_layers(path, limit=args.limit) for path in args.stores]
            by_layer = [
                layers(every[i], every[j], anchors=args.methods[0], k=max(args.ks), progress=progress, **common)
                for i, j in found.pairs
            ]
            found = dataclasses.replace(found, layers=by_layer)
    console = _print.console()
    for table in (*_print.sweep_tables(found), *(_print.layers_table(entry) for entry in found.layers)):
        console.print(table)
    if args.json:
        found.save(args.json)
    if args.output:
        from platonic_jax import plots

        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        found.save(folder / "sweep.json")
        plots.save(plots.sweep(found), folder / "sweep.png")
        _say_file("The figure is in", folder / "sweep.png")
    return 0


def _learn(args: argparse.Namespace) -> int:
    _check_json(args.json)
    _check_folder(Path(args.output).absolute().parent)
    if Path(args.output).is_dir():
        raise ValueError(f"`--output` must be a file, got the folder {args.output}.")
    _keep_compiled()
    from platonic_jax import training
    from platonic_jax.anchors import Anchors
    from platonic_jax.tables import load

    tables = [load(path, limit=args.limit) for path in args.stores]
    if args.extend:
        extended = training.extend(Anchors.load(args.extend), tables)
        extended.save(args.output)
        _say_file(f"{len(extended)} anchors for {', '.join(extended.metrics)} are in", args.output)
        return 0
    targets = None if args.targets is None else training.read_targets(args.targets, tables[0])
    with _print.progress_bar() as progress:
        found = training.train(
            tables,
            objective=args.objective,
            targets=targets,
            parts=args.parts,
            unseen=args.unseen,
            k=args.k,
            seed=args.seed,
            num_steps=args.steps,
            num_rows=args.rows,
            checkpoints=args.checkpoints,
            progress=progress,
        )
    found.anchors.save(args.output)
    console = _print.console()
    for table in _print.trained_tables(found):
        console.print(table)
    if found.stopped != "done":
        console.print(f"Training stopped early: {found.stopped}.", markup=False, highlight=False)
    _say_file(f"{len(found.anchors)} anchors are in", args.output)
    if args.json:
        found.save(args.json)
    return 0


def _study(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    _check_json(args.json)
    _keep_compiled()
    return run(args)


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


def _keep_compiled() -> None:
    """What is compiled once is kept: to be called before JAX comes, and for this process alone."""
    from platonic_adapters import caches

    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(caches.directory() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def _run_comparison(
    stores: Iterator[tuple[str, str | None]], *, anchors: str, limit: int | None = None, **options: Any
) -> "Comparison":
    _keep_compiled()
    from platonic_jax.anchors import Anchors
    from platonic_jax.compare import compare
    from platonic_jax.tables import load

    if anchors not in ANCHORS:
        if not Path(anchors).is_file():
            raise ValueError(f"`--anchors` must be one of {', '.join(ANCHORS)}, or a file of anchors, got {anchors!r}.")
        options["anchors"] = Anchors.load(anchors)
    else:
        options["anchors"] = anchors
    with _print.progress_bar() as progress:
        return compare([load(path, layer, limit=limit) for path, layer in stores], progress=progress, **options)


def _deliver(comparison: "Comparison", *, folder: str | Path | None, json_path: str | None) -> None:
    """Print the tables and the verdict; write what was asked for."""
    from platonic_jax import report

    console = _print.console()
    for table in (*_print.comparison_tables(comparison), *_print.resolved_tables(comparison)):
        console.print(table)
    console.print(report.verdict(comparison).lead, markup=False, highlight=False)
    if json_path:
        comparison.save(json_path)
    if folder:
        _say_file("The report is in", report.write(comparison, folder))


def _say_file(what: str, path: str | Path) -> None:
    _print.console().print(f"{what} {path}", markup=False, highlight=False, soft_wrap=True)


def _check_stores(stores: Sequence[str]) -> None:
    if len(stores) < 2:
        raise ValueError(
            f"`STORE` must be given at least twice, got {stores[0]} alone: a model is compared with another one."
        )


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
    lines = text.splitlines()
    # A caret stands under a place in the line above it.
    kept = lines[-2:] if lines and lines[-1].strip() == "^" else []
    said = " ".join(" ".join(lines[: len(lines) - len(kept)]).split())
    sys.stderr.write("\n".join([f"platonic: {said}", *kept]) + "\n")
    return code
