"""`platonic models`: list of the available models."""

import argparse

from platonic_adapters import caches, targets

from platonic_jax.cli import _arguments, _print

DESCRIPTION = "List the models, each with its family, licence, training data, architecture and supervision."
TASK, USAGE = "choose models", "models"
EXAMPLES = "  platonic models\n  platonic models offline equivariant MPtrj\n"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("words", nargs="*", metavar="WORD", help=caches.WORDS_HELP)
    _arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from rich.table import Column, Table

    _arguments.check_targets(args.json)
    models = caches.described_models(args.words)
    targets.write_json(models, args.json)
    table = Table(Column(caches.COLUMNS[0], no_wrap=True), *caches.COLUMNS[1:], box=None, padding=(0, 2, 0, 0))
    for model in models:
        table.add_row(*caches.table_row(model))
    console = _print.console()
    console.print(table)
    console.print()
    for note in caches.notes():
        _print.say(note)
    return 0
