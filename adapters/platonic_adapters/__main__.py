"""`python -m platonic_adapters` is `platonic-embed`."""

import sys

from platonic_adapters.cli import main

if __name__ == "__main__":  # Dask's workers import this file too.
    sys.exit(main())
