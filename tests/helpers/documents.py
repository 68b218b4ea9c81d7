"""What documents are made of, and how a reader would run them; as a program, it runs the blocks of all of them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
GUIDE = REPOSITORY / "notebooks" / "guide"
# The first makes the stores that the others use.
PAGES = ["tutorial.md", *sorted(page.name for page in GUIDE.glob("*.md") if page.name != "tutorial.md")]
CRYSTALS = "prototypes?max_atoms=6"  # Stands for larger sets in tests.


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


def follow(folder: Path) -> None:
    """Every block of the guide in `folder/guide` and of the README in `folder/readme`; all of it must end well."""
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _follow(page: Path) -> None:
    for block in filter(runs, blocks(page.read_text())):
        print(f"\n# {page}\n{block.code}", flush=True)  # noqa: T201
        if block.language == "toml":
            Path(block.title).write_text(block.code)
        elif block.language == "python" and "os.environ" in block.code:  # It has to come before JAX.
            subprocess.run([sys.executable, "-c", block.code], check=True)
        elif block.language == "python":
            exec(compile(block.code, f"{page.name}: {block.code[:60]!r}", "exec"), {"__name__": "__main__"})
        else:
            for line in block.code.splitlines():
                program, *arguments = shlex.split(line, comments=True)
                assert program == "platonic", line
                assert cli.main(arguments) == 0, line


if __name__ == "__main__":
    # Commands and blocks share this process, since each would import JAX and compile anew.
    from platonic_jax import cli
    from platonic_jax.cli import _demo

    _demo.INPUT = "prototypes?max_atoms=12"  # Each element of a crystal needs twenty atoms in a reference.
    guide, readme = (Path(sys.argv[1]).absolute() / name for name in ("guide", "readme"))
    os.chdir(guide)
    for page in PAGES:
        _follow(GUIDE / page)
    # The README begins with the structures of a reader, here the tutorial's; their stores are kept, as always.
    for name in ("a.zarr", "b.zarr"):
        shutil.copytree(guide / name, readme / name)
    shutil.copy(guide / "structures.extxyz", readme)
    os.chdir(readme)
    _follow(README)
