"""`platonic schema`: JSON Schema of a command's output."""

import argparse

from platonic_adapters import targets

from platonic_jax.analyses import ANALYSES
from platonic_jax.cli import _arguments

DESCRIPTION = "Print the JSON Schema of a command's output with --json: every name, its type and its meaning."
TASK, USAGE = "describe JSON output", "schema COMMAND"
EXAMPLES = """\
  platonic schema compare
  platonic schema arithmetic analogies --json analogies.schema.json
"""
COMMANDS = ("demo", "models", "embed", "verify", *(analysis.command for analysis in ANALYSES))


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    words = sorted({word for command in COMMANDS for word in command.split()})
    parser.add_argument("command", nargs="+", choices=words, metavar="COMMAND", help=f"command: {', '.join(COMMANDS)}")
    _arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from platonic_jax import schemas

    _arguments.check_targets(args.json)
    targets.write_json(schemas.schema(" ".join(args.command)), args.json or targets.STDOUT)
    return 0
