"""Arguments that several commands share, and what is checked of them before an hour of work."""

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
    """`4GB`, in bytes."""
    try:
        return _memory.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_stores(parser: argparse.ArgumentParser, *, number: str = "two or more") -> None:
    """The stores of a command, and how much of them is read."""
    parser.add_argument("stores", metavar="STORE", nargs="+", help=f"stores made by `platonic embed`, {number}")
    add_limit(parser)


def add_limit(parser: argparse.ArgumentParser, *, of: str = "each store") -> None:
    """How much of the stores is read."""
    parser.add_argument("--limit", metavar="N", type=count, help=f"the first structures of {of} alone (default: all)")


def add_count(parser: argparse.ArgumentParser, *flags: str, default: int, what: str) -> None:
    """A whole number of at least 1."""
    parser.add_argument(*flags, metavar="N", type=count, default=default, help=f"{what} (default: {default})")


def add_similarity(parser: argparse.ArgumentParser, *, default: str = "cosine") -> None:
    """The similarity to anchors."""
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        default=default,
        help=f"of atoms to anchors: {', '.join(SIMILARITIES)} (default: {default})",
        metavar="NAME",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """What chance begins from."""
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )


def add_report(parser: argparse.ArgumentParser, *, flags: tuple[str, ...] = ("-o", "--output"), more: str = "") -> None:
    """Where the report goes, and the result as JSON, and the memory for it; every command that computes has them."""
    parser.add_argument(
        *flags, dest="folder", metavar="DIR", help=f"a folder for report.html and the result as JSON{more}"
    )
    add_memory(parser)
    add_json(parser)


def add_memory(parser: argparse.ArgumentParser) -> None:
    """How much memory the command may take."""
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=memory,
        help="most memory to be held, such as 4GB: work goes in smaller blocks, and what cannot fit is refused "
        "(default: what the machine has free)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Where the result goes as JSON."""
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


def check_targets(json: str | None = None, folder: str | Path | None = None, *, output: str | None = None) -> None:
    """Check before the work that its results can be written.

    Args:
        json: The file of `--json`.
        folder: The folder of the report.
        output: Any other file.

    Raises:
        ValueError: something else stands there, or it cannot be written.
    """
    targets.check_file("--json", json)
    targets.check_folder("--output", folder, files=("report.html",))
    targets.check_file("--output", output)


def check_stores(stores: list[str]) -> None:
    """See that there is something to compare."""
    if len(stores) < 2:
        raise ValueError(
            f"`STORE` must be given at least twice, got {stores[0]} alone: a model is compared with another one."
        )
