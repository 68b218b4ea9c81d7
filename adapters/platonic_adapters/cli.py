"""`platonic-embed MODEL INPUT -o OUT.zarr`: embed structures with a model that is installed in this environment."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import functools
import importlib.util
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platonic_adapters import caches, processes, registry, targets
from platonic_adapters.errors import ExportError, StoreWarning, UserError
from platonic_adapters.terminal import printable, say

if TYPE_CHECKING:
    from platonic_adapters.scaleout import DaskPool
    from platonic_adapters.store import Verification

__all__ = [
    "add_embed_arguments",
    "add_verify_arguments",
    "embed",
    "exit_code",
    "main",
    "models",
    "read_input",
    "report",
    "stores_warn_in_sentences",
    "verify",
    "wanted",
]

EXAMPLE = """example:
  platonic-embed 7net-0 structures.extxyz -o 7net-0.zarr      (needs `pip install "platonic-adapters[sevennet]"` here)
  platonic-embed random:7net-0?seed=0 prototypes -o random.zarr
  platonic-embed models                                       lists the models
  platonic-embed verify 7net-0.zarr                           reads a store from end to end
"""
VERIFY = (
    "Read stores from end to end: what was changed or lost on the disk, and which structures must be embedded again. "
    "Exit code 0 if every store is complete and intact, 1 if one is not, 2 if one is no store."
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 fine, 2 the user's mistake, 1 a failure."""
    argv = sys.argv[1:] if argv is None else list(argv)
    processes.bound_to_parent()
    if argv[:1] == ["models"]:
        parser = argparse.ArgumentParser(prog="platonic-embed models", description="List the models.")
        parser.add_argument("words", nargs="*", metavar="WORD", help=caches.WORDS_HELP)
        parser.add_argument("--json", metavar="PATH", help="file for the list as JSON, or - for stdout")
        return exit_code(models)(parser.parse_args(argv[1:]))
    if argv[:1] == ["verify"]:
        parser = argparse.ArgumentParser(prog="platonic-embed verify", description=VERIFY)
        add_verify_arguments(parser)
        return verify(parser.parse_args(argv[1:]))
    parser = argparse.ArgumentParser(
        prog="platonic-embed",
        description="Export per-atom embeddings of a model that is installed in this environment.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_embed_arguments(parser)
    return embed(parser.parse_args(argv))


def add_embed_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of an export, the same for `platonic embed` and `platonic-embed`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a model's name, or random:NAME?seed=0 for the same architecture with re-drawn weights",
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a file that ASE reads (also .gz, .bz2, .xz), a folder of CIFs, a CSV with the columns material_id and"
        " cif, a store, `prototypes`, or `atlas`",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.zarr",
        required=True,
        help="store to write; the same command resumes where it stopped",
    )
    parser.add_argument(
        "--layers",
        metavar="A,B",
        type=_names,
        default=(),
        help="layers to store besides the default one: names, `all`, or `paper`, the one that Li and Walsh read",
    )
    parser.add_argument(
        "--properties",
        metavar="A,B",
        type=_properties,
        default=(),
        help="also store the model's energy (eV), forces (eV/Å), stress (eV/Å³)",
    )
    parser.add_argument(
        "--batch-atoms",
        metavar="N",
        type=_positive,
        help="maximum number of atoms in a batch (default: chosen for the device)",
    )
    parser.add_argument(
        "--orbit-average",
        metavar="N",
        nargs="?",
        const="24",
        help="average over N rotations of the structure and store the spread, for models that are not invariant (24,"
        " the rotations of the cube, if N is left out)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--threads", metavar="N", type=_positive, help="CPU threads of each process (default: all cores)"
    )
    workers = parser.add_mutually_exclusive_group()
    workers.add_argument("--workers", metavar="N", type=_positive, help="embed with N processes on this machine (Dask)")
    workers.add_argument(
        "--scheduler", metavar="ADDRESS", help="embed with the workers of a Dask scheduler, such as tcp://host:8786"
    )
    parser.add_argument("--limit", metavar="N", type=_positive, help="use the first N structures only (default: all)")
    parser.add_argument(
        "--duplicates",
        choices=("refuse", "skip", "keep"),
        default="refuse",
        help="treatment of identical structures (default: refuse)",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="allow a local checkpoint file to run the code that it may contain (or set PLATONIC_TRUST=1, or to its"
        " SHA-256)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="rebuild the store instead of resuming it; the old one is kept until the new one is complete",
    )
    parser.add_argument("--json", metavar="PATH", help="file for the summary as JSON, or - for stdout")


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a verification, the same for `platonic verify` and `platonic-embed verify`."""
    parser.add_argument("stores", metavar="STORE", nargs="+", help="stores made by `platonic embed`")
    parser.add_argument("--json", metavar="PATH", help="file for the result as JSON, or - for stdout")


def exit_code(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Turn what a command raises into one sentence on stderr and an exit code."""

    @functools.wraps(command)
    def run(args: argparse.Namespace) -> int:
        try:
            with processes.signals(), stores_warn_in_sentences(), targets.json_alone(getattr(args, "json", None)):
                return command(args)
        except UserError as error:
            say(str(error))
            return 2
        except ExportError as error:
            say(str(error))
            return 1
        except OSError as error:
            say(_explain(error, args))
            return 2
        except KeyboardInterrupt as error:
            ended, code = processes.ending(error)
            say(f"{ended}; the same command again goes on where it stopped.")
            return code

    return run


