"""`platonic completion`: shell completion of commands, options and files."""

import argparse
import sys

from platonic_jax.cli import _arguments

DESCRIPTION = "Print the script that lets a shell complete commands, options and files."
TASK, USAGE = "complete commands", "completion SHELL"
EXAMPLES = """\
  platonic completion bash > ~/.local/share/bash-completion/completions/platonic
  platonic completion zsh > ~/.zfunc/_platonic
"""
SHELLS = ("bash", "zsh", "tcsh")
# Arguments that are files, or folders of a store, by what they are called in the help.
FILES = (
    *("AFTER", "BEFORE", "FROM", "OUT.zarr", "QUERY", "STORE", "TO"),
    *("FILE", "INPUT", "PATH", "STRUCTURE", "STRUCTURES"),
)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"shell: {', '.join(SHELLS)}")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    sys.stdout.write(script(args.parser, args.shell) + "\n")
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Generate the shell script that completes commands, options, files, folders and model names.

    Args:
        parser: that of the command line; what completes its arguments is set on it.
        shell: one of `SHELLS`.

    Returns:
        The script.
    """
    import shtab
    from platonic_adapters import registry

    files = {"complete": shtab.FILE}
    known = {metavar: files for metavar in FILES} | {
        "DIR": {"complete": shtab.DIRECTORY},
        "MODEL": {"choices": [spec.name for spec in registry.models()]},
        "METHOD": {"choices": _arguments.ANCHORS},
    }
    for command in parser.get_default("parsers").values():
        command.description = " ".join(command.description.split()).partition(". ")[0]
        for action in command._actions:
            for name, value in known.get(action.metavar, {}).items():
                setattr(action, name, value)
    return shtab.complete(parser, shell=shell)
