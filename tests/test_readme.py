"""Every block of the README is run, in order, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_first_block_comes_early_and_the_whole_is_short():
    lines = TEXT.splitlines()
    assert len(lines) <= 120
    assert next(i for i, line in enumerate(lines, 1) if line.startswith("```")) <= 30


def test_every_block_says_what_runs_it():
    assert {language for language, _ in BLOCKS} == {"sh", "python"}


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    from ase.io import write
    from platonic_adapters import structures

    found, _ = structures.read("prototypes?max_atoms=6")
    write(tmp_path / "structures.extxyz", [found.atoms(i) for i in range(60)])
    here = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    for language, block in BLOCKS:
        command = ["bash", "-euc", block] if language == "sh" else [sys.executable, "-c", block]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{block}\n{run.stdout}\n{run.stderr}"
    assert (tmp_path / "demo" / "report.html").exists()
    assert (tmp_path / "report" / "report.html").exists()