@contextmanager
def stores_warn_in_sentences() -> Iterator[None]:
    """Show warnings about stores as every other message: a sentence on stderr, without the line of code."""
    with warnings.catch_warnings():
        plain = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, StoreWarning):
                say(str(message))
            else:
                plain(message, category, *where)

        warnings.showwarning = show
        yield


@exit_code
def embed(args: argparse.Namespace) -> int:
    """Embed in this environment."""
    from platonic_adapters.export import already_complete, export

    spec = wanted(args)
    if importlib.util.find_spec(spec.family.library) is None:
        raise UserError(
            f"{spec.name} needs `{spec.family.library}`, which is not installed in this environment; run `platonic"
            f' embed`, which makes one, or `pip install "platonic-adapters[{spec.family.name}]"` here.'
        )
    structures, skipped, source = read_input(args)
    options: dict[str, Any] = {"layers": args.layers, "properties": args.properties}
    summary = None if args.overwrite else already_complete(args.output, spec, structures, **options)
    if summary is None:
        summary = export(
            spec,
            structures,
            args.output,
            source=source,
            skipped=skipped,
            batch_atoms=args.batch_atoms,
            device=args.device,
            threads=args.threads or _threads_each(args),
            overwrite=args.overwrite,
            pool=_pool(args),
            **options,
        )
    return report(args, summary)


def _pool(args: argparse.Namespace) -> DaskPool | None:
    """The workers that `args` ask for, if any."""
    if not (args.workers or args.scheduler):
        return None
    if any(importlib.util.find_spec(name) is None for name in ("distributed", "cryptography")):
        raise UserError(
            "`--workers` and `--scheduler` need Dask, which is not whole in this environment; run `pip"
            ' install "platonic-adapters[dask]"` here.'
        )
    from platonic_adapters.scaleout import DaskPool

    return DaskPool(workers=args.workers, scheduler=args.scheduler)


