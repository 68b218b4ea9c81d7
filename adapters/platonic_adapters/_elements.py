"""Elements in the training sets of models of inorganic crystals."""

# The 89 elements of the Materials Project's calculations, and of OMat24's: up to Pu, without Po, At, Rn, Fr and Ra.
MATERIALS_PROJECT = frozenset(range(1, 95)) - frozenset(range(84, 89))
