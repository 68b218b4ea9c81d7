"""`platonic verify`: integrity check of stores."""

import argparse

from platonic_adapters import cli as adapters_cli

DESCRIPTION = adapters_cli.VERIFY
TASK, USAGE = "check stores", "verify STORE.zarr …"
EXAMPLES = """\
  platonic verify a.zarr
  platonic verify *.zarr --json damage.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    adapters_cli.add_verify_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Read the stores from end to end."""
    return adapters_cli.verify(args)
