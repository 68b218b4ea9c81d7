"""What the completion script answers in a real shell."""

import shutil
import subprocess

import pytest

from platonic_jax import cli
from platonic_jax.cli._completion import SHELLS, script

# The line is given to the function that the script registers, as bash itself does at the press of the key.
ASK = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
$(complete -p platonic | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    (folder / "a.zarr").mkdir()
    (folder / "b.csv").touch()
    (folder / "script").write_text(script(cli._parser(), "bash"))

    def ask(*words):
        command = ["bash", "-c", ASK, "bash", folder / "script", "platonic", *words]
        run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
        assert run.stderr == ""
        return run.stdout.split()

    return ask


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["comp"], ["compare", "completion"]),
        (["compare", "--anch"], ["--anchors"]),
        (["compare", "--anchors", "far"], ["farthest_point"]),
        (["compare", "--similarity", "whi"], ["whitened"]),
        (["compare", "a"], ["a.zarr"]),
        (["compare", "-o", ""], ["a.zarr"]),
        (["learn", "--targets", "b"], ["b.csv"]),
        (["embed", "7net-l"], ["7net-l3i5"]),
        (["schema", "typ"], ["typicality"]),
        (["nonsense"], []),
    ],
)
def test_bash_completes(completed, words, expected):
    assert completed(*words) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(shell):
    parser = cli._parser()
    made = script(parser, shell)
    for name, command in parser.get_default("parsers").items():
        assert all(word in made for word in name.split())
        for action in command._actions:
            assert any(flag.lstrip("-") in made for flag in action.option_strings or name.split())
