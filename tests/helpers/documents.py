"""What documents are made of, and how a reader would run them; as a program, it runs all blocks of some pages."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "notebooks" / "guide"


class Block(NamedTuple):
    """A fenced block: its language, the title on its fence, and its lines."""

    language: str
    title: str
    code: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = re.findall(r'^```(\w*)(?: title="(.*?)")?\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)
    return [Block(*parts) for parts in found]


def runs(block: Block) -> bool:
    """Whether it can run here; a shell block with a title says where it would."""
    return not (block.language == "sh" and block.title)


def environment() -> dict[str, str]:
    """That of a reader who has installed the package."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def follow(pages: list[Path], folder: Path) -> None:
    """Every block of some pages, in a folder and in a process of their own; all of it must end well."""
    command = [sys.executable, __file__, *map(str, pages)]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _follow(pages: list[str]) -> None:
    """Commands share this process, since each would import JAX and compile anew."""
    from platonic_jax import cli

    for page in pages:
        for block in filter(runs, blocks(Path(page).read_text())):
            print(f"\n# {page}\n{block.code}", flush=True)  # noqa: T201
            if block.language == "toml":
                Path(block.title).write_text(block.code)
            elif block.language == "python":
                subprocess.run([sys.executable, "-c", block.code], check=True)
            else:
                for line in block.code.splitlines():
                    program, *arguments = shlex.split(line, comments=True)
                    assert program == "platonic", line
                    assert cli.main(arguments) == 0, line


if __name__ == "__main__":
    _follow(sys.argv[1:])
