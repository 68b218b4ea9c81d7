"""The anchors published by Li & Walsh, for users who have the data set that they index."""

import numpy as np
from platonic_adapters.structures import Structures

from platonic_jax.anchors._record import Anchors

NUM_ATOMS = 282_847
_ROWS = """
    222430 144721 282484 38074 187477 19816 38484 204870 223370 180858 239896 271612 270370 256655 164 108486
    282577 168218 155521 236527 139439 134383 6039 30614 181679 25264 185297 125740 75455 195535 281120 158363
    252468 102981 190032 107059 226948 44342 236453 131321 205532 174744 169073 104658 230 9999 17943 279479
    225757 34751 2456 1932 25170 52622 222079 227723 164773 135893 12023 258104 146125 162523 188573 187378
    113021 63466 260179 214 93285 277786 216748 248850 237493 114495 7366 139062 218251 143350 169531 88557
    211490 169214 100378 270997 84444 241854 154502 246833 112772 160036 117303 182341 119695 37694 193103
    261515 97870 264644 107630 196220
"""


def published(structures: Structures) -> Anchors:
    """The 100 anchors that Li & Walsh published, as row indices over the atoms of MP-20's training set.

    Chosen by DIRECT, as maml does it, among the embeddings of MACE-MP-0 small.

    Args:
        structures: the original `train.csv` of MP-20: all its structures, in its order, with the atoms in the order of
            the CIFs.

    Returns:
        The anchors, in the published order.

    Raises:
        ValueError: another number of atoms than 282,847. The order cannot be checked.

    Reference:
        Li and Walsh, Platonic representation of foundation machine learning interatomic potentials
        (arXiv:2512.05349); indices: github.com/lizhenzhupearl/ManiFish, notebooks/PlatonicRep.ipynb, commit 133200b5.
    """
    num_atoms = int(structures.num_atoms.sum())
    if num_atoms != NUM_ATOMS:
        raise ValueError(
            f"`structures` must be the original MP-20 train.csv with its {NUM_ATOMS} atoms, got {num_atoms}: the "
            "published anchors are places in that file, in its original order."
        )
    return Anchors.from_rows(
        structures,
        structures.structure_index,
        np.array(_ROWS.split(), np.int32),
        method="direct, maml",
        provenance={
            "model": "MACE-MP-0 small, invariant channels after the first interaction",
            "source": "github.com/lizhenzhupearl/ManiFish, notebooks/PlatonicRep.ipynb, commit 133200b5",
            "paper": "arXiv:2512.05349",
        },
    )
