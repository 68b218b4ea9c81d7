"""Memory: the limit of this process, the free memory, the estimate of the work, and block sizes that fit.

One number bounds all of it, the budget: what `limited` says, and elsewhere what the machine or its control group has.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["available", "block_bytes", "budget", "limited", "parse", "require", "resident", "text_of"]

BASE = 1_300_000_000  # Bytes of a process with JAX and the programs that it compiles, before any data: measured.
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_UNITS |= {f"{unit}I": 1024**i for i, unit in enumerate("KMGT", 1)}
_LARGEST_BLOCK, _SMALLEST_BLOCK = 2**26, 2**20
_BLOCKS = 64  # So many blocks fill a budget: several are held at once.
_GIVEN: ContextVar[int | None] = ContextVar("memory", default=None)


def parse(text: str) -> int:
    """Read a size such as `4GB`, `500 MB` or `2GiB`.

    Args:
        text: A number and a unit: B, KB, MB, GB or TB, powers of 1000, or KiB to TiB, powers of 1024.

    Returns:
        Bytes, above zero.

    Raises:
        ValueError: If it is no such size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?|)B\s*", text.upper())
    size = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 1 <= size < 2**63:
        raise ValueError(f"must be a size above zero, such as 4GB, 500MB or 2GiB, got {text!r}")
    return int(size)


def text_of(size: int) -> str:
    """Write a number of bytes as people do, rounded up: `3.6 GB`."""
    unit = 1000**3 if size >= 1000**3 else 1000**2
    return f"{-(-size * 10 // unit) / 10:g} {'GB' if unit == 1000**3 else 'MB'}"


@contextmanager
def limited(size: int | None) -> Iterator[None]:
    """Set the budget inside.

    Args:
        size: Bytes that the process may hold; what there is, if None.
    """
    token = _GIVEN.set(size)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def budget() -> int:
    """Compute how many bytes the process may hold: those that were given, or what it holds and what is available."""
    given = _GIVEN.get()
    return resident() + available() if given is None else given


def block_bytes() -> int:
    """Compute the size of one block of work, from 1 to 64 MiB; it follows the budget that is given.

    Sums over rows round otherwise where blocks are others. So what the machine has left at the moment changes no block.
    """
    given = _GIVEN.get()
    return _LARGEST_BLOCK if given is None else min(max(given // _BLOCKS, _SMALLEST_BLOCK), _LARGEST_BLOCK)


def require(data: int, *, work: str, advice: str) -> None:
    """Refuse work that would not fit the budget, before it starts.

    Args:
        data: Bytes that the work holds at its peak, its input included; what the process always holds is added.
        work: What it is, such as `the comparison of 3 models`.
        advice: What makes it smaller, such as `take fewer structures (--limit)`.

    Raises:
        ValueError: If it does not fit, with what it would need.
    """
    needed, allowed = max(resident(), BASE + data), budget()
    if needed > allowed:
        origin = "are available" if _GIVEN.get() is None else "are allowed"
        raise ValueError(
            f"{work} needs about {text_of(needed)} of memory, and {text_of(allowed)} {origin}: {advice}, or allow more "
            f"(`--memory {text_of(needed).replace(' ', '')}`)."
        )


def resident() -> int:
    """Read how many bytes of memory this process holds; its peak where the system does not tell the present."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        if os.name != "posix":
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def available() -> int:
    """Read how many more bytes this process may take: what the machine has free, and what its control groups allow."""
    if os.name != "posix":
        return 2**63  # There is no way to ask without another library.
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") - resident()]
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, LookupError):
        pass  # No Linux.
    return max(0, min([*free, *_left_in_groups()]))


def _left_in_groups(root: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Yield the memory left in each control group of this process and its parents; caches count as free."""
    try:
        groups = [line.split(":", 2) for line in process.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in (group for group in groups if len(group) == 3):
        if controllers == "":
            top, limit, used, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            top, (limit, used, cache) = root / "memory", names
        else:
            continue
        inside = top / path.lstrip("/")
        for folder in (inside, *inside.parents):
            if not folder.is_relative_to(top):
                break
            try:
                most, now = (int((folder / name).read_text()) for name in (limit, used))
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield most - now + int(stat.get(cache, 0))
            except (OSError, ValueError):
                continue  # No limit here, or none that can be seen.
