"""Several processes on one store, with a real model: the same bytes as one process, also when a worker is killed."""

import argparse
import contextlib
import time

import inside
import numpy as np
import psutil
import pytest
from platonic_adapters import cli, reading, store, structures
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


def test_nobody_reaches_the_workers_of_this_machine_without_their_key():
    import distributed
    from platonic_adapters.scaleout import DaskPool

    with DaskPool(workers=1)._client() as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result() == 3
        for stranger in (address, address.replace("tls", "tcp")):
            with pytest.raises((OSError, TypeError, ValueError)):
                distributed.Client(stranger, timeout=2, set_as_default=False)


def test_workers_and_a_scheduler_exclude_each_other(capsys):
    parser = argparse.ArgumentParser()
    cli.add_embed_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["7net-0", "in", "-o", "o.zarr", "--workers", "2", "--scheduler", "tcp://h:1"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.fixture(scope="module")
def input_(tmp_path_factory):
    """Three blocks of rattled prototypes."""
    found, _ = reading.read("prototypes?max_atoms=20")
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
    line = ["-m", "platonic_adapters", MODEL, input_, "-o", output, "--threads", "1", *options]
    return inside.start_python(MODEL, *line)


def finish(process):
    _, err = process.communicate()
    assert process.returncode == 0, err


def busy_worker_of(process):
    """A process that Dask started for `process`, once it has a model in its memory; None before."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children():
            if any("spawn_main" in part for part in child.cmdline()) and child.memory_info().rss > 250e6:
                return child
    return None


def test_two_workers_write_what_one_process_writes_though_one_is_killed(input_, tmp_path):
    finish(start(input_, tmp_path / "one.zarr"))
    both = start(input_, tmp_path / "two.zarr", "--workers", "2")
    while (worker := busy_worker_of(both)) is None:
        assert both.poll() is None, both.stderr.read()
        time.sleep(0.2)
    worker.kill()
    finish(both)
    one, two = (store.open(tmp_path / f"{name}.zarr") for name in ("one", "two"))
    assert one.group["done"].shape[0] == 3
    assert {**one.provenance, "created": ""} == {**two.provenance, "created": ""}
    first, second = (
        {f.relative_to(of.path): f.read_bytes() for f in of.path.rglob("*") if f.is_file() and f.name != "zarr.json"}
        for of in (one, two)
    )
    assert first == second
