"""Compare the learned representations of interatomic potentials through their similarities to shared anchor atoms.

Importing this package loads nothing heavy: each module is imported when it is first named.
"""

from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("platonic-jax")
