"""The `platonic` command line: it parses arguments, runs analyses, prints and writes; it computes nothing itself.

Results go to stdout, messages and progress to stderr. Exit codes: 0 fine, 1 a failure, 2 the user's mistake, 130
interrupted.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from platonic_adapters import cli as adapters_cli
from platonic_adapters import processes, targets
from platonic_adapters.terminal import printable

from platonic_jax.analyses import ANALYSES
from platonic_jax.cli import _command, _completion, _demo, _embed, _models, _run, _schema, _verify

__all__ = ["COMMANDS", "main"]

# Each has `DESCRIPTION`, `TASK`, `USAGE`, `EXAMPLES` and `add`, and either `run`, or `find` if its result is written,
# printed and reported in the common way.
COMMANDS: dict[str, ModuleType] = {
    "demo": _demo,
    "models": _models,
    "embed": _embed,
    "verify": _verify,
    **{analysis.command: analysis.arguments for analysis in ANALYSES},
    "run": _run,
    "schema": _schema,
    "completion": _completion,
}
GROUPS = {"arithmetic": "Crystals as vectors: sums, analogies, phases and reactions."}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process if left out.

    Returns:
        The exit code.
    """
    try:
        with processes.signals(), adapters_cli.stores_warn_in_sentences():
            args = _parser().parse_args(argv)
            alone = targets.json_alone(getattr(args, "json", None))
            with alone, _command.within_memory(getattr(args, "memory", None)):
                return args.run(args)
    except ValueError as error:
        return _say(str(error), code=2)
    except OSError as error:
        return _say(_explain(error), code=2)
    except MemoryError:
        return _say("out of memory: use fewer structures, for instance with `--limit`.", code=2)
    except _command.Failed as failure:
        return failure.code
    except _command.Unequal as error:
        return _say(str(error), code=1)
    except KeyboardInterrupt as error:
        ended, code = processes.ending(error)
        return _say(f"{ended}.", code=code)


class _Parser(argparse.ArgumentParser):
    """Parser that reports wrong use in one sentence, like every other user error."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see `{self.prog} --help`.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="platonic", usage="platonic COMMAND …", add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="version", version=f"platonic {version('platonic-jax')}")
    parser.set_defaults(run=_overview)
    commands = parser.add_subparsers(prog="platonic", metavar="COMMAND")
    groups, parsers = {}, {}
    for name, module in COMMANDS.items():
        group, _, command = name.rpartition(" ")
        if group and group not in groups:
            owner = commands.add_parser(group, help=GROUPS[group], description=GROUPS[group])
            groups[group] = owner.add_subparsers(prog=f"platonic {group}", metavar="COMMAND", required=True)
        parsers[name] = groups.get(group, commands).add_parser(
            command,
            help=module.DESCRIPTION.partition(".")[0],  # For shells that complete commands.
            description=module.DESCRIPTION,
            epilog=f"example:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add(parsers[name])
        run = module.run if hasattr(module, "run") else partial(_command.run, module.find)
        parsers[name].set_defaults(run=run, find=getattr(module, "find", None))
    parser.set_defaults(parser=parser, parsers=parsers)
    return parser


def _overview(args: argparse.Namespace) -> int:
    width = max(len(module.TASK) for module in COMMANDS.values())
    lines = [f"  {module.TASK:{width}}  platonic {module.USAGE}" for module in COMMANDS.values()]
    sys.stdout.write(
        "\n".join(
            [
                "Compare the learned representations of interatomic potentials.\n",
                *lines,
                "\nHelp and examples of a command: platonic COMMAND --help",
                "",
            ]
        )
    )
    return 0


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run the same command again."
    # The name of a temporary file says nothing to the user; its folder does.
    place = Path(str(error.filename)) if error.filename else None
    where = f"`{place.parent if place.name.startswith(('.', 'tmp')) else place}` cannot be used: " if place else ""
    return f"{where}{(error.strerror or str(error)).lower()}."


def _say(text: str, *, code: int) -> int:
    lines = text.splitlines()
    # A caret stands under a place in the line above it.
    kept = lines[-2:] if lines and lines[-1].strip() == "^" else []
    message = " ".join(" ".join(lines[: len(lines) - len(kept)]).split())
    sys.stderr.write("\n".join(map(printable, [f"platonic: {message}", *kept])) + "\n")
    return code
