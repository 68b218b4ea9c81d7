"""`platonic run`: a study from a file, again and again."""

import argparse
import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platonic_jax._files import replacing
from platonic_jax.cli import _arguments, _command, _print, _probes, _study

DESCRIPTION = (
    "Run the steps of a study that a TOML file describes, and write one report of them. A table is a command, its "
    "entries are\n"
    "the command's options; `stores` are the stores of all steps, and [embed] makes them, in one thread, so that\n"
    "rows come out bit for bit. What has not changed is not done again.\n"
    "The lock beside the file says which versions and inputs the numbers come from, and by their hashes whether they "
    "come out\n"
    "the same."
)
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
    parser.add_argument("study", metavar="FILE", help="a TOML file; paths in it are those beside it")
    parser.add_argument("--fresh", action="store_true", help="do every step again")
    parser.add_argument(
        "--locked",
        action="store_true",
        help="refuse other versions and inputs than those of the lock, and fail where a number is another one",
    )
    _arguments.add_report(parser, more=", with what every step made (default: a folder named after the file)")


def run(args: argparse.Namespace) -> int:
    """Run what has changed, and write the report and the lock."""
    _arguments.check_json(args.json)
    path = Path(args.study).absolute()
    folder = Path(args.folder or path.with_suffix("")).absolute()
    _arguments.check_folder(folder)
    target = Path(args.json).absolute() if args.json else None
    study, lock_path = _study.read(path), path.with_suffix(".lock")
    known = _lock(lock_path, required=args.locked)
    _command.keep_compiled()
    from platonic_jax import report

    with contextlib.chdir(path.parent):
        embedded = _embedded(study, folder / "stores")
        stores = [*study.stores, *embedded.values()]
        steps = [
            _study.step(table, args.parsers[table.command], stores=stores, embedded=embedded) for table in study.tables
        ]
        versions = _study.versions()
        if args.locked:
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
    other = _other_numbers(known, lock)
    if other and args.locked:
        raise _command.Unequal(f"the numbers of {', '.join(other)} are not those of {lock_path.name}.")
    if not args.locked:
        _write(lock_path, lock)
        _print.say_file("Versions, inputs and hashes are in", lock_path)
    return 0


def _lock(path: Path, *, required: bool) -> Mapping[str, Any]:
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    if required:
        raise ValueError(f"`--locked` must find {path.name} beside the study, got none: run it once without.")
    return {"versions": {}, "inputs": {}, "steps": {}}


def _embedded(study: _study.Study, folder: Path) -> dict[str, str]:
    """The stores of [embed] by model, made where they are not there."""
    if not study.embed:
        return {}
    # Several threads add forces up in the order in which they happen to end.
    options = {"threads": 1} | {name: of for name, of in study.embed.items() if name not in ("models", "structures")}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    structures, models = study.embed["structures"], study.embed["models"]
    return {model: str(_probes.export(model, structures, folder, *words)) for model in models}


def _do(
    step: _study.Step, folder: Path, versions: Mapping[str, str], known: Mapping[str, Any], *, args: argparse.Namespace
) -> dict[str, Any]:
    """What a step found, which is kept until something of it changes."""
    from platonic_jax import report

    inputs = _study.inputs(step, folder)
    if args.locked:
        _check_same("inputs", {path: known["inputs"].get(path) for path in inputs}, inputs)
    key, kept = _study.key(step, folder, versions, inputs), folder / "steps" / f"{step.name}.json"
    if kept.is_file() and not args.fresh:
        entry = json.loads(kept.read_text(encoding="utf-8"))
        if entry["key"] == key and all(Path(path).is_file() for path in step.outputs):
            _print.say(f"{step.name}, unchanged: {' '.join(entry['part']['verdict'])}")
            return entry
    step.args.folder = str(folder / "steps" / step.name)
    try:
        found = step.find()
    except ValueError as error:
        raise ValueError(f"[{step.name}] {error}") from None
    report.write_files(found, folder, name=step.name)
    entry = {
        "name": step.name,
        "key": key,
        "inputs": inputs,
        "numbers": _study.numbers(json.loads((folder / f"{step.name}.json").read_text(encoding="utf-8"))),
        "part": asdict(report.part(found, name=step.name)),
    }
    _write(kept, entry)
    _print.say(f"{step.name}: {' '.join(entry['part']['verdict'])}")
    return entry


def _check_same(what: str, known: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name, value in now.items():
        if known.get(name) != value:
            raise ValueError(
                f"`--locked` must find the {what} of the lock, got another {name}: {value[:16]}, not "
                f"{str(known.get(name))[:16]}. Install what the lock names, or run without `--locked`."
            )


def _other_numbers(known: Mapping[str, Any], lock: Mapping[str, Any]) -> list[str]:
    """Steps that are the same as before, with other numbers."""
    before, now = known["steps"], lock["steps"]
    same = [name for name in now if name in before and before[name]["key"] == now[name]["key"]]
    return [name for name in same if before[name]["numbers"] != now[name]["numbers"]]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
