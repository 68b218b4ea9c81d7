"""The models, as data: what each is, and what its family needs to run. Nothing here imports a model.

A name is looked up as `NAME`, as `FAMILY:PATH` or `FAMILY:NAME@PATH` (weights in a local file, in the architecture of NAME where the file does not tell it),
or as `random:NAME?seed=0`, the same architecture with re-drawn weights: the control that every comparison needs.
To add a family, add a `Family` and its `Model`s here and a module beside the others that keeps the contract of `protocol.py`.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from platonic_adapters.errors import UnknownModelError, UserError

__all__ = ["Family", "Model", "ModelSpec", "UnknownModelError", "families", "models", "resolve"]


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
        architecture: of a checkpoint given as `NAME:PATH`, in the words of `Model.architecture`; None where a file alone does not tell it.
    """

    name: str
    module: str
    library: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    architecture: str | None = None


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


@dataclass(frozen=True)
class ModelSpec:
    """A model as asked for: one of the registry or of a local file (`path`), with its own weights or re-drawn ones (`seed`)."""

    model: Model
    family: Family
    seed: int | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        """The full name, the same for every spelling of it."""
        return self.model.name if self.seed is None else f"random:{self.model.name}?seed={self.seed}"

    @property
    def random_weights(self) -> bool:
        """Whether the weights are re-drawn."""
        return self.seed is not None


EQUIVARIANT, INVARIANT = "equivariant, conservative", "invariant, conservative"
UNCONSTRAINED, DIRECT = "unconstrained, conservative", "unconstrained, direct"
# The elements of MPtrj, Alexandria and OMat24: the Materials Project's, without Po, At, Rn, Fr and Ra.
ELEMENTS = frozenset({*range(1, 84), *range(89, 95)})

# torch is exact because a range would take the registry's build with 4 GB of CUDA where a local CPU wheel of this version is offered.
FAMILIES = (
    Family("sevennet", "platonic_adapters.sevennet", "sevenn", ("torch==2.13.0", "sevenn==0.13.0"), architecture=EQUIVARIANT),
    Family("chgnet", "platonic_adapters.chgnet", "chgnet", ("torch==2.13.0", "chgnet==0.4.2"), architecture=INVARIANT),
    Family("mace", "platonic_adapters.mace", "mace", ("torch==2.13.0", "mace-torch==0.3.16"), architecture=EQUIVARIANT),
    Family(
        "orb",
        "platonic_adapters.orb",
        "orb_models",
        ("torch==2.13.0", "orb-models==0.5.5 ; python_version < '3.12'", "orb-models==0.7.0 ; python_version >= '3.12'"),
    ),
)

MODELS = (
    Model("7net-0", "sevennet", "MIT", "MPtrj", EQUIVARIANT, "7net-0", note="SevenNet-0 of 11 July 2024"),
    Model("7net-l3i5", "sevennet", "MIT", "MPtrj", EQUIVARIANT, "7net-l3i5", note="as 7net-0 with angular order up to 3"),
    Model("7net-0_22may2024", "sevennet", "MIT", "MPF.2021.2.8", EQUIVARIANT, "7net-0_22May2024", note="architecture of 7net-0, M3GNet's data"),
    Model("chgnet-0.3.0", "chgnet", "BSD-3-Clause", "MPtrj", INVARIANT, "0.3.0", relatives=("chgnet-r2scan",)),
    Model("chgnet-0.2.0", "chgnet", "BSD-3-Clause", "MPtrj", INVARIANT, "0.2.0", note="smaller cutoff (5 Å) and bases than 0.3.0"),
    Model(
        "chgnet-r2scan",
        "chgnet",
        "BSD-3-Clause",
        "MPtrj, then MP r2SCAN",
        INVARIANT,
        "r2scan",
        relatives=("chgnet-0.3.0",),
        note="fine-tuned from chgnet-0.3.0",
    ),
)

_FAMILIES = {family.name: family for family in FAMILIES}
_MODELS = {model.name.lower(): model for model in MODELS}


def families() -> list[Family]:
    """Every family, in the order of the registry."""
    return list(FAMILIES)


def models() -> list[ModelSpec]:
    """Every model with its own weights, in the order of the registry."""
    return [ModelSpec(model, _FAMILIES[model.family]) for model in MODELS]


def resolve(name: str) -> ModelSpec:
    """Look a name up.

    Args:
        name: `NAME`, `FAMILY:PATH`, `FAMILY:NAME@PATH`, and each as `random:NAME` or `random:NAME?seed=0`; upper and lower case are the same.

    Raises:
        UnknownModelError: no such model; the nearest names are offered.
        UserError: a file that is not there, or that needs a NAME.
    """
    random = re.fullmatch(r"random:(?P<name>[^?]*)(?:\?seed=(?P<seed>\d+))?", name)
    wanted = random["name"] if random else name
    seed = int(random["seed"] or 0) if random else None
    model = _MODELS.get(wanted.lower())
    prefix, _, rest = wanted.partition(":")
    if model is None and rest and prefix.lower() in _FAMILIES:
        return _local(_FAMILIES[prefix.lower()], rest, seed)
    if model is None:
        near = difflib.get_close_matches(wanted.lower(), _MODELS, n=3, cutoff=0.3) or list(_MODELS)
        raise UnknownModelError(f"`{name}` is not a known model; the nearest are {', '.join(near)} (each also as `random:NAME?seed=0`).")
    return ModelSpec(model, _FAMILIES[model.family], seed)


def _local(family: Family, rest: str, seed: int | None) -> ModelSpec:
    """The model in a local file, named by the file and the beginning of its hash: a name that holds on every machine."""
    base, at, file = rest.partition("@")
    model = _MODELS.get(base.lower()) if at else None
    if model is not None and model.family != family.name:
        raise UserError(f"`{family.name}:{rest}`: {model.name} is of the family {model.family}; write `{model.family}:{model.name}@{file}`.")
    path = Path(file if model else rest)
    if model is None and family.architecture is None:
        known = ", ".join(m.name for m in MODELS if m.family == family.name)
        raise UserError(f"`{family.name}:{rest}` must say whose architecture the file holds, as `{family.name}:NAME@PATH` with NAME one of {known}.")
    if not path.is_file():
        raise UserError(f"`{family.name}:{rest}`: there is no file `{path}`.")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    label = f"{path.name}#{sha256[:8]}"
    if model is None:
        unknown = "unknown (a local file)"
        model = Model(f"{family.name}:{label}", family.name, unknown, unknown, family.architecture or "", path.name, sha256=sha256)
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
    return ModelSpec(model, family, seed, path.absolute())
