"""The models, as data: what each is, and what its family needs to run. Nothing here imports a model.

A name is looked up as `NAME`, as `FAMILY:PATH` or `FAMILY:NAME@PATH` (weights in a local file, in the architecture of
NAME where the file does not tell it), or as `random:NAME?seed=0`, the same architecture with re-drawn weights: the
control that every comparison needs.
A family's own options follow in the same place, as in `NAME?t=10` and `random:NAME?seed=0&t=10`; so does
`orbit_average=24`, the model averaged over the rotations of the cube.
To add a family, add a `Family` and its `Model`s here and a module beside the others that keeps the contract of
`protocol.py`; or do it in another package, with an entry point of the group `platonic_adapters`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

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


@dataclass(frozen=True)
class Model:
    """One set of weights.

    Attributes:
        name: what users type.
        family: the name of its family.
        licence: of the weights, as distributed.
        training_data: what it was fitted to.
        architecture: `equivariant`, `invariant` or `unconstrained` features; `conservative` or `direct` forces.
        checkpoint: the family's own name of the weights.
        relatives: models that are not independent of it: same weights, fine-tunes, or the same data and code.
        note: anything else a reader of a comparison should know.
        sha256: of the checkpoint file, hex, where it is known: other weights are refused.
        options: values of the family's options that differ from the family's own.
        packaged: whether the library's package brings the weights; others have to be fetched.
    """

    name: str
    family: str
    licence: str
    training_data: str
    architecture: str
    checkpoint: str
    relatives: tuple[str, ...] = ()
    note: str = ""
    sha256: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    packaged: bool = False


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


EQUIVARIANT, INVARIANT = "equivariant, conservative", "invariant, conservative"
UNCONSTRAINED, DIRECT = "unconstrained, conservative", "unconstrained, direct"
ORB_SHA256 = {"conservative-inf-omat": "0a41ef1132ad9c41ee0c7b9d855fccabfefb97abe04625c97ec0d07930b6c0f0"}

UMA_1P1 = "OMat24, OMol25, OC20, OMC25, ODAC23"
UMA_1P2 = f"{UMA_1P1}, OC22, OC25"
MOLECULES = "molecules: no crystal was seen in training"

# torch is exact because a range would take the registry's build with 4 GB of CUDA where a local CPU wheel of this
# version is offered.
FAMILIES = (
    Family(
        "sevennet",
        "platonic_adapters.sevennet",
        "sevenn",
        ("torch==2.13.0", "sevenn==0.13.0"),
        architecture=EQUIVARIANT,
        options=(("modality", "none"),),
        weights_only=True,
    ),
    Family(
        "chgnet",
        "platonic_adapters.chgnet",
        "chgnet",
        ("torch==2.13.0", "chgnet==0.4.2"),
        architecture=INVARIANT,
        weights_only=True,
    ),
    Family("mace", "platonic_adapters.mace", "mace", ("torch==2.13.0", "mace-torch==0.3.16"), architecture=EQUIVARIANT),
    Family(
        "orb",
        "platonic_adapters.orb",
        "orb_models",
        (
            "torch==2.13.0",
            "orb-models==0.5.5 ; python_version < '3.12'",
            "orb-models==0.7.0 ; python_version >= '3.12'",
        ),
        weights_only=True,
    ),
    Family(
        "fairchem",
        "platonic_adapters.fairchem",
        "fairchem",
        ("torch==2.13.0", "fairchem-core==2.24.0"),
        architecture="equivariant, forces as in the file",
        options=(("task", "auto"),),
    ),
    # Of these two, the registry's builds do not fit a CPU build of torch, and nothing in MatterSim's M3GNet uses them.
    Family(
        "mattersim",
        "platonic_adapters.mattersim",
        "mattersim",
        ("torch==2.13.0", "mattersim==1.2.3"),
        overrides=("torchvision ; python_version < '3'", "torchaudio ; python_version < '3'"),
        architecture=INVARIANT,
        weights_only=True,
    ),
    Family(
        "chemeleon",
        "platonic_adapters.chemeleon",
        "chemeleon_dng",
        ("torch==2.13.0", "chemeleon-dng==0.1.5"),
        architecture="invariant, generative",
        options=(("t", "0"),),
    ),
    # A plain jax in place of `jax[cuda12]`, which the library asks for on Linux.
    Family(
        "nequix",
        "platonic_adapters.nequix",
        "nequix",
        ("nequix==0.4.5",),
        overrides=("jax!=0.10.2",),
        architecture=EQUIVARIANT,
        weights_only=True,
    ),
)

MODELS = (
    Model(
        "7net-0", "sevennet", "MIT", "MPtrj", EQUIVARIANT, "7net-0", note="SevenNet-0 of 11 July 2024", packaged=True
    ),
    Model(
        "7net-l3i5",
        "sevennet",
        "MIT",
        "MPtrj",
        EQUIVARIANT,
        "7net-l3i5",
        note="as 7net-0 with angular order up to 3",
        packaged=True,
    ),
    Model(
        "7net-0_22may2024",
        "sevennet",
        "MIT",
        "MPF.2021.2.8",
        EQUIVARIANT,
        "7net-0_22May2024",
        note="architecture of 7net-0, M3GNet's data",
        packaged=True,
    ),
    *(
        Model(
            f"7net-mf-0:{modality}",
            "sevennet",
            "MIT",
            "Materials Project relaxations (PBE+U, r2SCAN)",
            EQUIVARIANT,
            "7net-mf-0",
            relatives=(f"7net-mf-0:{other}",),
            note=f"the same weights as 7net-mf-0:{other}, told that energies are {modality}'s",
            options=(("modality", modality),),
            packaged=True,
        )
        for modality, other in (("PBE", "R2SCAN"), ("R2SCAN", "PBE"))
    ),
    Model(
        "7net-omat",
        "sevennet",
        "MIT",
        "OMat24",
        EQUIVARIANT,
        "7net-omat",
        note="angular order up to 3; random:7net-omat needs the file too, for its architecture",
    ),
    Model(
        "chgnet-0.3.0",
        "chgnet",
        "BSD-3-Clause",
        "MPtrj",
        INVARIANT,
        "0.3.0",
        relatives=("chgnet-r2scan",),
        packaged=True,
    ),
    Model(
        "chgnet-0.2.0",
        "chgnet",
        "BSD-3-Clause",
        "MPtrj",
        INVARIANT,
        "0.2.0",
        note="smaller cutoff (5 Å) and bases than 0.3.0",
        packaged=True,
    ),
    Model(
        "chgnet-r2scan",
        "chgnet",
        "BSD-3-Clause",
        "MPtrj, then MP r2SCAN",
        INVARIANT,
        "r2scan",
        relatives=("chgnet-0.3.0",),
        note="fine-tuned from chgnet-0.3.0",
        packaged=True,
    ),
    Model(
        "mace-mp-0-small",
        "mace",
        "MIT",
        "MPtrj",
        EQUIVARIANT,
        "mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model",
        relatives=("mace-mp-0-medium", "mace-mp-0-large"),
        note="scalar messages; MACE-MP-0a",
        sha256="2ddb079cee0e131eaaf6912ba581b394551ead283e95c99cfe78c605d10b5736",
    ),
    Model(
        "mace-mp-0-medium",
        "mace",
        "MIT",
        "MPtrj",
        EQUIVARIANT,
        "mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model",
        relatives=("mace-mp-0-small", "mace-mp-0-large"),
        note="messages up to l = 1; MACE-MP-0a",
        sha256="01bfe22100139f424713cf921144e5509cbe353d67aa9fa1be9c6e1e0ed35845",
    ),
    Model(
        "mace-mp-0-large",
        "mace",
        "MIT",
        "MPtrj",
        EQUIVARIANT,
        "mace_mp_0/2024-01-07-mace-128-L2_epoch-199.model",
        relatives=("mace-mp-0-small", "mace-mp-0-medium"),
        note="messages up to l = 2; MACE-MP-0a; not the file that the library's alias `large` loads",
        sha256="514bd2f1938653c37929f7c275a489378f03a7e3ffb27aa2ae0ddce8d0c859c8",
    ),
    Model(
        "mace-omat-0",
        "mace",
        "ASL (academic use)",
        "OMat24",
        EQUIVARIANT,
        "mace_omat_0/mace-omat-0-medium.model",
        relatives=("mace-mpa-0",),
        note="medium, messages up to l = 1; architecture of mace-mpa-0",
        sha256="d4b14be9afa294eebdbe31a0280b26a0fa29715771e978cbfd3ca24e0d90307a",
    ),
    Model(
        "mace-mpa-0",
        "mace",
        "MIT",
        "MPtrj, sAlex",
        EQUIVARIANT,
        "mace_mpa_0/mace-mpa-0-medium.model",
        note="medium, messages up to l = 1",
        sha256="75428afe3a1d7d8062e19bcaabd5c433623cabf308242ec9fb493e38604fb638",
    ),
    *(
        Model(
            f"orb-v3-{forces}-{neighbours}-{data}",
            "orb",
            "Apache-2.0",
            {"omat": "OMat24", "mpa": "MPtrj, Alexandria"}[data],
            {"conservative": UNCONSTRAINED, "direct": DIRECT}[forces],
            f"orb-v3-{forces}-{neighbours}-{data}",
            note="not invariant under rotation; "
            + {
                "inf": "every neighbour within 6 Å, up to 120",
                "20": "the 20 nearest neighbours within 6 Å: of a shell that is cut, an arbitrary part",
            }[neighbours],
            sha256=ORB_SHA256.get(f"{forces}-{neighbours}-{data}"),
        )
        for data in ("omat", "mpa")
        for forces in ("conservative", "direct")
        for neighbours in ("inf", "20")
    ),
    *(
        Model(
            name,
            "fairchem",
            "FAIR Chemistry License v1 (gated)",
            data,
            EQUIVARIANT if "direct" not in name else "equivariant, direct",
            name,
            relatives=relatives,
            note=note,
            options=(("task", task),),
        )
        for name, task, data, relatives, note in (
            (
                "uma-s-1p2p1",
                "omat",
                UMA_1P2,
                ("uma-s-1p2", "uma-s-1p2p1-ft-d4rev", "uma-s-1p2p1-ft-r2scan"),
                "UMA-S-1.2.1, 64 experts",
            ),
            ("uma-s-1p2", "omat", UMA_1P2, ("uma-s-1p2p1",), "UMA-S-1.2; its mixture of experts is not size-extensive"),
            ("uma-s-1p1", "omat", UMA_1P1, ("uma-m-1p1",), "UMA-S-1.1, 32 experts"),
            ("uma-m-1p1", "omat", UMA_1P1, ("uma-s-1p1",), "UMA-M-1.1, 1.4 billion parameters"),
            (
                "uma-s-1p2p1-ft-d4rev",
                "omat",
                f"{UMA_1P2}, then as the name says",
                ("uma-s-1p2p1",),
                "fine-tuned from uma-s-1p2p1",
            ),
            (
                "uma-s-1p2p1-ft-r2scan",
                "omat",
                f"{UMA_1P2}, then as the name says",
                ("uma-s-1p2p1",),
                "fine-tuned from uma-s-1p2p1",
            ),
            ("esen-sm-conserving-all-omol", "omol", "OMol25", ("esen-sm-direct-all-omol",), MOLECULES),
            ("esen-sm-direct-all-omol", "omol", "OMol25", ("esen-sm-conserving-all-omol",), MOLECULES),
            ("esen-md-direct-all-omol", "omol", "OMol25", (), MOLECULES),
            ("esen-sm-conserving-all-oc25", "oc25", "OC25", (), "solid-liquid interfaces"),
            ("esen-md-direct-all-oc25", "oc25", "OC25", (), "solid-liquid interfaces"),
            (
                "esen-sm-filtered-odac25",
                "odac",
                "ODAC25 (filtered)",
                ("esen-sm-full-odac25",),
                "adsorption in frameworks",
            ),
            ("esen-sm-full-odac25", "odac", "ODAC25", ("esen-sm-filtered-odac25",), "adsorption in frameworks"),
        )
    ),
    *(
        Model(
            f"mattersim-{size}",
            "mattersim",
            "MIT",
            f"MatterSim ({data} PBE structures)",
            INVARIANT,
            f"mattersim-v1.0.0-{size.upper()}.pth",
            relatives=(f"mattersim-{other}",),
            note=f"MatterSim-v1.0.0-{size.upper()}, an M3GNet",
        )
        for size, other, data in (("1m", "5m", "3 million"), ("5m", "1m", "6 million"))
    ),
    *(
        Model(
            f"chemeleon-dng-{data}",
            "chemeleon",
            "MIT",
            name,
            "invariant, generative",
            f"chemeleon_dng_{file}_v0.0.2.ckpt",
            note="knows structures and no energies; depends on the choice of cell and on the diffusion time, `?t=0`",
        )
        for data, name, file in (("mp20", "MP-20", "mp_20"), ("alex-mp20", "Alex-MP-20", "alex_mp_20"))
    ),
    *(
        Model(
            f"nequix-{name}-1",
            "nequix",
            "MIT",
            data,
            EQUIVARIANT,
            f"nequix-{name}-1",
            relatives=relatives,
            note=note,
            sha256=sha256,
        )
        for name, data, relatives, note, sha256 in (
            ("mp", "MPtrj", (), "", "1647af8e627e1afa11e2bfadeab0797326513a521afd7dd01606a96f56783eee"),
            (
                "omat",
                "OMat24",
                ("nequix-oam-1",),
                "",
                "2d0802ae7f5915cb488c44d25649d98404a103697e6500abb40f515e003a46a6",
            ),
            ("oam", "OMat24, sAlex, MPtrj", ("nequix-omat-1",), "fine-tuned from nequix-omat-1", None),
        )
    ),
)

# The group of entry points through which other packages add families: each names a pair (Family, models).
ENTRY_POINTS = "platonic_adapters"


@cache
def _registered() -> tuple[dict[str, Family], dict[str, Model]]:
    """Our families by name, and our models by name in lower case."""
    return {family.name: family for family in FAMILIES}, {model.name.lower(): model for model in MODELS}


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
    if model is None and family.architecture is None:
        known = ", ".join(m.name for m in models.values() if m.family == family.name)
        raise UserError(
            f"`{family.name}:{rest}` must say whose architecture the file holds, as `{family.name}:NAME@PATH`"
            f" with NAME one of {known}."
        )
    if not path.is_file():
        raise UserError(f"`{family.name}:{rest}`: there is no file `{path}`.")
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    published = any(sha256 == known.sha256 for known in models.values())
    trust = trust or published or trusted(sha256)
    if not trust:
        _refuse_code(family, rest, path, sha256)
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
            relatives=(model.name, *model.relatives),
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
