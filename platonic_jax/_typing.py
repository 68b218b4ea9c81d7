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

from jaxtyping import Array, Bool, Float, Key

Scalar = Float[Array, ""]
Flag = Bool[Array, ""]
TypedKey = Key[Array, ""]
