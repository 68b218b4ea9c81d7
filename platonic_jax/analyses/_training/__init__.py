"""Learn a shared space from tables, and evaluate it on unseen chemical systems.

Whole chemical systems are held out, some to choose the best state, others as the test set. Agreement is compared there
on the same atoms in the learned space, at the start of the training, in the plain space of as many random anchors, and
in the raw embeddings without anchors. Models with random weights take no part in training; each is fitted last, in the
same way, to the trained models as they are by then. The similarity of trained models beyond that with such a control is
the excess, the figure that counts; what learning adds to the excess at its start is the gain of learning itself. A task
is evaluated by the error of a linear readout in the same spaces, beside as many anchors chosen by DIRECT and the
composition alone.
"""

from platonic_jax.analyses._training._driver import Training, extend, train
from platonic_jax.analyses._training._evaluation import Agreement, Errors, Similarities, Task
from platonic_jax.analyses._training._objectives import read_targets

__all__ = ["Agreement", "Errors", "Similarities", "Task", "Training", "extend", "read_targets", "train"]
