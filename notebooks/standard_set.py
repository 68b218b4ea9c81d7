"""Draw the standard set of the atlas: crystals of MP-20 in which every element has its place.

    python notebooks/standard_set.py mp20_train.extxyz.gz adapters/platonic_adapters/atlas.extxyz.gz

In a random order, crystals are taken until every element, the rarest first, is in `LEAST` of them (or in all there
are), and then until there are `SIZE`. The set is stratified by element: it is no random sample of MP-20.
"""

import gzip
import io
import re
import sys
from collections import Counter

import ase.io
import numpy as np
from ase import Atoms
from platonic_adapters import reading

SIZE, LEAST, SEED = 250, 6, 0
NOT_BY = 3_200_000  # From this number on, the Materials Project has GNoME's crystals, under a licence without commerce.


def draw(elements: list[set[int]]) -> list[int]:
    """Choose crystals by the elements in each."""
    order = np.random.default_rng(SEED).permutation(len(elements)).tolist()
    available, count = Counter(z for some in elements for z in some), Counter()
    chosen: dict[int, None] = {}
    for element in sorted(available, key=lambda z: (available[z], z)):
        for i in order:
            if count[element] >= LEAST:
                break
            if element in elements[i] and i not in chosen:
                chosen[i] = None
                count.update(elements[i])
    for i in order:
        if len(chosen) < SIZE:
            chosen.setdefault(i)
    return sorted(chosen)


def main(source: str, target: str) -> None:
    """Draw from a file, and write extended XYZ, the same bytes every time."""
    structures, _ = reading.read(source, duplicates="skip")
    free = [i for i, name in enumerate(structures.ids) if int(re.search(r"\d+", name)[0]) < NOT_BY]
    structures = structures.select(free)
    chosen = draw([set(structures.atoms(i).numbers.tolist()) for i in range(len(structures))])
    crystals = [structures.atoms(i) for i in chosen]
    text = io.StringIO()
    plain = [
        Atoms(one.symbols, one.positions, cell=one.cell, pbc=True, info={"id": structures.ids[i]})
        for i, one in zip(chosen, crystals, strict=True)
    ]
    ase.io.write(text, plain, format="extxyz", columns=["symbols", "positions"])
    with open(target, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(text.getvalue().encode())
    elements = set(np.concatenate([one.numbers for one in plain]).tolist())
    print(f"{len(plain)} crystals, {sum(map(len, plain))} atoms, {len(elements)} elements")


if __name__ == "__main__":
    main(*sys.argv[1:])
