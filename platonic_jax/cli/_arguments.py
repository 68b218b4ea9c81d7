"""Arguments that several commands share, and checks of them before the work begins."""

import argparse
from pathlib import Path

from platonic_adapters import targets

from platonic_jax import _memory

ANCHORS = ("random", "farthest_point", "kmeans", "direct")
SIMILARITIES = ("cosine", "angular", "l2", "rbf", "whitened")


def names(text: str) -> tuple[str, ...]:
    """`a,b`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def counts(text: str) -> tuple[int, ...]:
    """`10,30`."""
    return tuple(count(number) for number in names(text))


def memory(text: str) -> int:
    """Parse a size such as `4GB` into bytes."""
    try:
        return _memory.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_stores(parser: argparse.ArgumentParser, *, number: str = "two or more") -> None:
    """Add the stores of a command, and the limit of their structures."""
    parser.add_argument("stores", metavar="STORE", nargs="+", help=f"stores made by `platonic embed`, {number}")
    add_limit(parser)


def add_limit(parser: argparse.ArgumentParser, *, stores: str = "each store") -> None:
    """Add the option that limits the number of structures."""
    parser.add_argument(
        "--limit", metavar="N", type=count, help=f"use the first N structures of {stores} (default: all)"
    )


def add_count(parser: argparse.ArgumentParser, *flags: str, default: int, what: str) -> None:
    """Add an option for a whole number of at least 1."""
    parser.add_argument(*flags, metavar="N", type=count, default=default, help=f"{what} (default: {default})")


def add_similarity(parser: argparse.ArgumentParser, *, default: str = "cosine") -> None:
    """Add the option for the similarity to anchors."""
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        default=default,
        help=f"similarity of atoms to anchors: {', '.join(SIMILARITIES)} (default: {default})",
        metavar="NAME",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the random seed."""
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of all random draws (default: 0)")


def add_report(parser: argparse.ArgumentParser, *, more: str = "") -> None:
    """Add the options for the report, the result as JSON and the memory, which every command that computes has."""
    parser.add_argument(
        "-o",
        "--output",
        dest="folder",
        metavar="DIR",
        help=f"folder for report.html, the result as JSON and its figures{more}",
    )
    add_memory(parser)
    add_json(parser)


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Add the option for the memory of a command."""
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=memory,
        help="memory limit, such as 4GB: work is done in smaller blocks, and refused if it cannot fit "
        "(default: the free memory of the machine)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for the result as JSON."""
    parser.add_argument("--json", metavar="PATH", help="file for the result as JSON, or - for stdout")


def check_targets(json: str | None = None, folder: str | Path | None = None, *, output: str | None = None) -> None:
    """Check before the work that its results can be written.

    Args:
        json: The file of `--json`.
        folder: The folder of the report.
        output: Another file, of the option `--save`.

    Raises:
        ValueError: something else stands there, or it cannot be written.
    """
    targets.check_file("--json", json)
    targets.check_folder("--output", folder, files=("report.html",))
    targets.check_file("--save", output)


def check_stores(stores: list[str]) -> None:
    """Check that there are at least two stores to compare."""
    if len(stores) < 2:
        raise ValueError(
            f"`STORE` must be given at least twice, got {stores[0]} alone: give the store of a model to compare with."
        )
