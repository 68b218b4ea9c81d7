"""A model's energy readout as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Readout", "by_number"]

NUMBERS = 119  # Atomic numbers from 0 to 118, the index of what depends on the element.


class Readout(NamedTuple):
    """The energy head of a model, applied to one layer's embeddings.

    The energy of an atom of element z is scale_z f(x) + shift_z, in eV, with f dense layers from the layer's width to
    one number and the activation between them; that of a structure is the sum over its atoms.

    Attributes:
        layer: the layer whose embeddings x are.
        weights: of each dense layer (inputs, outputs), float32.
        biases: of each dense layer (outputs,), float32.
        activation: `identity`, `silu`, `gelu`, `relu` or `tanh`.
        scale: (119,) float32, by atomic number; NaN where the model does not know the element.
        shift: (119,) float32, eV, the same.
    """

    layer: str
    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    activation: str
    scale: np.ndarray
    shift: np.ndarray


def by_number(numbers: Sequence[int], values: Any) -> np.ndarray:
    """(119,) float32, values by atomic number, NaN for all others.

    Args:
        numbers: atomic numbers.
        values: one for each of them, or one for all.
    """
    array = np.full(NUMBERS, np.nan, np.float32)
    array[list(numbers)] = values
    return array