def _threads_each(args: argparse.Namespace) -> int | None:
    """An equal share of the cores for every worker of this machine; one core for a worker elsewhere."""
    if args.workers:
        return max(1, processes.num_cores() // args.workers)
    return 1 if args.scheduler else None


def wanted(args: argparse.Namespace) -> registry.ModelSpec:
    """The model that `args` names."""
    spec = registry.resolve(args.model, trust=args.trust)
    return spec if args.orbit_average is None else registry.averaged(spec, args.orbit_average)


def read_input(args: argparse.Namespace) -> tuple[Any, list[dict[str, str]], str]:
    """The structures that `args` names, what was left out, and the source's name; says what was left out or repeats."""
    from platonic_adapters import reading
    from platonic_adapters.export import say_skipped

    if Path(args.output).suffix != ".zarr":
        raise UserError(f"`--output` must end in `.zarr`, got `{args.output}`.")
    targets.check_file("--json", args.json)
    targets.check_folder("--output", args.output)
    structures, skipped = reading.read(args.input, limit=args.limit, duplicates=args.duplicates)
    if Path(args.input).suffix != ".zarr":  # what a store left out was said when it was written
        say_skipped(skipped)
        if repeats := len(structures) - len(set(structures.hashes)):
            say(f"{repeats} of {len(structures)} structures repeat an earlier one and are kept.")
    return structures, skipped, reading.describe(args.input)


def report(args: argparse.Namespace, summary: Any) -> int:
    """Say in one line what was done, and write it as JSON where asked; returns 0."""
    layers = ", ".join(summary.layers)
    what = f"{summary.num_structures} structures, {summary.num_atoms} atoms, {layers} of {summary.model}"
    left_out = f", {len(summary.skipped)} skipped ({_reasons(summary.skipped)})" if summary.skipped else ""
    speed = (
        f"in {summary.seconds:.1f} s ({summary.atoms_per_second:.0f} atoms/s)"
        if summary.atoms_per_second
        else "already complete"
    )
    say(f"{summary.store}: {what}{left_out}, {summary.megabytes:.1f} MB, {speed}.")
    targets.write_json(dataclasses.asdict(summary), args.json)
    return 0


def _reasons(skipped: Sequence[dict[str, str]], most: int = 3) -> str:
    """The commonest reasons, with how often each occurs."""
    counted = Counter(entry["reason"] for entry in skipped).most_common()
    named = [f"{reason}: {number}" for reason, number in counted[:most]]
    return "; ".join([*named, *([f"{len(counted) - most} other reasons"] if len(counted) > most else [])])


@exit_code
def verify(args: argparse.Namespace) -> int:
    """Read stores from end to end, and say on stdout what is wrong with each."""
    from platonic_adapters.store import StoreError, verify

    targets.check_file("--json", args.json)
    verifications, code = [], 0
    for path in args.stores:
        try:
            verifications.append(verify(path))
        except StoreError as error:
            say(str(error))
            code = 2
        else:
            sys.stdout.write(_verdict(verifications[-1]))
    targets.write_json([{**dataclasses.asdict(one), "intact": one.intact} for one in verifications], args.json)
    return code or int(not all(one.intact for one in verifications))


def _verdict(verification: Verification, most: int = 10) -> str:
    """Describe the state of a store: a line if it is intact, else a line for each fault and one for the structures."""
    if verification.intact:
        what = f"{verification.num_structures} structures, {verification.num_rows} atoms"
        limits = "" if verification.checksums else " (of an older version, without checksums: as far as can be seen)"
        return printable(f"{verification.path} is intact: {what}{limits}.") + "\n"
    lines = verification.faults[:most]
    if len(verification.faults) > most:
        lines = [*lines, f"And {len(verification.faults) - most} more faults."]
    if verification.structures:
        named = ", ".join(verification.structures[:most]) + (", …" if len(verification.structures) > most else "")
        lines = [
            *lines,
            f"{len(verification.structures)} of {verification.num_structures} structures to embed again: {named}.",
        ]
    return "\n".join(map(printable, lines)) + "\n"


def models(args: argparse.Namespace) -> int:
    """List the models of the registry on stdout."""
    targets.check_file("--json", args.json)
    described = caches.described_models(args.words)
    rows = [caches.COLUMNS]
    rows += [caches.table_row(model) for model in described]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() + "\n")
    sys.stdout.write("\n".join(map(printable, caches.notes())) + "\n")
    targets.write_json(described, args.json)
    return 0


def _explain(error: OSError, args: argparse.Namespace) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            output = getattr(args, "output", None)
            return f"the disk is full; free some space and run the same command again: `{output}` will go on."
        cause = cause.__cause__ or cause.__context__
    name = f"`{error.filename}`: " if error.filename else ""
    return f"{name}{error.strerror or error}; check that the place exists and that you may use it."


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _properties(text: str) -> tuple[str, ...]:
    from platonic_adapters.store import PREDICTED

    names = _names(text)
    if unknown := [name for name in names if name not in PREDICTED]:
        raise argparse.ArgumentTypeError(f"must be among {', '.join(PREDICTED)}, got {unknown[0]}")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)
