"""What every command that computes does around its work: check, find, write, print."""

import argparse
import os
from collections.abc import Callable
from typing import Any

from platonic_jax.cli import _arguments, _print

Find = Callable[[argparse.Namespace], Any]


class Failed(Exception):
    """What was asked of another program did not come about, which has said why itself."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Unequal(Exception):
    """What should be the same is not."""


def run(find: Find, args: argparse.Namespace) -> int:
    """Find a result, write it where it is asked for, and print it."""
    _arguments.check_targets(args.json, args.folder)
    keep_compiled()
    deliver(find(args), args)
    return 0


def deliver(found: Any, args: argparse.Namespace) -> None:
    """Write the result, then print its tables and the verdict."""
    from platonic_jax import report

    if args.json:
        report.save(found, args.json)
    written = report.write(found, args.folder) if args.folder else None
    console = _print.console()
    for table in report.tables(found):
        console.print(_print.rich_table(table))
    for paragraph in report.verdicts(found):
        _print.say(paragraph)
    if written:
        _print.say_file("The report is in", written)


def keep_compiled() -> None:
    """What is compiled once is kept: to be called before JAX comes, and for this process alone."""
    from platonic_adapters import caches

    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(caches.directory() / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
