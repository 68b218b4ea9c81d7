"""Processes that end when they should: signals, children that do not outlive their parent, and what the dead left."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "Terminated",
    "bound_to_parent",
    "ending",
    "num_cores",
    "signals",
    "start",
    "temporary",
    "wait",
    "with_parent",
]

# Set, to its own number, by the process that starts this one for itself.
PARENT = "PLATONIC_ENDS_WITH_PARENT"
GRACE = 20  # s that a child has to say its last sentence
_POSIX = os.name == "posix"
_ENDING = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # of Linux
_AGAIN = 3.0  # s after which an interruption is repeated, unless the work has begun to end
_again: list[threading.Timer] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM: it unwinds as Ctrl-C does."""


@contextmanager
def signals() -> Iterator[None]:
    """Inside, SIGTERM raises `Terminated`, a second one kills; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    try:
        if _POSIX:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)  # `start` begins a child with them held back
        yield
    finally:
        _do_not_repeat()
        for number, handler in before.items():
            signal.signal(number, handler)


def ending(error: KeyboardInterrupt) -> tuple[str, int]:
    """The word for a signal that ended the work, and the exit code."""
    return ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)


def start(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program of ours that ends with this process, however this process ends.

    Args:
        command: The program, which calls `bound_to_parent` first.
        variables: Its environment.
    """
    # Until it listens, signals wait: an interpreter that starts answers them with a traceback.
    with _held_back():
        return subprocess.Popen(command, stdin=subprocess.PIPE, env={**variables, PARENT: str(os.getpid())})


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a program that `start` started; a signal to this process goes on to it.

    Returns:
        Its exit code, 128 and more for a signal.
    """
    with process:
        try:
            code = process.wait()
        except KeyboardInterrupt as error:
            _do_not_repeat()
            # The terminal may have told it, too: it listens once.
            process.send_signal(signal.SIGTERM if isinstance(error, Terminated) or not _POSIX else signal.SIGINT)
            try:
                code = process.wait(GRACE)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                process.kill()
                code = process.wait()
    return code if code >= 0 else 128 - code


def bound_to_parent() -> None:
    """End with the process that started this one by `start`, and be interrupted once; in any other process, nothing."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return
    signal.signal(signal.SIGINT, _interrupt_once)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    _die_with(int(parent))


def with_parent(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run somebody else's program, with what it says as text; on Linux it does not outlive this process.

    Args:
        command: The program and its arguments.
        options: As `subprocess.run` takes them.
    """
    if sys.platform == "linux":
        # The kernel remembers what a process asked for when it becomes another program.
        script = (
            f"import ctypes, os, sys; ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGKILL)});"
            f" os.getppid() == {os.getpid()} or os._exit(1); os.execvp(sys.argv[1], sys.argv[1:])"
        )
        command = [sys.executable, "-I", "-S", "-c", script, *command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)


@contextmanager
def temporary(prefix: str, parent: str | Path | None = None) -> Iterator[Path]:
    """A folder that is gone in the end; those that dead processes of this machine left there go first.

    Args:
        prefix: What its name begins with.
        parent: Where it is; the folder of the system for such things if None.
    """
    base = Path(tempfile.gettempdir() if parent is None else parent)
    prefix = f"{prefix}{socket.gethostname()}-"
    for left in base.iterdir():
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if left.name.startswith(prefix) and owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    # Named before it is made, so that an interruption between the two leaves nothing.
    folder = base / f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(0o700)
        yield folder
    finally:
        with _held_back():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held_back() -> Iterator[None]:
    """Let signals wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING) if _POSIX else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _alive(process: int) -> bool:
    if not _POSIX:
        return True  # there is no harmless way to ask
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _terminate(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unwind(Terminated)


def _interrupt(_number: int, _frame: object) -> None:
    _unwind(KeyboardInterrupt)


def _unwind(error: type[KeyboardInterrupt]) -> None:
    """Interrupt the work, again and again until it ends.

    Python drops what is raised while it runs a finaliser or a callback of the garbage collector, and a signal that
    comes just then would be lost.
    """
    _quiet()
    _do_not_repeat()
    if _POSIX:
        signal.signal(signal.SIGINT, lambda *_: _unwind(error))
        main = threading.main_thread().ident
        timer = threading.Timer(_AGAIN, signal.pthread_kill, (main, signal.SIGINT))
        timer.daemon = True
        _again.append(timer)
        timer.start()
    raise error


def _do_not_repeat() -> None:
    while _again:
        _again.pop().cancel()


def _interrupt_once(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _quiet()
    raise KeyboardInterrupt


def _quiet() -> None:
    """Zarr writes in threads of asyncio, which would report everything that an end cuts short."""
    logging.getLogger("asyncio").disabled = True
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.unraisablehook = lambda _: None


def _end_with_stdin() -> None:
    while os.read(0, 1):  # past Python's buffer, whose lock would be held at our own end
        pass
    os._exit(1)


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, also while no line of Python is run; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
