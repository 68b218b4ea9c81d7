"""Runs in a family's environment: an export with small blocks, so that it can be killed between two of them."""

import json
import sys

from platonic_adapters import export, reading, registry

name, source, output = sys.argv[1:]
found, _ = reading.read(source)
summary = export.export(
    registry.resolve(name), found, output, source=source, block_rows=32, batch_atoms=8, device="cpu"
)
print(json.dumps(summary.num_atoms))  # noqa: T201
