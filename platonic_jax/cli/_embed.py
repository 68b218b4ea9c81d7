"""`platonic embed`: passes its arguments on to the adapters."""

import argparse

from platonic_adapters import cli as adapters_cli

DESCRIPTION = (
    "Embed every atom of a set of structures with one model. Each family of models has its own environment, created\n"
    "on first use."
)
TASK, USAGE = "embed structures", "embed MODEL INPUT -o OUT.zarr"
EXAMPLES = """\
  platonic embed 7net-0 structures.extxyz -o a.zarr
  platonic embed "random:7net-0?seed=0" structures.extxyz -o random.zarr
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    adapters_cli.add_embed_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Embed, in the family's own environment."""
    from platonic_adapters import environments

    return environments.embed(args)
