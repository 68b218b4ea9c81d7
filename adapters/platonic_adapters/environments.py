"""One environment a family, made by uv on first use, cached, reused. `platonic embed` runs the export in it.

What it installs is locked, with hashes, in `locks/`; `python -m platonic_adapters.environments FAMILY …` does it anew.
An environment holds the model's requirements and those of the light core, never platonic_adapters itself: its code
comes from a copy in the cache, keyed by its content, so that the one who calls and the one who embeds are always the
same version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from platonic_adapters import caches, cli, processes, registry
from platonic_adapters.errors import ExportError
from platonic_adapters.export import already_complete
from platonic_adapters.registry import Family
from platonic_adapters.store import write_structures
from platonic_adapters.terminal import say

__all__ = ["command", "embed", "ensure", "key", "lock", "lock_file"]

# The dependencies of the light core (a test holds them equal to those in pyproject.toml).
CORE = ("numpy>=1.26", "ase>=3.23", "zarr>=3.1", "platformdirs>=4")
# What `--workers` and `--scheduler` run on: the extra `dask`.
DASK = ("distributed>=2025.1", "cryptography>=42")


@cli.exit_code
def embed(args: argparse.Namespace) -> int:
    """Embed in the family's own environment, made if need be; the arguments are those of `cli.add_embed_arguments`.

    The input is read here, once, so that every family sees the same numbers whatever its own versions would read.
    """
    spec = cli.wanted(args)
    structures, skipped, source = cli.read_input(args)
    if not args.overwrite:
        done = already_complete(args.output, spec, structures, layers=args.layers, properties=args.properties)
        if done is not None:
            return cli.report(args, done)
    python = ensure(spec.family)
    with processes.temporary("platonic-") as folder:
        handed_over = folder / "structures.zarr"
        write_structures(handed_over, structures, source=source, skipped=skipped)
        return _run(command(python, args, handed_over))


def run(model: str, source: str | Path, target: str | Path, *options: str) -> int:
    """Embed as `platonic embed` does, with options as on its command line; return its exit code."""
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    return embed(parser.parse_args([model, str(source), "-o", str(target), *options]))


def command(python: Path, args: argparse.Namespace, structures: Path) -> list[str]:
    """The command that embeds `structures` with the options of `args` in the environment of `python`."""
    options = {
        "--layers": ",".join(args.layers),
        "--properties": ",".join(args.properties),
        "--batch-atoms": args.batch_atoms,
        "--orbit-average": args.orbit_average,
        "--device": args.device,
        "--threads": args.threads,
        "--workers": args.workers,
        "--scheduler": args.scheduler,
        "--json": args.json,
    }
    given = [part for name, value in options.items() if value for part in (name, str(value))]
    # -P: a folder that happens to be called like a package must not stand in its place.
    run = [str(python), "-P", "-m", "platonic_adapters", args.model, str(structures), "--output", args.output]
    return [*run, *given, *(f"--{flag}" for flag in ("overwrite", "trust") if getattr(args, flag))]


def ensure(family: Family) -> Path:
    """The python of a family's environment, made on first use.

    Raises:
        ExportError: uv is not there or could not make it.
    """
    path = caches.directory() / "environments" / f"{family.name}-{key(family)}"
    python = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists():
        return python
    say(f"making the environment for {family.name} ({', '.join(family.requirements)}), once, in {path} …")
    shutil.rmtree(path, ignore_errors=True)  # left without its interpreter
    path.parent.mkdir(parents=True, exist_ok=True)
    with processes.temporary(f".{family.name}-", path.parent) as folder:
        environment = folder / "environment"
        for step in _uv_commands(family, folder, environment):
            _uv(step, family, folder)
        try:
            environment.rename(path)
        except OSError:
            if not python.exists():  # else another run was faster
                raise
    return python


def key(family: Family) -> str:
    """Hash everything that distinguishes two environments: every requirement, and the version of Python."""
    locked = lock_file(family).read_text() if _is_locked(family) else ""
    parts = [_wanted(family), family.constraints, family.overrides, sys.version_info[:2], locked]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _uv_commands(family: Family, folder: Path, environment: Path) -> list[list[str]]:
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *_limits(family, folder)]
    if "UV_FIND_LINKS" not in _uv_environment():
        install.append("--torch-backend=auto")  # no 4 GB of CUDA without an NVIDIA GPU
    make = ["venv", "--quiet", "--relocatable", "--no-project", "--python", sys.executable, str(environment)]
    wanted = ["--requirements", str(lock_file(family))] if _is_locked(family) else _wanted(family)
    return [make, [*install, *wanted]]


def _wanted(family: Family) -> list[str]:
    return [*CORE, *DASK, *family.requirements]


def _limits(family: Family, folder: Path) -> list[str]:
    """Write constraints and overrides to the files that uv reads them from, and return its options."""
    options = []
    for option, lines in (("--constraints", family.constraints), ("--overrides", family.overrides)):
        if lines:
            file = folder / f"{option.strip('-')}.txt"
            file.write_text("\n".join(lines) + "\n")
            options += [option, str(file)]
    return options


def lock_file(family: Family) -> Path:
    """Path of a family's lock file, with versions and hashes; families of other packages have none."""
    return Path(__file__).parent / "locks" / f"{family.name}.txt"


