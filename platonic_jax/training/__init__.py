"""Learn a shared space from tables, and evaluate it on unseen chemical systems.

Whole chemical systems are held out, some to choose the best state, others to judge it. Agreement is compared there
before and after on the same atoms: in the plain space of as many random anchors, and in the learned one. Models with
random weights take no part in training; each is fitted last, in the same way, to the trained models as they are by
then. What trained models share beyond what such a control can be brought to share is the excess, the figure that
counts. A task is judged by the error of a linear read-out, beside as many anchors chosen by DIRECT and the composition
alone.
"""

from platonic_jax.training._driver import Trained, extend, train
from platonic_jax.training._goals import read_targets

__all__ = ["Trained", "extend", "read_targets", "train"]
