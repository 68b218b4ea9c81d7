"""`python -m platonic_adapters` is `platonic-embed`."""

import sys

from platonic_adapters.cli import main

sys.exit(main())
