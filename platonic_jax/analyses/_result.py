"""Results: numbers with their intervals, and the base class of what an analysis returns."""

import dataclasses
import importlib
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from platonic_jax._files import replacing

_Result = TypeVar("_Result", bound="Result")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its 95 % confidence interval.

    `f"{estimate:.2f}"` is `0.27 (95 % CI 0.23 to 0.31)`, `f"{estimate:.0%}"` is `27 % (95 % CI 23 to 31 %)`.

    Attributes:
        value: The number.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end of the interval.
        null: Mean of the number under a permutation null.
        effect: value − `null`, with an interval of its own.
        p: p-value under that null; NaN where it cannot be tested.
        method: How the interval was found.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    null: float | None = None
    effect: "Estimate | None" = None
    p: float | None = None
    method: str | None = None

    @classmethod
    def around(
        cls, value: float, half: float, *, limits: tuple[float, float] = (-np.inf, np.inf), **more: Any
    ) -> "Estimate":
        """Return `value` ± `half`, with ends within limits."""
        return cls(value, max(value - half, limits[0]), min(value + half, limits[1]), **more)

    @property
    def bounded(self) -> bool:
        """True if it has an interval."""
        return bool(np.isfinite([self.low, self.high]).all())

    def scaled(self, factor: float) -> "Estimate":
        """Return it in another unit, without null and effect."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high, method=self.method)

    def __neg__(self) -> "Estimate":
        return Estimate(-self.value, -self.high, -self.low, method=self.method)

    def __format__(self, spec: str) -> str:
        percent = spec.endswith("%")
        factor, unit, spec = (100, " %", f"{spec[:-1]}f") if percent else (1, "", spec or ".3g")
        value, low, high = (f"{factor * end:{spec}}" for end in (self.value, self.low, self.high))
        if not self.bounded:
            return f"{value}{unit} (no interval)" if np.isfinite(self.value) else "undefined"
        return f"{value}{unit} (95 % CI {low} to {high}{unit})"


class Result:
    """Base class of what an analysis returns: a frozen dataclass of numbers, which its presenter puts into words.

    Attributes:
        UNSAVED: Fields that are not in the JSON, with the value that they have after `load`.
        DERIVED: Properties that are in the JSON beside the fields.
    """

    UNSAVED: ClassVar[Mapping[str, Any]] = {}
    DERIVED: ClassVar[Sequence[str]] = ()

    @property
    def verdict(self) -> str:
        """Summary in plain sentences."""
        # Words are the business of a layer above: it is found by name, and only when it is asked for.
        return " ".join(importlib.import_module("platonic_jax.report.presenters").verdict(self))

    def to_json(self) -> dict[str, Any]:
        """Return everything that is saved and the verdict as plain lists and numbers; undefined values are null."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in self.UNSAVED]  # type: ignore[arg-type]
        return plain({name: getattr(self, name) for name in (*names, *self.DERIVED, "verdict")})

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(self.to_json(), path)

    @classmethod
    def load(cls: type[_Result], path: str | Path) -> _Result:
        """Read what `save` wrote.

        Args:
            path: The file.

        Raises:
            ValueError: It holds something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            saved = {name: entry for name, entry in content.items() if name not in (*cls.DERIVED, "verdict")}
            return _revived(cls, saved)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{str(path)!r} is not the JSON of a {cls.__name__}: give one that `save` wrote."
            ) from error

    def to_frame(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each `Estimate`: its place in the result, and its numbers."""
        import pandas as pd

        fields = [field.name for field in dataclasses.fields(Estimate) if field.name != "effect"]
        rows = []
        for path, estimate in _estimates(self, ()):
            row: dict[str, Any] = {"quantity": ".".join(path)} | {name: getattr(estimate, name) for name in fields}
            if estimate.effect is not None:
                row |= {f"effect_{end}": getattr(estimate.effect, end) for end in ("value", "low", "high")}
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else ["quantity", *fields]).dropna(axis="columns", how="all")

    def _repr_html_(self) -> str:
        return importlib.import_module("platonic_jax.report.presenters").html(self)


def plain(value: Any) -> Any:
    """Return JSON's own types: records become objects, and numbers that are not finite become null."""
    if isinstance(value, Estimate):
        entries = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(entry) for name, entry in entries.items() if entry is not None}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, tuple) and (names := getattr(value, "_fields", None)):
        return plain(dict(zip(names, value, strict=True)))
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_json(content: Mapping[str, Any] | list[Any], path: str | Path) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def _revived(kind: Any, value: Any) -> Any:
    """Turn what `plain` made of an object of this type back into one."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _revived(next(one for one in inner if one is not types.NoneType), value)
    if kind is float:
        return np.nan if value is None else float(value)
    if getattr(kind, "array_type", kind) is np.ndarray:
        return _array(value)
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        hints = typing.get_type_hints(kind)
        saved = {name: _revived(hints[name], entry) for name, entry in value.items()}
        return kind(**getattr(kind, "UNSAVED", {}) | saved)
    if origin in (list, Sequence) or (origin is tuple and inner[-1] is Ellipsis):
        entries = [_revived(inner[0], entry) for entry in value]
        return tuple(entries) if origin is tuple else entries
    if origin is tuple:
        return tuple(_revived(one, entry) for one, entry in zip(inner, value, strict=True))
    if origin in (dict, Mapping):
        return {name: _revived(inner[1], entry) for name, entry in value.items()}
    return value


def _array(value: Any) -> np.ndarray:
    array = np.array(value)
    return np.array(value, float) if array.dtype == object else array  # None, which stands for NaN.


def _estimates(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Estimate]]:
    """Walk through a result for its estimates, each with the names that lead to it."""
    if isinstance(value, Estimate):
        yield path, value
        return
    if dataclasses.is_dataclass(value):
        entries = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        entries = [(str(name), entry) for name, entry in value.items()]
    elif isinstance(value, list | tuple):
        entries = [(str(i), entry) for i, entry in enumerate(value)]
    else:
        return
    for name, entry in entries:
        yield from _estimates(entry, (*path, name))
