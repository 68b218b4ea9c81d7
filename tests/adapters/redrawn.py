"""Shared by the scripts that run inside a family's environment: what re-drawing the weights does to the rows."""

import numpy as np

from platonic_adapters import protocol, registry


def redrawn(name, structures, adapter):
    """Deviations of: two draws of seed 0, seeds 0 and 1, seed 0 and the real weights; and the size of a row."""
    zero, again, one = (
        protocol.load(registry.resolve(f"random:{name}?seed={seed}"), device="cpu", threads=1) for seed in (0, 0, 1)
    )
    rows = [a.embed([a.prepare(s) for s in structures])[0][a.default_layer] for a in (zero, again, one, adapter)]
    sizes = [float(np.linalg.norm(x)) for x in rows]
    same = zero.checkpoint == again.checkpoint != one.checkpoint
    return {"apart": [float(np.linalg.norm(rows[0] - x)) / sizes[0] for x in rows[1:]], "sizes": sizes, "hashes": same}
