"""Shape aliases, and the letters that name the axes in every public signature.

| letter   | axis                                                                         |
|----------|------------------------------------------------------------------------------|
| `n`      | rows: the atoms, the same ones in the same order in every table               |
| `m`      | rows of a second set: queries, or the other cloud where rows need not pair    |
| `p`, `q` | columns: the widths of two embeddings                                         |
| `k`      | anchors                                                                      |
| `j`      | neighbours                                                                   |
| `s`      | structures                                                                    |

One-dimensional shapes are written with a leading space (`" n"`), which keeps linters from reading them as names.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import AbstractDtype, Array, Bool, Float, Key, Real

Scalar = Float[Array, ""]
Flag = Bool[Array, ""]
TypedKey = Key[Array, ""]

AnyArray = Array | np.ndarray
"""Of JAX or of numpy."""

if TYPE_CHECKING:
    from typing import Annotated as Numeric
else:

    class Numeric(AbstractDtype):
        """Dtype of the arrays that public functions accept: real numbers and booleans, made floats by `as_float`."""

        dtypes = [*Real.dtypes, *Bool.dtypes]
