"""Study files: their steps, the inputs of the steps, and the lock file that records them."""

import argparse
import hashlib
import json
import platform
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from platonic_jax.analyses import ANALYSES

# What numbers depend on, where it is installed.
_PACKAGES = (
    "platonic-jax",
    "platonic-adapters",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "scikit-learn",
    "ott-jax",
    "flax",
    "optax",
    "ase",
    "pymatgen",
    "spglib",
    "phonopy",
)
# What a study decides itself, and what makes a file without a result to report.
_OWN = ("help", "folder", "json", "extend", "memory")
# How commands call what is a store.
_STORES = ("STORE", "QUERY", "BEFORE", "AFTER", "FROM", "TO")
COMMANDS = tuple(analysis.command for analysis in ANALYSES)


@dataclass(frozen=True)
class Table:
    """A step as written in the file.

    Attributes:
        name: of the step, and of its files: the command, numbered where there are several.
        command: what is run.
        options: named as on the command line.
    """

    name: str
    command: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """Content of a study file.

    Attributes:
        title: heading of the report.
        stores: those that are there already.
        embed: models, structures and options of stores to be made first; empty if there are none.
        tables: the steps, in the order of the file.
    """

    title: str
    stores: tuple[str, ...]
    embed: Mapping[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Step:
    """One command of a study, ready to run.

    Attributes:
        name: of the step.
        command: what is run.
        words: its arguments, as on the command line.
        args: the same, understood.
    """

    name: str
    command: str
    words: tuple[str, ...]
    args: argparse.Namespace

    def find(self) -> Any:
        """Compute the result."""
        return self.args.find(self.args)

    @property
    def outputs(self) -> list[str]:
        """Files that other steps may read."""
        return [self.args.save] if getattr(self.args, "save", None) else []


def read(path: Path) -> Study:
    """Read a study.

    Raises:
        ValueError: it is no TOML, or asks for what does not exist.
    """
    try:
        asked = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"`{path.name}` must be UTF-8, got another encoding.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"`{path.name}` must be TOML, got a mistake: {error}.") from None
    asked = _flat(asked, path)
    known = ("title", "stores", "embed", *(_heading(command) for command in COMMANDS))
    for name in asked:
        if name not in ("title", "stores", "embed", *COMMANDS):
            raise ValueError(f"`{path.name}` must hold {', '.join(known)}, got `{_heading(name)}`.")
    tables = []
    for command in (name for name in asked if name in COMMANDS):
        several = asked[command] if isinstance(asked[command], list) else [asked[command]]
        for i, options in enumerate(several, 1):
            heading = _heading(command)
            if not isinstance(options, dict):
                raise ValueError(f"`{heading}` in `{path.name}` must be a table, [{heading}], got {options!r}.")
            name = command.replace(" ", "-")
            tables.append(Table(name if len(several) == 1 else f"{name}-{i}", command, options))
    if not tables:
        raise ValueError(f"`{path.name}` must hold a table of a command, such as [compare], got none.")
    if [table.command for table in tables].count("compare") > 1:
        raise ValueError(f"`{path.name}` must hold one [compare], got several: a report links the maps of one.")
    title, stores, embed = asked.get("title", path.stem), asked.get("stores", []), asked.get("embed", {})
    if not isinstance(title, str):
        raise ValueError(f"`title` in `{path.name}` must be a text, got {title!r}.")
    if not _texts(stores):
        raise ValueError(f'`stores` in `{path.name}` must be a list, such as ["a.zarr", "b.zarr"], got {stores!r}.')
    if not isinstance(embed, dict):
        raise ValueError(f"`embed` in `{path.name}` must be a table, [embed], got {embed!r}.")
    if embed and not {"models", "structures"} <= set(embed):
        raise ValueError(f"`embed` in `{path.name}` must have `models` and `structures`, got {', '.join(embed)}.")
    if embed and not (_texts(embed["models"]) and embed["models"] and isinstance(embed["structures"], str)):
        raise ValueError(f"[embed] in `{path.name}` must have a list of `models`, and `structures` as one text.")
    return Study(title, tuple(stores), embed, tuple(tables))


def _heading(command: str) -> str:
    """Return the name of a command in TOML, with a dot before a subcommand: `arithmetic.analogies`."""
    return command.replace(" ", ".")


def _flat(asked: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Replace the tables of a group of commands by those of its commands."""
    groups = {command.partition(" ")[0] for command in COMMANDS if " " in command}
    flat = {}
    for name, value in asked.items():
        if name not in groups:
            flat[name] = value
        elif isinstance(value, dict):
            flat |= {f"{name} {command}": options for command, options in value.items()}
        else:
            raise ValueError(f"`{name}` in `{path.name}` must be tables, such as [{name}.analogies], got {value!r}.")
    return flat


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def embed_options(embed: Mapping[str, Any], parser: argparse.ArgumentParser) -> list[str]:
    """The options of [embed] as on the command line.

    Args:
        embed: The table.
        parser: That of `platonic embed`.

    Raises:
        ValueError: the command knows no such option, or not this value.
    """
    if not embed:
        return []
    # Several threads add forces up in the order in which they happen to end.
    options = {"threads": 1} | {name: option for name, option in embed.items() if name not in ("models", "structures")}
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    actions = {dest: option for dest, option in actions.items() if dest not in (*_OWN, "output")}
    words = [
        word for dest, value in _given("embed", options, actions) for word in _words("embed", actions[dest], value)
    ]
    parser.parse_args(["-o", "STORE.zarr", *words, "--", "MODEL", "INPUT"])
    return words


def step(table: Table, parser: argparse.ArgumentParser, *, stores: Sequence[str], embedded: Mapping[str, str]) -> Step:
    """Return the command that a table describes.

    Args:
        table: of the file.
        parser: of its command.
        stores: what takes the place of `stores` where the table has none.
        embedded: stores that the study makes, by model: where a store is wanted, the model's name will do.

    Raises:
        ValueError: the command knows no such option, or not this value.
    """
    actions = {action.dest: action for action in parser._actions if action.dest not in _OWN}
    given = dict(_given(table.name, table.options, actions))
    if "stores" in actions and stores:
        given.setdefault("stores", list(stores))
    words: list[str] = []
    places: list[str] = []
    for dest in (dest for dest in actions if dest in given):
        arguments = list(_words(table.name, actions[dest], given[dest]))
        if actions[dest].metavar in _STORES:
            arguments = [embedded.get(word, word) for word in arguments]
        (words if actions[dest].option_strings else places).extend(arguments)
    words += ["--", *places] if places else []
    return Step(table.name, table.command, tuple(words), parser.parse_args(words))


def _given(table: str, options: Mapping[str, Any], actions: Mapping[str, argparse.Action]) -> Iterator[tuple[str, Any]]:
    """Map the options of a table to argument names: options by their flags, positional arguments by their own names."""
    named = {dest: dest for dest in actions}
    named |= {
        flag.lstrip("-").replace("-", "_"): dest for dest, action in actions.items() for flag in action.option_strings
    }
    for name, value in options.items():
        if name.replace("-", "_") not in named:
            known = ", ".join(dest.replace("_", "-") for dest in actions)
            raise ValueError(f"[{table}] must have options of {known}, got `{name}`.")
        yield named[name.replace("-", "_")], value


def _words(table: str, action: argparse.Action, value: Any) -> Iterator[str]:
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str | int | float) for entry in entries):
        raise ValueError(f"[{table}] must have texts, numbers or lists of them, got {value!r} for `{action.dest}`.")
    if (action.nargs == 0) != isinstance(value, bool):
        wanted = "true or false" if action.nargs == 0 else "a text, a number or a list of them"
        raise ValueError(f"[{table}] must have {wanted} for `{action.dest}`, got {value!r}.")
    flag = [action.option_strings[-1]] if action.option_strings else []
    values = [str(entry) for entry in entries]
    if isinstance(value, bool):
        yield from flag if value else ()
    elif not flag:
        yield from values
    elif isinstance(action, argparse._AppendAction):
        for entry in values:
            yield from (*flag, entry)
    elif action.nargs in ("+", "*"):
        yield from (*flag, *values)
    else:
        yield from (*flag, ",".join(values))


def versions() -> dict[str, str]:
    """Return the versions of everything that numbers depend on besides their input."""
    import jax

    import platonic_jax

    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    root = Path(platonic_jax.__file__).parent
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": jax.devices()[0].device_kind,
        "precision": str(jax.numpy.zeros(0).dtype),
        **packages,
        # A checkout changes without its version.
        "source": _digest(path.read_bytes() for path in sorted(root.rglob("*.py"))),
    }


def inputs(step: Step, folder: Path) -> dict[str, str]:
    """Fingerprint every file and store that a step names, by path, or by name for outputs of the study."""
    # NAME=STORE names one, too.
    paths = {
        Path(part) for word in step.words for part in (word, word.rpartition("=")[2]) if part and Path(part).exists()
    }
    paths -= {Path(path) for path in step.outputs}
    return {_within(str(path), folder): fingerprint(path) for path in sorted(paths)}


def _within(word: str, folder: Path) -> str:
    return word.replace(f"{folder}/", "")


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of all files of a store except the one with its creation time."""
    if path.is_file():
        return _digest([path.read_bytes()])
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "zarr.json"]
    return _digest(part for file in files for part in (str(file.relative_to(path)).encode(), file.read_bytes()))


def key(step: Step, folder: Path, versions: Mapping[str, str], inputs: Mapping[str, str]) -> str:
    """Hash a step independently of the location of its study: one key, one result."""
    words = [_within(word, folder) for word in step.words]
    return digest([step.command, words, versions, inputs])


def numbers(result: Any) -> str:
    """SHA-256 of a result without its provenance and dates."""
    return digest(_without_provenance(result))


def digest(content: Any) -> str:
    """SHA-256 of a JSON-compatible value."""
    return _digest([json.dumps(content, sort_keys=True).encode()])


def _without_provenance(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_provenance(entry) for name, entry in value.items() if name != "provenance"}
    if isinstance(value, list):
        return [_without_provenance(entry) for entry in value]
    return value


def _digest(parts: Iterable[bytes]) -> str:
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()
