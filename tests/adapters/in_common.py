"""Shared by the scripts that run inside a family's environment."""

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


def alone(found, structures, adapter):
    """Largest deviation of the stored rows from those of each structure embedded by itself."""
    rows = np.concatenate([adapter.embed([adapter.prepare(s)])[0][adapter.default_layer] for s in structures])
    stored = found.layer(rows=slice(len(rows)))
    return float((np.linalg.norm(rows - stored, axis=1) / np.linalg.norm(stored, axis=1)).max())
