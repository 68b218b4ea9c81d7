"""Shared by the scripts that run inside a family's environment."""

import numpy as np
from platonic_adapters import loading, registry
from platonic_adapters.errors import ExportError, UserError


def load(name):
    return loading.load(registry.resolve(name), device="cpu", threads=1)


def refusal(call, *arguments):
    """The sentence with which a call is refused."""
    try:
        call(*arguments)
    except (UserError, ExportError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def offline(*_args, **_kwargs):
    raise OSError("no network")


def deviation(x, y):
    """The largest difference, over the largest value."""
    return float(np.abs(x - y).max() / np.abs(x).max())


def relative(x, y):
    """The largest over rows of the length of the difference, over the length of the row."""
    return float((np.linalg.norm(x - y, axis=1) / np.linalg.norm(x, axis=1)).max())


def redrawn(name, structures, adapter):
    """Deviations of: two draws of seed 0, seeds 0 and 1, seed 0 and the real weights; and the size of a row."""
    zero, again, one = (load(f"random:{name}?seed={seed}") for seed in (0, 0, 1))
    rows = [a.embed([a.prepare(s) for s in structures])[0][a.default_layer] for a in (zero, again, one, adapter)]
    sizes = [float(np.linalg.norm(x)) for x in rows]
    same = zero.checkpoint == again.checkpoint != one.checkpoint
    return {"apart": [float(np.linalg.norm(rows[0] - x)) / sizes[0] for x in rows[1:]], "sizes": sizes, "hashes": same}


def read_out(adapter, rows, numbers):
    """The energy that an adapter's read-out, as plain arrays, makes of the rows of a structure; and what it is."""
    found, x = adapter.readout(), rows.astype(np.float64)
    activations = {"identity": lambda x: x, "silu": lambda x: x / (1 + np.exp(-x))}
    for i, (weights, bias) in enumerate(zip(found.weights, found.biases, strict=True)):
        x = x @ weights + bias
        if i < len(found.weights) - 1:
            x = activations[found.activation](x)
    assert found.layer == adapter.default_layer
    assert sorted(np.flatnonzero(np.isfinite(found.shift))) == sorted(adapter.elements)
    return float((found.scale[numbers] * x[:, 0] + found.shift[numbers]).sum())


def alone(found, structures, adapter):
    """Largest deviation of the stored rows from those of each structure embedded by itself."""
    rows = np.concatenate([adapter.embed([adapter.prepare(s)])[0][adapter.default_layer] for s in structures])
    stored = found.layer(rows=slice(len(rows)))
    return relative(stored, rows)
