"""`platonic schema`: JSON Schema of a command's output."""

import argparse
import json
import sys

from platonic_jax.cli import _arguments, _study

DESCRIPTION = "Print the JSON Schema of a command's output with --json: every name, its type and its meaning."
EXAMPLES = """\
  platonic schema compare
  platonic schema typicality --json typicality.schema.json
"""
# `arithmetic` writes one of four.
COMMANDS = ("demo", "models", "embed", "verify", *_study.COMMANDS)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=f"command: {', '.join(COMMANDS)}")
    _arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    from platonic_jax import schemas
    from platonic_jax._files import replacing

    _arguments.check_targets(args.json)
    text = json.dumps(schemas.schema(args.command), indent=1, ensure_ascii=False) + "\n"
    if args.json:
        with replacing(args.json) as partial:
            partial.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0
