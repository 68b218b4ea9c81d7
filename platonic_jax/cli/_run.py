"""`platonic run`: a reproducible study described by a file."""

import argparse
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platonic_jax._files import replacing
from platonic_jax.cli import _arguments, _command, _print, _probes, _study

DESCRIPTION = (
    "Run the steps of a study described by a TOML file, and write one report. Each table is a command, its entries\n"
    "are the command's options; `stores` are the stores of all steps, and [embed] makes them, in one thread, so\n"
    "that embeddings are reproducible bit for bit. Unchanged steps are skipped. A lock file next to the study\n"
    "records versions, inputs and hashes of the numbers, so that a later run can verify that it reproduces them."
)
TASK, USAGE = "run a whole study", "run STUDY.toml"
EXAMPLES = """\
  platonic run study.toml
  platonic run study.toml --locked --fresh -o again/

a study:
  title = "Two models on my crystals"

  [embed]
  models = ["7net-0", "chgnet-0.3.0", "random:7net-0?seed=0"]
  structures = "structures.extxyz"

  [compare]
  anchors = "direct"
  k = 50
  by = ["element"]

  [stitch]
  source = "chgnet-0.3.0"
  target = "7net-0"
  k = 30

  [symmetry]
  models = ["7net-0"]
  structures = "structures.extxyz"
  limit = 2
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("study", metavar="FILE", help="a TOML file; paths in it are relative to its folder")
    parser.add_argument("--fresh", action="store_true", help="repeat every step, even if nothing changed")
    parser.add_argument(
        "--locked",
        action="store_true",
        help="refuse versions and inputs that differ from the lock file, and fail if any number differs",
    )
    _arguments.add_report(parser, more=", with the results of every step (default: a folder named after the file)")


def run(args: argparse.Namespace) -> int:
    """Run the steps that changed, and write the report and the lock file."""
    path = Path(args.study).absolute()
    folder = Path(args.folder or path.with_suffix("")).absolute()
    target = Path(args.json).absolute() if args.json else None
    study, lock_path = _study.read(path), path.with_suffix(".lock")
    _arguments.check_targets(args.json, folder, output=None if args.locked else str(lock_path))
    known = _lock(lock_path) if args.locked else None
    options = _study.embed_options(study.embed, args.parsers["embed"])
    _command.keep_compiled()
    from platonic_jax import report

    with contextlib.chdir(path.parent):
        embedded = _embedded(study, folder / "stores", options)
        stores = [*study.stores, *embedded.values()]
        steps = [
            _study.step(table, args.parsers[table.command], stores=stores, embedded=embedded) for table in study.tables
        ]
        versions = _study.versions()
        if known:
            _check_same("versions", known["versions"], versions)
        done = [_do(step, folder, versions, known, args=args) for step in steps]
    lock = {"versions": versions, "inputs": {}, "steps": {}}
    for entry in done:
        lock["inputs"] |= entry["inputs"]
        lock["steps"][entry["name"]] = {"key": entry["key"], "numbers": entry["numbers"]}
    target_page = folder / "report.html"
    with replacing(target_page) as partial:
        partial.write_text(report.page([report.Part(**entry["part"]) for entry in done], title=study.title), "utf-8")
    if target:
        _write(target, lock)
    _print.say_file("The report is in", target_page)
    if known:
        other = [name for name, entry in lock["steps"].items() if entry["numbers"] != known["steps"][name]["numbers"]]
        if other:
            raise _command.Unequal(f"the numbers of {', '.join(other)} are not those of {lock_path.name}.")
    else:
        _write(lock_path, lock)
        _print.say_file("Versions, inputs and hashes are in", lock_path)
    return 0


def _lock(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ValueError(f"`--locked` needs {path.name} next to the study, which does not exist: run once without it.")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        texts = [*known["versions"].values(), *known["inputs"].values()]
        texts += [entry[name] for entry in known["steps"].values() for name in ("key", "numbers")]
        whole = all(isinstance(text, str) for text in texts)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        known, whole = {}, False
    if not whole:
        raise ValueError(f"`{path.name}` was changed or damaged: restore the original, or delete it and run again.")
    return known


def _embedded(study: _study.Study, folder: Path, options: Sequence[str]) -> dict[str, str]:
    """Return the stores of [embed] by model, embedding those that do not exist."""
    structures, models = study.embed.get("structures", ""), study.embed.get("models", ())
    return {model: str(_probes.export(model, structures, folder, *options)) for model in models}


def _do(
    step: _study.Step,
    folder: Path,
    versions: Mapping[str, str],
    known: Mapping[str, Any] | None,
    *,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Return the result of a step, from the cache unless one of its inputs changed."""
    from platonic_jax import report

    inputs = _study.inputs(step, folder)
    key, kept = _study.key(step, folder, versions, inputs), folder / "steps" / f"{step.name}.json"
    if known:
        _check_same("inputs", known["inputs"], inputs)
        _check_same("steps", {name: entry["key"] for name, entry in known["steps"].items()}, {step.name: key})
    if kept.is_file() and not args.fresh:
        entry = _believed(kept, step, folder)
        if entry is None:
            _print.say(f"{step.name} is repeated, because its cached result was changed or damaged.")
        elif entry["key"] == key:
            _print.say(f"{step.name}, unchanged: {' '.join(entry['part']['verdict'])}")
            return entry
    step.args.folder = str(folder / "steps" / step.name)
    try:
        result = step.find()
    except ValueError as error:
        raise ValueError(f"[{step.name}] {error}") from None
    report.write_files(result, folder, name=step.name)
    entry = {
        "name": step.name,
        "key": key,
        "inputs": inputs,
        "numbers": _study.numbers(json.loads((folder / f"{step.name}.json").read_text(encoding="utf-8"))),
        "files": _files(step, folder),
        "part": asdict(report.part(result, name=step.name)),
    }
    _write(kept, {**entry, "digest": _study.digest(entry)})
    _print.say(f"{step.name}: {' '.join(entry['part']['verdict'])}")
    return entry


def _believed(kept: Path, step: _study.Step, folder: Path) -> dict[str, Any] | None:
    """Return the cached result of a step, if neither it nor its files changed."""
    try:
        entry = json.loads(kept.read_text(encoding="utf-8"))
        digest = entry.pop("digest")
        whole = digest == _study.digest(entry) and entry["files"] == _files(step, folder)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, OSError):
        return None
    return entry if whole else None


def _files(step: _study.Step, folder: Path) -> dict[str, str]:
    """Fingerprint the files that a step wrote: its result, and those that other steps may read."""
    result = folder / f"{step.name}.json"
    return {Path(path).name: _study.fingerprint(Path(path)) for path in (result, *step.outputs)}


def _check_same(what: str, known: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name, value in now.items():
        if known.get(name) != value:
            raise ValueError(
                f"`--locked` refuses {what} that differ from the lock file: {name} is {value[:16]}, not "
                f"{str(known.get(name))[:16]}. Restore those of the lock file, or run without `--locked`."
            )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
