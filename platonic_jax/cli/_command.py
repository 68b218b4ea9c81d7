"""Steps shared by all commands that compute: check arguments, compute, write, print."""

import argparse
import gc
import hashlib
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platonic_adapters import targets

from platonic_jax import _memory
from platonic_jax.cli import _arguments, _print

_EXCESS = 1.1  # Of the memory allowed: what is beyond ends the command, well before it has a fifth too much.
_INTERVAL = 0.02  # s between two looks at it

Find = Callable[[argparse.Namespace], Any]


class Failed(Exception):
    """Failure of another program, which has reported it itself."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Unequal(Exception):
    """Difference between results that should be equal."""


def run(find: Find, args: argparse.Namespace) -> int:
    """Compute a result, write it where requested, and print it."""
    _arguments.check_targets(args.json, args.folder)
    keep_compiled()
    deliver(find(args), args)
    return 0


@contextmanager
def within_memory(size: int | None) -> Iterator[None]:
    """Hold what is done inside to the memory that the user allows; to what the machine has if None.

    What is known to need more is refused before it starts. Should other work take more all the same, the process says
    so and ends at once, as it would be ended by the system elsewhere: no result is half written by that.
    """
    done = threading.Event()

    def watch(allowed: int) -> None:
        while not done.wait(_INTERVAL):
            if _memory.resident() > _EXCESS * allowed:
                sys.stderr.write(
                    f"platonic: this work takes more than the {_memory.text_of(allowed)} of memory that `--memory` "
                    "allows: take fewer structures, or allow more.\n"
                )
                sys.stderr.flush()
                os._exit(2)

    with _memory.limited(size):
        if size is not None:
            threading.Thread(target=watch, args=(size,), daemon=True).start()
        try:
            yield
        finally:
            done.set()


def deliver(result: Any, args: argparse.Namespace) -> None:
    """Write the result, then print its tables and the verdict."""
    from platonic_jax import report

    targets.write_json(report.to_json(result), args.json)
    written = report.write(result, args.folder) if args.folder else None
    console = _print.console()
    for table in report.tables(result):
        console.print(_print.rich_table(table))
    for paragraph in report.verdict(result):
        _print.say(paragraph)
    if written:
        _print.say_file("The report is in", written)


def keep_compiled() -> None:
    """Keep compiled functions on disk, and collect garbage less often; call it before JAX is imported.

    It affects this process only.
    """
    from platonic_adapters import caches

    gc.set_threshold(50_000, 20, 100)  # Traces are many small objects, which live as long as their programs.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(caches.directory() / "compiled" / _processor()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    # XLA logs an error for each program that it loads: it takes its own tuning flags, such as `prefer-no-gather`, for
    # features that the processor lacks. What really differs between processors is in the folder's name.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _processor() -> str:
    """A name of the processor's instruction set: homes are shared by machines that are not alike."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
