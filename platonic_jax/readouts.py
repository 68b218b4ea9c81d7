"""Readouts of energies that need no model: one energy for each element."""

import numpy as np
from jaxtyping import Float

__all__ = ["element_energies"]


def __dir__() -> list[str]:
    return __all__


def element_energies(
    composition: Float[np.ndarray, "s e"], energies: Float[np.ndarray, " s"]
) -> Float[np.ndarray, " e"]:
    """Fit one energy for each element to energies of structures, by least squares of the smallest norm.

    Args:
        composition: Amount of each element in each structure, as a share or a number of atoms.
        energies: Energy of each structure, per atom for shares, or in all.

    Returns:
        Energies of the elements: `composition @ result` is what composition alone explains.

    Example:
        >>> element_energies(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([-1.0, -2.0])).round(6).tolist()
        [-1.0, -3.0]
    """
    return np.linalg.lstsq(composition, energies, rcond=None)[0]
