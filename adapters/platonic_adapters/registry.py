"""The registry of models: data about each, and what its family needs to run. Nothing here imports a model.

A name is looked up as `NAME`, as `FAMILY:PATH` or `FAMILY:NAME@PATH` (weights in a local file, in the architecture of
NAME where the file does not tell it), or as `random:NAME?seed=0`, the same architecture with re-drawn weights: the
control that every comparison needs.
A family's own options follow in the same place, as in `NAME?t=10` and `random:NAME?seed=0&t=10`; so does
`orbit_average=24`, the model averaged over the rotations of the cube.
Families and models of this package are in `models.toml`; other packages add theirs by an entry point of the group
`platonic_adapters`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from platonic_adapters.errors import UnknownModelError, UserError, first_line
from platonic_adapters.trust import VARIABLE, foreign_code, trusted

__all__ = ["Family", "Model", "ModelSpec", "UnknownModelError", "averaged", "families", "models", "plugins", "resolve"]


@dataclass(frozen=True)
class Family:
    """One code base, one environment.

    Attributes:
        name: also the extra of platonic-adapters that brings it.
        module: the module with its `load`.
        library: what must import for it to run.
        requirements: what uv installs, besides the light core.
        constraints: limits on what those bring along.
        overrides: replacements for broken pins of theirs.
        architecture: of a checkpoint given as `NAME:PATH`, in the words of `Model.architecture`; None where a file
            alone does not tell it.
        options: what a name may carry behind `?`, with the value where it does not.
        weights_only: whether `load` reads a checkpoint as arrays and plain settings, by `torch.load` or without any
            pickle. Files of any other family may run code, and need a word of trust.
        cache: folders in which the library keeps what it downloads, with `~` and `$VARIABLE`; the first whose variables
            are set counts. `$PLATONIC_CACHE` is the folder of `caches.directory`.
        files: pattern of a checkpoint's path in there, with `{}` for `Model.file` and `*` for anything.
        folder: files of a checkpoint that is a folder; others in it do not count.
    """

    name: str
    module: str
    library: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    architecture: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    weights_only: bool = False
    cache: tuple[str, ...] = ()
    files: str = "{}"
    folder: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """One set of weights.

    Attributes:
        name: what users type.
        family: the name of its family.
        licence: of the weights, as distributed.
        training_data: what it was fitted to.
        architecture: `equivariant`, `invariant` or `unconstrained` features; `conservative` or `direct` forces, or
            `no forces`.
        checkpoint: the family's own name of the weights.
        network: the published architecture, such as `M3GNet`; that of the family if empty.
        functional: of the energies it was fitted to: `PBE`, `PBE+U` (the Materials Project's choice of U), `r2SCAN`, …;
            empty where there are none or they are of several.
        supervision: what it was fitted to predict, such as `energy, forces, stress`; `self-supervised`, `generative`.
        body_order: number of atoms of which one message is a joint function: 2 for pairs, 3 with angles; 0 if unknown.
        year: of the weights' publication; 0 if unknown.
        parameters: number of trained parameters; 0 if unknown.
        fine_tuned_from: the model from whose weights its training began.
        note: anything else a reader of a comparison should know.
        sha256: of the checkpoint (`digest`), hex, where it is known: other weights are refused.
        energies: crystal of `loading.CRYSTALS` → the model's energy in eV/atom (or what its `check` gives), where
            weights that are loaded by another convention would go unnoticed.
        options: values of the family's options that differ from the family's own.
        packaged: whether the library's package brings the weights; others have to be fetched.
        file: its name in `Family.files`, if it is not that of the checkpoint.
    """

    name: str
    family: str
    licence: str
    training_data: str
    architecture: str
    checkpoint: str
    network: str = ""
    functional: str = ""
    supervision: str = ""
    body_order: int = 0
    year: int = 0
    parameters: int = 0
    fine_tuned_from: str = ""
    note: str = ""
    sha256: str | None = None
    energies: tuple[tuple[str, float], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    packaged: bool = False
    file: str = ""

    @property
    def relatives(self) -> dict[str, str]:
        """Models of the registry that are not independent of it, and the relation.

        It is `same weights`, `fine-tune` (of it, by it, or of a common model), or `same data and code`.
        """
        related, known = {}, _registered()[1]
        code = (self.network, self.training_data, self.functional)
        for other in known.values():
            if other.family != self.family or other.name == self.name:
                continue
            if len({self.fine_tuned_from or self.name, other.fine_tuned_from or other.name}) == 1:
                related[other.name] = "fine-tune"
            elif other.checkpoint == self.checkpoint and self.name.lower() in known:
                related[other.name] = "same weights"
            elif (other.network, other.training_data, other.functional) == code:
                related[other.name] = "same data and code"
        return related


@dataclass(frozen=True)
class ModelSpec:
    """A model as asked for: of the registry or of a local file (`path`), with its own weights or re-drawn (`seed`).

    `orbit_average` is the number of rotations over which its rows are averaged, if they are (`averaging`); `trusted`
    says that a local file may run code while it is read.
    """

    model: Model
    family: Family
    seed: int | None = None
    path: Path | None = None
    chosen: tuple[tuple[str, str], ...] = ()
    orbit_average: int | None = None
    trusted: bool = False

    @property
    def options(self) -> dict[str, str]:
        """Every option of the family, as chosen or by default."""
        return {**self._defaults, **dict(self.chosen)}

    @property
    def name(self) -> str:
        """The full name, the same for every spelling of it."""
        query = {} if self.seed is None else {"seed": str(self.seed)}
        query |= {name: value for name, value in self.options.items() if value != self._defaults[name]}
        query |= {} if self.orbit_average is None else {"orbit_average": str(self.orbit_average)}
        prefix = "" if self.seed is None else "random:"
        options = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{prefix}{self.model.name}{'?' if options else ''}{options}"

    @property
    def _defaults(self) -> dict[str, str]:
        return {**dict(self.family.options), **dict(self.model.options)}

    @property
    def random_weights(self) -> bool:
        """True if the weights are re-drawn."""
        return self.seed is not None


DATA = Path(__file__).parent / "models.toml"
# The group of entry points through which other packages add families: each names a pair (Family, models).
ENTRY_POINTS = "platonic_adapters"


@cache
def _registered() -> tuple[dict[str, Family], dict[str, Model]]:
    """Our families by name, and our models by name in lower case."""
    families: dict[str, Family] = {}
    models: dict[str, Model] = {}
    for family, table in tomllib.loads(DATA.read_text(encoding="utf-8")).items():
        shared, rows = table.pop("shared", {}), table.pop("models")
        families[family] = Family(family, module=f"platonic_adapters.families.{family}", **_frozen(table))
        for name, row in rows.items():
            models[name.lower()] = Model(name, family, **_frozen({"checkpoint": name, **shared, **row}))
    return families, models


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    """Fields of a record: lists as tuples, tables as tuples of pairs."""
    plain = {key: tuple(value.items()) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}


def families() -> list[Family]:
    """Every family of this package, in the order of the registry."""
    return list(_registered()[0].values())


def models() -> list[ModelSpec]:
    """Every model of this package with its own weights, in the order of the registry."""
    by_name, known = _registered()
    return [ModelSpec(model, by_name[model.family]) for model in known.values()]


@cache
def plugins() -> dict[str, str]:
    """Families of other packages that are installed, by name, and their packages; none of their code is run."""
    return {name: package for name, (_, package) in _entry_points().items()}


@cache
def _entry_points() -> dict[str, tuple[importlib.metadata.EntryPoint, str]]:
    """By name, the entry points of the group and the packages that bring them, from metadata alone."""
    points: dict[str, tuple[importlib.metadata.EntryPoint, str]] = {}
    for package in importlib.metadata.distributions():
        with suppress(Exception):  # metadata that cannot be read cost that package alone
            for point in package.entry_points.select(group=ENTRY_POINTS):
                points.setdefault(point.name, (point, f"{package.metadata['Name']} {package.version}"))
    return points


@cache
def _with_plugins() -> tuple[dict[str, Family], dict[str, Model], list[str]]:
    """Families and models with those of other packages, whose code is run for it, and a word on each that fails."""
    families, models = _registered()
    broken: list[str] = []
    for point, package in _entry_points().values():
        try:
            family, more = point.load()
            brought = {model.name.lower(): model for model in more if model.family == family.name}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of other people raises anything
            broken.append(
                f"the adapter `{point.name}` of the package `{package}` cannot be loaded ({first_line(error)})"
            )
        else:
            families = {family.name: family, **families}
            models = {**brought, **models}
    return families, models, broken


def digest(path: Path, files: Sequence[str] = ()) -> str:
    """Return the SHA-256 of a checkpoint, hex: of a file, or of the names and SHA-256 of a folder's files in order."""
    if path.is_dir():
        lines = "".join(f"{name} {digest(path / name)}\n" for name in sorted(files))
        return hashlib.sha256(lines.encode()).hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def resolve(name: str, *, trust: bool = False) -> ModelSpec:
    """Look a name up: among our models, then among those of other packages, whose code is run only then.

    Args:
        name: `NAME`, `FAMILY:PATH`, `FAMILY:NAME@PATH`, and each as `random:NAME` or `random:NAME?seed=0`; upper and
            lower case are the same.
        trust: Whether a file may run code while it is read; `$PLATONIC_TRUST` says so, too.

    Raises:
        UnknownModelError: no such model; the nearest names are offered.
        UserError: a file that is not there, that needs a NAME, or that could run code and is not trusted.
    """
    before, _, query = name.partition("?")
    wanted = before.removeprefix("random:")
    prefix, _, rest = wanted.partition(":")
    (by_name, known), broken = _registered(), []
    if wanted.lower() not in known and not (rest and prefix.lower() in by_name):
        by_name, known, broken = _with_plugins()
    model = known.get(wanted.lower())
    if model is None and rest and prefix.lower() in by_name:
        spec = _local(by_name[prefix.lower()], rest, known, trust=trust)
        return _with_options(spec, query, random=wanted != before)
    if model is None:
        near = difflib.get_close_matches(wanted.lower(), known, n=3, cutoff=0.3) or list(known)
        failed = f"; and {'; '.join(broken)}" if broken else ""
        raise UnknownModelError(
            f"`{name}` is not a known model; the nearest are {', '.join(near)} (each also as `random:NAME?seed=0`)"
            f"{failed}."
        )
    return _with_options(ModelSpec(model, by_name[model.family]), query, random=wanted != before)


def averaged(spec: ModelSpec, number: str) -> ModelSpec:
    """The model averaged over a number of rotations.

    Raises:
        UserError: fewer than two, or not a number.
    """
    if not (number.isdecimal() and int(number) > 1):
        raise UserError(f"`orbit_average` must be a number of rotations from 2, got `{number}`; the cube has 24.")
    return replace(spec, orbit_average=int(number))


def _with_options(spec: ModelSpec, query: str, *, random: bool) -> ModelSpec:
    """The model with what stands behind the `?` of its name: `seed` for re-drawn weights, options of its family."""
    parts = [part.partition("=") for part in query.split("&") if part]
    given = {name: value for name, _, value in parts}
    seed = given.pop("seed", "0") if random else None
    if seed is not None and not seed.isdecimal():
        raise UserError(f"`seed` must be a whole number, got `{seed}`; write `random:{spec.model.name}?seed=0`.")
    average = given.pop("orbit_average", None)
    if unknown := [name for name in given if name not in spec.options]:
        known = [*(["seed"] if random else []), *spec.options, "orbit_average"]
        raise UserError(
            f"`{unknown[0]}` is not an option of {'random:' if random else ''}{spec.model.name};"
            f" it has {', '.join(known)}."
        )
    spec = replace(spec, seed=None if seed is None else int(seed), chosen=tuple(sorted(given.items())))
    return spec if average is None else averaged(spec, average)


def _local(family: Family, rest: str, models: Mapping[str, Model], *, trust: bool) -> ModelSpec:
    """The model in a local file, named by the file and the beginning of its hash, which holds on every machine."""
    base, at, file = rest.partition("@")
    model = models.get(base.lower()) if at else None
    if model is not None and model.family != family.name:
        raise UserError(
            f"`{family.name}:{rest}`: {model.name} is of the family {model.family};"
            f" write `{model.family}:{model.name}@{file}`."
        )
    path = Path(file if model else rest)
    files = [path / name for name in family.folder] if path.is_dir() else [path]
    missing = [each for each in files if not each.is_file()]
    if missing and path.is_dir():
        raise UserError(f"`{family.name}:{rest}`: the folder `{path}` has no file `{missing[0].name}`.")
    there = bool(files) and not missing
    sha256 = digest(path, family.folder) if there else ""
    published = [known for known in models.values() if known.sha256 == sha256]
    if model is None and len(published) == 1 and published[0].family == family.name:
        model = published[0]
    if model is None and family.architecture is None:
        known = ", ".join(m.name for m in models.values() if m.family == family.name)
        raise UserError(
            f"`{family.name}:{rest}` must say whose architecture the file holds, as `{family.name}:NAME@PATH`"
            f" with NAME one of {known}."
        )
    if not there:
        raise UserError(f"`{family.name}:{rest}`: there is no file `{path}`.")
    trust = trust or bool(published) or trusted(sha256)
    if not trust:
        for each in files:
            _refuse_code(family, rest, each, sha256)
    label = f"{path.name}#{sha256[:8]}"
    if model is None:
        unknown = "unknown (a local file)"
        model = Model(
            f"{family.name}:{label}", family.name, unknown, unknown, family.architecture or "", path.name, sha256=sha256
        )
    elif sha256 != model.sha256:
        as_far = f", as far as the file is {model.name}'s own"
        model = replace(
            model,
            name=f"{family.name}:{model.name}@{label}",
            licence=model.licence + as_far,
            training_data=model.training_data + as_far,
            fine_tuned_from=model.name,
            parameters=0,
            energies=(),
            sha256=sha256,
        )
    return ModelSpec(model, family, path=path.absolute(), trusted=trust)


def _refuse_code(family: Family, rest: str, path: Path, sha256: str) -> None:
    """Refuse a file that could run code: of a family that unpickles, or one that names more than arrays."""
    code = foreign_code(path)
    if family.weights_only and code is None:
        return
    reason = f"here {code}" if code else f"as checkpoints of {family.name} are pickles"
    raise UserError(
        f"`{family.name}:{rest}` is not trusted: reading it can run code contained in the file ({reason}); if you know "
        f"who made it, add `--trust` or set {VARIABLE}={sha256}."
    )
