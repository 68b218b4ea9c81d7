"""Learned anchors, their weights and a metric in front of them, optimised by gradient descent.

The shared space of the paper has nothing to fit: random anchors, plain cosines. Three parts of it can be learned, each
a `flax.nnx` module of its own, and freely combined in a `SharedSpace`:

- `Metric`: a linear map of one model's rows before their similarities are taken, from plain to whitened and beyond.
  Embeddings have a few directions of large variance, which decide every cosine; a metric gives the others a say.
- `SoftAnchors`: each anchor a mixture of candidate atoms, the same mixture for every model, each seeing its own rows
  of them. As the temperature falls each becomes one atom, so what was learned is portable: atoms, not vectors.
- `AnchorWeights`: one positive weight an anchor.

Beside them, `Attention`: how much each atom of a crystal counts where crystals are pooled.

`loss` and `step` are pure functions for a training loop of one's own, and `fit` is such a loop. It minimises an
objective of `learn.objectives`, or any function of (space, rows, batch), on batches of structures, and keeps the state
that is best on held-out ones. What was learned is read back as `anchors.Anchors`, one file that every command takes.

    data = learn.Data(clouds, structure_index)
    train, held_out = data.split(systems, fraction=0.2, key=key)
    space = learn.SharedSpace([x[rows] for x in clouds], metrics=[learn.Metric(x) for x in clouds])
    fitted = learn.fit(space, learn.objectives.agreement("matching"), train, validation=held_out, key=key)

Agreement that was fitted must be measured on other structures, and beside a control with random weights fitted in the
same way: on the data it was fitted to, any flexible map agrees.
"""

from platonic_jax.learn import objectives
from platonic_jax.learn._data import Batch, Data, held_out_groups
from platonic_jax.learn._fit import Fit, Step, fit, loss, parameters, step
from platonic_jax.learn._modules import AnchorWeights, Attention, Metric, SharedSpace, SoftAnchors, frozen

__all__ = [
    "AnchorWeights",
    "Attention",
    "Batch",
    "Data",
    "Fit",
    "Metric",
    "SharedSpace",
    "SoftAnchors",
    "Step",
    "fit",
    "frozen",
    "held_out_groups",
    "loss",
    "objectives",
    "parameters",
    "step",
]


def __dir__() -> list[str]:
    return __all__
