"""Signals at random moments, no process left behind, and targets that are checked before the work.

`PLATONIC_FAULTS=10` sends ten times as many signals; `PLATONIC_FAULTS_SEED` draws other moments.
"""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from platonic_adapters import processes

from platonic_jax.cli import COMMANDS, main

ROUNDS = 3 * int(os.environ.get("PLATONIC_FAULTS", "1"))
SEED = int(os.environ.get("PLATONIC_FAULTS_SEED", "0"))
LAST = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

# `platonic embed` with a family that only waits, in place of its environment, and with a child of its own, as uv is.
WORK = """
import sys, time
from pathlib import Path
from platonic_adapters import environments, processes

environments.ensure = lambda family: Path(sys.executable)
child = "import time; from platonic_adapters import cli, processes; processes.bound_to_parent()\\n"
child += "import argparse; work = cli.exit_code(lambda args: print('works', flush=True) or time.sleep(60))\\n"
child += "raise SystemExit(work(argparse.Namespace()))"
environments.command = lambda *_: [sys.executable, "-c", child]
from platonic_jax.cli import main
print("ready", flush=True)
raise SystemExit(main(["embed", "7net-0", "prototypes?max_atoms=2", "-o", sys.argv[1]]))
"""


def descendants(process):
    """Everything that a process has started, now."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_signal_to_the_parent_alone_ends_everything(tmp_path, number, round_):
    moment = random.Random(f"{SEED} {round_} {number}").uniform(0, 2)
    variables = {**os.environ, "PLATONIC_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    line = [sys.executable, "-c", WORK, str(tmp_path / "o.zarr")]
    process = subprocess.Popen(line, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    until, started = time.monotonic() + moment, {}
    while time.monotonic() < until:
        started |= {child.pid: child for child in descendants(process)}
        time.sleep(0.02)
    started |= {child.pid: child for child in descendants(process)}
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert psutil.wait_procs(list(started.values()), timeout=30)[1] == []
    if number == signal.SIGKILL:
        with processes.temporary("platonic-", tmp_path) as folder:  # the next run collects what this one left
            assert [path for path in tmp_path.glob("platonic-*") if path != folder] == []
        return
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], said
    assert "Traceback" not in said, said
    lines = said.splitlines()
    assert lines, moment
    assert all(line.startswith(f"platonic: {LAST[number]}") for line in lines), said
    assert list(tmp_path.glob("platonic-*")) == []


TARGETS = {
    "a folder": lambda folder: folder,
    "in a file": lambda folder: folder / "file" / "x",
    "deep in a file": lambda folder: folder / "file" / "a" / "b",
    "a long name": lambda folder: folder / ("x" * 300),
    "a fifo": lambda folder: folder / "fifo",
    "a link to nowhere in a file": lambda folder: folder / "link" / "x",
}
LINES = {
    "models": ["--json"],
    "embed 7net-0 prototypes?max_atoms=2 -o {free}.zarr": ["--json"],
    "embed 7net-0 prototypes?max_atoms=2": ["-o"],
    "verify a.zarr": ["--json"],
    "compare a.zarr b.zarr": ["--json", "-o"],
    "decompose c.json": ["--json", "-o"],
    "atlas a.zarr": ["--json", "-o", "--save"],
    "sweep a.zarr b.zarr": ["--json", "-o"],
    "learn a.zarr b.zarr --save {free}": ["--json", "-o"],
    "learn a.zarr b.zarr": ["--save"],
    "learn a.zarr --extend e": ["--save"],
    "symmetry 7net-0 prototypes": ["--json", "-o"],
    "phonons 7net-0 c.cif": ["--json", "-o"],
    "typicality --reference a.zarr b.zarr": ["--json", "-o"],
    "rank-errors a.zarr b.zarr --labels l": ["--json", "-o"],
    "drift a.zarr b.zarr --seen Cu": ["--json", "-o"],
    "arithmetic analogies a.zarr": ["--json", "-o"],
    "consensus a.zarr b.zarr --targets t": ["--json", "-o"],
    "stitch a.zarr b.zarr": ["--json", "-o"],
    "run {study}": ["--json", "-o"],
    "demo": ["--json", "-o"],
    "schema compare": ["--json"],
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_cannot_be_written_is_one_sentence_before_the_work(tmp_path, monkeypatch, capsys, target):
    """No store is there: whatever is said of the target is said before one is read."""
    (tmp_path / "file").touch()
    (tmp_path / "study.toml").write_text('stores = ["a.zarr", "b.zarr"]\n[compare]')
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATONIC_CACHE", str(tmp_path / "cache"))
    tried = 0
    for line, flags in LINES.items():
        for flag in flags:
            is_file = flag in ("--json", "--save")
            if target == "a folder" and not is_file:
                continue
            path = str(TARGETS[target](tmp_path)) + (".zarr" if line.startswith("embed") and flag == "-o" else "")
            words = line.format(free=tmp_path / "free", study=tmp_path / "study.toml").split()
            if path.endswith("fifo.zarr"):
                continue
            assert main([*words, flag, path]) == 2, (line, flag)
            said = capsys.readouterr().err
            assert said.startswith(
                ("platonic: `--json`", "platonic: `--output`", "platonic: `--save`", f"platonic: `{path}")
            ), (line, said)
            assert len(said.splitlines()) == 1
            assert "Traceback" not in said
            tried += 1
    assert sorted(tmp_path.rglob("*")) == before
    assert tried >= 10


def test_every_command_has_its_targets_tried():
    assert {line.split()[0] for line in LINES} == {command.split()[0] for command in COMMANDS} - {"completion"}
