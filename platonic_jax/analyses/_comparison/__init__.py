"""Comparison of models by every measure: values, nulls, intervals, provenance.

Every pair of models is compared in the space of the same anchor atoms, by every measure. Each value stands beside what
chance gives (rows permuted over all atoms, within each element, and on request within each element and coordination),
beside its 95 % interval (resampling structures), and beside two baselines: the element alone, and a random-weight model
where one is among the tables. On request every matrix is resolved by element, by family, or by labels of one's own.

Neighbours are found in float64, whatever the stored rows are: atoms that symmetry makes equivalent are equally near up
to the models' own noise, and single precision would choose among them by its rounding. Values are computed in float64
from centred rows kept in float32, the draws of nulls and intervals in float32. Draws are made again from their key when
they are needed, each once for all pairs and measures, and never kept.
"""

from platonic_jax.analyses._comparison._driver import compare
from platonic_jax.analyses._comparison._record import Comparison, Matrix, Resolved

__all__ = ["Comparison", "Matrix", "Resolved", "compare"]
