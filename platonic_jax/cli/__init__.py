"""The `platonic` command line: it parses arguments, runs analyses, prints and writes; it computes nothing itself.

Results go to stdout, messages and progress to stderr. Exit codes: 0 fine, 1 a failure, 2 the user's mistake, 130
interrupted.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from platonic_adapters import cli as adapters_cli
from platonic_adapters import processes
from platonic_adapters.terminal import printable

from platonic_jax.cli import (
    _arithmetic,
    _command,
    _comparison,
    _completion,
    _demo,
    _drift,
    _embed,
    _error_ranking,
    _models,
    _phonons,
    _readout_transfer,
    _run,
    _schema,
    _sweep,
    _symmetry,
    _training,
    _typicality,
    _verify,
)

__all__ = ["main"]

TASKS = """\
Compare the learned representations of interatomic potentials.

  try an example          platonic demo
  choose models           platonic models
  embed structures        platonic embed MODEL INPUT -o OUT.zarr
  check stores            platonic verify STORE.zarr …
  compare models          platonic compare A.zarr B.zarr … -o report/
  vary the anchors        platonic sweep A.zarr B.zarr … -o sweep/
  learn the anchors       platonic learn A.zarr B.zarr … -o anchors.safetensors
  test symmetry           platonic symmetry MODEL STRUCTURES
  test phonons            platonic phonons MODEL CRYSTAL
  detect outliers         platonic typicality --reference R.zarr QUERY.zarr …
  rank errors             platonic calibrate A.zarr B.zarr --labels DFT.extxyz
  measure training drift  platonic drift BEFORE.zarr AFTER.zarr --seen Cu
  add crystal vectors     platonic arithmetic "TiO2 - Ti + Zr" A.zarr
  transfer readouts       platonic stitch FROM.zarr TO.zarr
  run a whole study       platonic run STUDY.toml
  describe JSON output    platonic schema COMMAND
  complete commands       platonic completion SHELL

Help and examples of a command: platonic COMMAND --help
"""
# Each has `add`, and either `run`, or `find` if its result is written, printed and reported in the common way.
COMMANDS: dict[str, ModuleType] = {
    "demo": _demo,
    "models": _models,
    "embed": _embed,
    "verify": _verify,
    "compare": _comparison,
    "sweep": _sweep,
    "learn": _training,
    "symmetry": _symmetry,
    "phonons": _phonons,
    "typicality": _typicality,
    "calibrate": _error_ranking,
    "drift": _drift,
    "arithmetic": _arithmetic,
    "stitch": _readout_transfer,
    "run": _run,
    "schema": _schema,
    "completion": _completion,
}


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
            with _command.within_memory(getattr(args, "memory", None)):
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
    parser.set_defaults(run=_map)
    commands = parser.add_subparsers(prog="platonic", metavar="COMMAND")
    parsers = {}
    for name, module in COMMANDS.items():
        parsers[name] = commands.add_parser(
            name,
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


def _map(args: argparse.Namespace) -> int:
    sys.stdout.write(TASKS)
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
