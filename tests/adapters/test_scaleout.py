"""Several processes on one store, with a real model: the same bytes as one process, also when a worker is killed."""

import argparse
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from platonic_adapters import cli, environments, registry, store, structures
from platonic_adapters.errors import UserError

MODEL = "chgnet-0.3.0"


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch):
    import distributed
    from platonic_adapters.scaleout import DaskPool

    def refused(*_args, **_options):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refused)
    with (
        pytest.raises(UserError, match="no Dask scheduler answers at `tcp://nowhere:1`; start one with") as error,
        DaskPool(scheduler="tcp://nowhere:1")._client(),
    ):
        pass
    assert "\n" not in str(error.value)


def test_workers_and_a_scheduler_exclude_each_other(capsys):
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["7net-0", "in", "-o", "o.zarr", "--workers", "2", "--scheduler", "tcp://h:1"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.fixture(scope="module")
def input_(tmp_path_factory):
    """Three blocks of rattled prototypes."""
    found, _ = structures.read("prototypes?max_atoms=20")
    rng = np.random.default_rng(0)
    frames, names = [], []
    for copy in range(3):
        for i in np.flatnonzero([max(found.atoms(i).numbers) < 84 for i in range(len(found))]):
            atoms = found.atoms(i)
            atoms.positions += 0.05 * rng.standard_normal(atoms.positions.shape)
            frames.append(atoms)
            names.append(f"{found.ids[i]} {copy}")
    path = tmp_path_factory.mktemp("input") / "in.zarr"
    store.write_structures(path, structures.Structures.from_atoms(frames, names), source="the tests")
    return path


def start(input_, output, *options):
    python = environments.ensure(registry.resolve(MODEL).family)
    variables = {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parents[1])}
    line = [python, "-m", "platonic_adapters", MODEL, input_, "-o", output, "--threads", "1", *options]
    return subprocess.Popen([str(part) for part in line], env=variables, stderr=subprocess.PIPE, text=True)


def workers_of(process):
    """The processes that Dask started for `process`."""
    children = psutil.Process(process.pid).children() if process.poll() is None else []
    return [child for child in children if any("spawn_main" in part for part in child.cmdline())]


@pytest.mark.slow
def test_two_workers_write_what_one_process_writes_though_one_is_killed(input_, tmp_path):
    alone = start(input_, tmp_path / "one.zarr")
    assert alone.wait() == 0, alone.stderr.read()
    both = start(input_, tmp_path / "two.zarr", "--workers", "2")
    while len(workers_of(both)) < 2:
        assert both.poll() is None, both.stderr.read()
        time.sleep(0.2)
    time.sleep(3)
    workers_of(both)[0].kill()
    assert both.wait() == 0, both.stderr.read()
    one, two = (store.open(tmp_path / f"{name}.zarr") for name in ("one", "two"))
    assert one.group["done"].shape[0] == 3
    assert {**one.provenance, "created": ""} == {**two.provenance, "created": ""}
    files = sorted(f.relative_to(one.path) for f in one.path.rglob("*") if f.is_file() and f.name != "zarr.json")
    assert files == sorted(
        f.relative_to(two.path) for f in two.path.rglob("*") if f.is_file() and f.name != "zarr.json"
    )
    assert all((one.path / file).read_bytes() == (two.path / file).read_bytes() for file in files)
