"""`platonic models`: list of the available models."""

import argparse

from platonic_adapters import targets

from platonic_jax.cli import _arguments, _print

DESCRIPTION = "List the models, each with its family, licence and training data."
TASK, USAGE = "choose models", "models"
EXAMPLES = "  platonic models\n"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    _arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from platonic_adapters import caches
    from rich.table import Column, Table

    _arguments.check_targets(args.json)
    models = caches.described_models()
    targets.write_json(models, args.json)
    heads = ("family", "weights", "licence", "trained on", "features, forces", "relatives", "note")
    table = Table(Column("model", no_wrap=True), *heads, box=None, padding=(0, 2, 0, 0))
    for model in models:
        table.add_row(*caches.table_row(model))
    console = _print.console()
    console.print(table)
    console.print()
    for note in caches.notes():
        _print.say(note)
    return 0
