"""What commands share that make structures of their own: have a model embed them, and read the rows."""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def add_common(parser: argparse.ArgumentParser) -> None:
    """The arguments of every such command."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="everything random follows from it (default: 0)"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="a folder that keeps the stores, from which a killed run goes on"
    )
    parser.add_argument("--json", metavar="PATH", help="write the result here as JSON")


@contextmanager
def folder_of(args: argparse.Namespace) -> Iterator[Path]:
    """Where stores are written: the folder asked for, or one that is gone in the end."""
    if args.output:
        Path(args.output).mkdir(parents=True, exist_ok=True)
        yield Path(args.output)
    else:
        with tempfile.TemporaryDirectory(prefix="platonic-") as folder:
            yield Path(folder)


def store_of(model: str, folder: Path) -> Path:
    """Where the rows of a model are kept."""
    return folder / f"{''.join(letter if letter.isalnum() or letter in '.-' else '-' for letter in model)}.zarr"


def embed(model: str, structures: Any, to: Path, *, args: argparse.Namespace, properties: Sequence[str] = ()) -> int:
    """Write a model's rows of structures to a store, in the family's own environment; the exit code of `embed`."""
    from platonic_adapters import cli, environments, store

    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    with tempfile.TemporaryDirectory(prefix="platonic-") as handed_over:
        probe = Path(handed_over) / "probe.zarr"
        store.write_structures(probe, structures, source="a probe")
        options = ["-o", str(to), "--duplicates", "keep", "--device", args.device]
        if properties:
            options += ["--properties", ",".join(properties)]
        return environments.embed(parser.parse_args([model, str(probe), *options]))
