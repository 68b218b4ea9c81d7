"""Base class of all results, and their JSON."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from platonic_jax import _html
from platonic_jax._files import replacing


class Result:
    """Base class of the results of studies: a dataclass with a verdict, which can be saved."""

    @property
    def verdict(self) -> str:
        """Summary in plain sentences."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Everything and the verdict, as plain lists and numbers; undefined values are null."""
        return plain({**vars(self), "verdict": self.verdict})

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(self.to_json(), path)

    def _repr_html_(self) -> str:
        facts = [(name, _html.text(value)) for name, value in vars(self).items() if isinstance(value, str)]
        return _html.record(type(self).__name__, f"<p>{_html.prose(self.verdict)}</p>", _html.facts(facts))


def plain(value: Any) -> Any:
    """JSON's own types: records become objects, and numbers that are not finite become null."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_json(content: Mapping[str, Any] | list[Any], path: str | Path) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def interval(entry: Mapping[str, float], *, digits: int) -> str:
    """A value with its interval, as verdicts say it."""
    return f"{entry['value']:.{digits}f} ({entry['low']:.{digits}f} to {entry['high']:.{digits}f})"