def _is_locked(family: Family) -> bool:
    """Test whether the lock file is of these very requirements."""
    return lock_file(family).is_file() and lock_file(family).read_text().startswith(_head(family))


def _head(family: Family) -> str:
    digest = hashlib.sha256(json.dumps([_wanted(family), family.constraints, family.overrides]).encode()).hexdigest()
    return f"# Made by `python -m platonic_adapters.environments {family.name}` for requirements {digest[:16]}.\n"


def lock(family: Family) -> Path:
    """Resolve all that a family needs anew, for every platform and Python from 3.11, and write its lock file.

    Raises:
        ExportError: uv is not there or could not do it.
    """
    target = lock_file(family)
    target.parent.mkdir(exist_ok=True)
    with processes.temporary("platonic-") as folder:
        wanted, resolved = folder / "wanted.in", folder / "resolved.txt"
        wanted.write_text("\n".join(_wanted(family)) + "\n")
        silent = ("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links")
        resolve = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", *silent]
        _uv([*resolve, *_limits(family, folder), str(wanted), "--output-file", str(resolved)], family, folder)
        target.write_text(_head(family) + _any_build_of_torch(resolved.read_text(), family))
    return target


def _any_build_of_torch(text: str, family: Family) -> str:
    """A lock in which torch may be any build of its version: for a CPU, for CUDA, or a local wheel.

    Its hash would name one of them, and what it brings along for GPUs follows from the build.
    """
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    kept = [entry for entry in entries if not re.match(r"(torch|triton|cuda-[\w-]+|nvidia-(?!ml-)[\w-]+)==", entry)]
    return "".join([*(f"{line}\n" for line in family.requirements if line.startswith("torch==")), *kept])


def _uv_environment() -> dict[str, str]:
    """This process's variables; uv does not read pip's settings, so it is handed pip's folder of wheels."""
    variables = dict(os.environ)
    if "PIP_FIND_LINKS" in variables:
        variables.setdefault("UV_FIND_LINKS", ",".join(variables["PIP_FIND_LINKS"].split()))
    return variables


def _uv(arguments: list[str], family: Family, folder: Path) -> None:
    try:
        import uv

        binary = uv.find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise ExportError(
            f"the environment for {family.name} is made by uv, which is not installed; run `pip install uv`, or run"
            f' `platonic-embed` in an environment of your own with `pip install "platonic-adapters[{family.name}]"`.'
        ) from error
    # From its own folder, so that no project's settings for uv apply.
    done = processes.with_parent([binary, *arguments], cwd=folder, env=_uv_environment())
    if done.returncode:
        last = " ".join(line.strip() for line in done.stderr.strip().splitlines()[-4:])
        raise ExportError(
            f"uv could not make the environment for {family.name}; check the network and try again; it said: {last}"
        )


def _code() -> Path:
    """A folder with a copy of this package, keyed by its content."""
    package = Path(__file__).parent
    path = caches.directory() / "code" / caches.code_digest()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with processes.temporary(".code-", path.parent) as folder:
            copy = folder / "code"
            for file in caches.code_files():
                target = copy / package.name / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(package / file, target)
            try:
                copy.rename(path)
            except OSError:
                if not path.exists():
                    raise
    return path


def _run(arguments: list[str]) -> int:
    """Run a command that ends with this process, however this process ends; its exit code."""
    # Without bytecode, importing torch and its kin takes ten seconds longer each time; this environment is ours.
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONDONTWRITEBYTECODE")}
    # Nor is there a notebook's backend of matplotlib in it, which some models import.
    variables |= {"PYTHONPATH": str(_code()), "PYTHONNOUSERSITE": "1", "MPLBACKEND": "agg"}
    return processes.wait(processes.start(arguments, variables))


if __name__ == "__main__":
    for each in registry.families():
        if each.name in sys.argv[1:]:
            say(f"{each.name}: {lock(each)}")
