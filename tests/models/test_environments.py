"""Environments: what uv is asked for, what is handed over, and that a failure is one sentence. No network, no model."""

import argparse
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from platonic_adapters import cli, environments, processes, reading, registry, store
from platonic_adapters.errors import ExportError

FAMILY = registry.resolve("7net-0").family


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLATONIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def arguments(*given):
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    return parser.parse_args(given)


def test_key_changes_with_everything_that_makes_an_environment():
    changes = [{"requirements": ("torch==2.13.0",)}, {"constraints": ("numpy<3",)}, {"overrides": ("x ; 'a' < 'b'",)}]
    keys = {environments.key(FAMILY), *(environments.key(dataclasses.replace(FAMILY, **c)) for c in changes)}
    assert len(keys) == 4
    assert environments.key(dataclasses.replace(FAMILY, architecture="other")) == environments.key(FAMILY)


def test_what_uv_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    family = dataclasses.replace(FAMILY, constraints=("numpy<3",), overrides=("a", "b"))
    make, install = environments._uv_commands(family, tmp_path, tmp_path / "env")
    assert make[:2] == ["venv", "--quiet"]
    assert "--relocatable" in make
    assert make[make.index("--python") + 1] == sys.executable
    assert set(environments.CORE) | set(FAMILY.requirements) <= set(install)  # no lock of these constraints
    assert {"--torch-backend=auto", "--compile-bytecode"} <= set(install)
    assert Path(install[install.index("--constraints") + 1]).read_text() == "numpy<3\n"
    assert Path(install[install.index("--overrides") + 1]).read_text() == "a\nb\n"


@pytest.mark.parametrize("family", registry.families(), ids=lambda family: family.name)
def test_every_family_is_locked_with_hashes_of_all_but_torch(family, tmp_path):
    _, install = environments._uv_commands(family, tmp_path, tmp_path / "env")
    assert install[-2:] == ["--requirements", str(environments.lock_file(family))]
    text = environments.lock_file(family).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[1:]
    unhashed = [entry for entry in entries if "--hash=sha256:" not in entry]
    assert unhashed == [f"{r}\n" for r in family.requirements if r.startswith("torch==")]
    pinned = {entry.split(" ")[0].strip() for entry in entries}
    assert {requirement.split(" ")[0] for requirement in family.requirements} <= pinned
    other = dataclasses.replace(family, requirements=(*family.requirements, "more"))
    assert "--requirements" not in environments._uv_commands(other, tmp_path, tmp_path / "env")[1]


@pytest.mark.parametrize(("pip", "uv", "links"), [("/w /v", None, "/w,/v"), (None, "/u", "/u"), ("/w", "/u", "/u")])
def test_a_folder_of_wheels_serves_instead_of_the_backend(tmp_path, monkeypatch, pip, uv, links):
    for name, value in (("PIP_FIND_LINKS", pip), ("UV_FIND_LINKS", uv)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert environments._uv_environment()["UV_FIND_LINKS"] == links
    assert "--torch-backend=auto" not in environments._uv_commands(FAMILY, tmp_path, tmp_path / "env")[1]


def test_a_failure_of_uv_is_one_sentence_and_leaves_nothing(cache, capsys):
    impossible = dataclasses.replace(FAMILY, requirements=("platonic-adapters @ file:///nowhere/at/all",))
    with pytest.raises(ExportError, match="uv could not make the environment for sevennet; check the network") as error:
        environments.ensure(impossible)
    assert "\n" not in str(error.value)
    assert list((cache / "environments").iterdir()) == []
    assert "making the environment for sevennet" in capsys.readouterr().err


def test_the_code_travels_by_its_content(cache):
    place = environments._code()
    assert place.parent == cache / "code"
    assert environments._code() == place
    package = Path(environments.__file__).parent
    copy = place / "platonic_adapters"
    copied = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    needed = [*package.rglob("*.py"), package / "models.toml", *package.glob("families/*.txt")]
    assert copied == {p.relative_to(package): p.read_bytes() for p in needed}
    assert {Path("families/mace.py"), Path("families/cgcnn_elements.txt")} <= copied.keys()


def test_the_command_carries_every_option_that_is_not_of_the_input():
    args = arguments(
        *(
            "7net-0",
            "in.xyz",
            "-o",
            "o.zarr",
            "--layers",
            "layer0,hidden",
            "--properties",
            "energy",
            "--batch-atoms",
            "32",
        ),
        *(
            "--device",
            "cpu",
            "--threads",
            "1",
            "--limit",
            "5",
            "--duplicates",
            "keep",
            "--overwrite",
            "--json",
            "s.json",
        ),
    )
    line = environments.command(Path("python"), args, Path("s.zarr"))
    assert line[:6] == ["python", "-P", "-m", "platonic_adapters", "7net-0", "s.zarr"]
    again = arguments(*line[4:])
    of_the_input = {"input": "s.zarr", "limit": None, "duplicates": "refuse"}
    assert vars(again) == {**vars(args), **of_the_input}


def test_input_is_read_here_once_and_handed_over_with_its_name(tmp_path, monkeypatch):
    """The environment's python is replaced by one that only copies what it is given."""
    import ase.io

    frames = [bulk("Cu"), bulk("Al"), bulk("Cu")]
    ase.io.write(tmp_path / "in.xyz", frames)
    monkeypatch.setattr(environments, "ensure", lambda _family: Path(sys.executable))
    seen = []
    monkeypatch.setattr(environments, "_run", lambda line: seen.append(reading.read(line[5])) or 7)

    def described(line):
        seen.append((reading.read(line[5]), store.source_of(line[5])))
        return 7

    monkeypatch.setattr(environments, "_run", described)
    args = arguments("7net-0", str(tmp_path / "in.xyz"), "-o", str(tmp_path / "o.zarr"), "--duplicates", "skip")
    assert environments.embed(args) == 7
    (found, skipped), source = seen[0]
    assert (len(found), [s["reason"] for s in skipped]) == (2, ["identical to in:0"])
    assert source == str(tmp_path / "in.xyz")
    np.testing.assert_allclose(found.cells[0], frames[0].cell.array)


def test_exit_codes_and_death_pass_on(tmp_path):
    assert environments._run([sys.executable, "-c", "raise SystemExit(2)"]) == 2
    assert environments._run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137
    script = (
        "import time; from platonic_adapters import processes; processes.bound_to_parent(); print(1, flush=True);"
        " time.sleep(60)"
    )
    variables = {**os.environ, processes.PARENT: str(os.getpid())}
    child = subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, env=variables)
    assert child.stdout.readline()
    child.stdin.close()  # what the death of a parent does
    assert child.wait(10) == 1
    child.stdout.close()
