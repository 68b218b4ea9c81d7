"""Helpers of commands that generate structures of their own: embed them with a model, and read the store."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platonic_adapters import processes

from platonic_jax.cli import _arguments
from platonic_jax.cli._command import Failed


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every such command."""
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--trust", action="store_true", help="allow a local checkpoint file to run the code that it may contain"
    )
    _arguments.add_seed(parser)
    _arguments.add_report(parser, more=", and the stores, from which an interrupted run resumes")


@contextmanager
def folder_of(args: argparse.Namespace) -> Iterator[Path]:
    """Return the folder for stores: the one requested, or a temporary one."""
    if args.folder:
        Path(args.folder).mkdir(parents=True, exist_ok=True)
        yield Path(args.folder)
    else:
        with processes.temporary("platonic-") as folder:
            yield folder


def store_of(model: str, folder: Path) -> Path:
    """Return the path of a model's store."""
    return folder / f"{''.join(letter if letter.isalnum() or letter in '.-' else '-' for letter in model)}.zarr"


def embed(
    model: str, structures: Any, to: Path, *, device: str, properties: Sequence[str] = (), trust: bool = False
) -> None:
    """Embed structures with a model, in the environment of its family, and write a store.

    Raises:
        Failed: the export did not come to its end; it has said why.
    """
    from platonic_adapters import store

    with processes.temporary("platonic-") as handed_over:
        probe = handed_over / "probe.zarr"
        store.write_structures(probe, structures, source="a probe")
        options = ["--duplicates", "keep", "--device", device]
        if properties:
            options += ["--properties", ",".join(properties)]
        options += ["--trust"] if trust else []
        _embed(model, probe, to, *options)


def export(model: str, structures: str, folder: Path, *options: str) -> Path:
    """Embed any input of `platonic embed` to a store in a folder; an existing store is kept.

    Raises:
        Failed: the export did not come to its end; it has said why.
    """
    to = store_of(model, folder)
    _embed(model, structures, to, *options)
    return to


def _embed(model: str, source: str | Path, to: Path, *options: str) -> None:
    from platonic_adapters import environments

    if code := environments.run(model, source, to, *options):
        raise Failed(code)
