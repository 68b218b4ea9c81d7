"""Embeddings with a known answer: crystals of a realistic composition, models that share nothing, or a signal."""

import numpy as np

ELEMENTS = (8, 14, 26, 12, 22, 20, 16, 3, 13, 25, 38, 56)
FREQUENCY = 1 / np.arange(1, len(ELEMENTS) + 1)
COUNTS = (1, 2, 4)  # Atoms of an element in a structure.


def crystals(rng, num_structures, *, num_elements=12):
    """(n,) element and structure of each atom: two to four elements a structure, common and rare ones."""
    frequency = FREQUENCY[:num_elements] / FREQUENCY[:num_elements].sum()
    species, structure = [], []
    for i in range(num_structures):
        chosen = rng.choice(num_elements, size=min(num_elements, rng.integers(2, 5)), replace=False, p=frequency)
        counts = rng.choice(COUNTS, size=len(chosen), p=(0.4, 0.35, 0.25))
        species += np.repeat(np.array(ELEMENTS)[chosen], counts).tolist()
        structure += [i] * int(counts.sum())
    return np.array(species, np.int32), np.array(structure, np.int32)


def blocks_of(species, structure):
    """(n,) number of the (structure, element) block of each atom."""
    return np.unique(np.stack([structure, species]), axis=1, return_inverse=True)[1].reshape(-1)


def model(rng, species, structure, *, share, common=False, width=12, signal=None, strength=0.0, own=None):
    """An embedding of its own: element, crystal and atom, and what it shares with others through `signal`.

    Args:
        rng: numpy generator, the model's own.
        species: (n,) elements.
        structure: (n,) structures.
        share: fraction of the variance within an element that lies between crystals.
        common: whether a crystal displaces all of its elements alike, as a lattice would, or each by itself.
        width: columns.
        signal: (n, width) what several models share.
        strength: weight of the signal, in standard deviations of what is the model's own.
        own: seed of what makes the model, where several samples of structures are embedded by the same one.

    Returns:
        (n, width) float32.
    """
    weights = rng if own is None else np.random.default_rng(own)
    element = weights.normal(size=(120, width))[species]
    unit = structure if common else blocks_of(species, structure)
    crystal = rng.normal(size=(unit.max() + 1, width))[unit]
    atom = rng.normal(size=(len(species), width))
    own = np.sqrt(share) * crystal + np.sqrt(1 - share) * atom
    if signal is not None:
        own = own + strength * signal @ weights.normal(size=(width, width)) / np.sqrt(width)
    return (2 * element + own).astype(np.float32)
