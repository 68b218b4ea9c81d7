"""Faults of stores: changed and lost bytes, kills, races. What is read is right, or refused in one sentence.

Seeded, and short by default: `PLATONIC_FAULTS=20 pytest tests/faults -s` repeats everything twenty times as often and
prints how many faults were injected, and how they ended.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from platonic_adapters import reading, replacing, store
from platonic_adapters.errors import StoreError, StoreWarning
from platonic_adapters.readout import Readout

REPEATS = int(os.environ.get("PLATONIC_FAULTS", "1"))
BLOCK = 16
LAYERS = {"last": {"width": 3, "what": "a test"}, "early": {"width": 2, "what": "a test"}}


@pytest.fixture(autouse=True)
def _no_power_is_lost(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def begin(path, seed=0, **options):
    rng = np.random.default_rng(seed)
    frames = [bulk("Cu", cubic=True) * (1, 1, 1 + i % 2) for i in range(7)]
    frames.append(Atoms("OH", positions=[[0, 0, 0], [0.97, 0, 0]]))
    for frame in frames:
        frame.positions += 0.01 * rng.standard_normal(frame.positions.shape)
    dense = [rng.standard_normal((3, 2)), rng.standard_normal((2, 1))]
    table = rng.standard_normal(119)
    return store.create(
        path,
        reading.read(frames)[0],
        layers=LAYERS,
        default_layer="last",
        provenance={"model": "m", "checkpoint": {"sha256": "1"}, "created": "today"},
        skipped=[{"id": "x", "hash": "0", "reason": "no"}],
        properties=["energy", "forces", "stress"],
        readout=Readout("last", dense, [np.zeros(2), np.ones(1)], "silu", table, table),
        block_rows=BLOCK,
        **options,
    )


def fill(writer, seed=0):
    """Write what is pending; the numbers of the blocks that were."""
    blocks = []
    for block in writer.pending():
        rng, rows = np.random.default_rng([seed, block]), writer.rows(block)
        n = rows.stop - rows.start
        layers = {name: rng.standard_normal((n, layer["width"])) for name, layer in LAYERS.items()}
        values = {"energy": rng.standard_normal(n), "forces": rng.standard_normal((n, 3))}
        stress = rng.standard_normal((n, 3, 3))
        stress[np.arange(rows.start, rows.stop) >= writer.structures.offsets[-2]] = np.nan
        writer.write(block, layers, {**values, "stress": stress})
        blocks.append(block)
    writer.finish()
    return blocks


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete store, and another one of other numbers, which are never changed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        for seed in (0, 1):
            fill(begin(folder / f"{seed}.zarr", seed), seed)
    return folder


@pytest.fixture
def damaged(whole, tmp_path):
    """A copy to damage."""
    shutil.copytree(whole / "0.zarr", tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def content(path):
    """Everything that a reader gets from a store."""
    found = store.open(path)
    arrays = {f"layer {name}": found.layer(name) for name in found.layers}
    arrays |= {name: found.property(name) for name in found.properties}
    arrays |= {
        name: np.asarray(getattr(found.structures, name)) for name in vars(found.structures) if name != "offsets"
    }
    arrays |= {"index": found.structure_index, "species": found.species}
    readout = found.readout
    arrays |= {
        f"readout {i}": x for i, x in enumerate([*readout.weights, *readout.biases, readout.scale, readout.shift])
    }
    told = {k: v for k, v in found.attributes.items() if k not in ("run", "checksums", "seal")}
    plain = json.dumps([told, found.default_layer, readout.layer, readout.activation], sort_keys=True)
    return {name: (x.shape, x.tolist() if x.dtype.kind == "U" else x.tobytes()) for name, x in arrays.items()}, plain


def files(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def rows_of(path):
    """Every file but the one that holds the time."""
    return {name: (path / name).read_bytes() for name in files(path) if name != "zarr.json"}


def outcome(path, right, what):
    """How a fault ends: `named` in one sentence, or `harmless`; anything else fails the test."""
    verified = refusal = None
    try:
        verified = store.verify(path)
        found = content(path)
    except StoreError as error:
        refusal = str(error)
    if refusal:
        assert str(path) in refusal, f"{what}: {refusal}"
        assert "\n" not in refusal, f"{what}: {refusal}"
        assert verified is None or verified.faults, f"{what}: verify saw nothing, reading: {refusal}"
        return "named"
    assert found == right, f"{what}: read without a word"
    return "harmless, seen by verify" if verified.faults else "harmless"


def flipped(data, rng):
    bit = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed), f"bit {bit}"


def test_a_flipped_bit_anywhere_is_named_or_harmless(damaged):
    right, rng, ends = content(damaged), random.Random(0), Counter()
    for name in files(damaged):
        data = (damaged / name).read_bytes()
        for _ in range((12 if name == "zarr.json" else 2) * REPEATS):
            changed, bit = flipped(data, rng)
            (damaged / name).write_bytes(changed)
            ends[outcome(damaged, right, f"{name}, {bit}")] += 1
        (damaged / name).write_bytes(data)
    print(f"\nflipped bits: {dict(ends)}")  # noqa: T201
    assert content(damaged) == right
    assert ends["named"] > 2 * ends["harmless"]


def test_lost_truncated_and_exchanged_files_are_named(damaged, whole):
    right, rng, ends = content(damaged), random.Random(2), Counter()
    other = {name: (whole / "1.zarr" / name).read_bytes() for name in files(whole / "1.zarr")}
    for name in files(damaged):
        file, data = damaged / name, (damaged / name).read_bytes()
        faults = {"lost": None, "empty": b"", "truncated": data[: len(data) // 2], "longer": data + b"\0"}
        faults["of another store"] = other[name]
        for neighbour in files(damaged):
            if Path(neighbour).parts[:2] == Path(name).parts[:2] and neighbour != name:
                faults["exchanged"] = (damaged / neighbour).read_bytes()
        faults = {fault: changed for fault, changed in faults.items() if changed != data}
        for fault in rng.sample(sorted(faults), min(2 * REPEATS, len(faults))):
            changed = faults[fault]
            file.unlink() if changed is None else file.write_bytes(changed)
            ends[fault, outcome(damaged, right, f"{name}, {fault}")] += 1
            file.write_bytes(data)
    shutil.rmtree(damaged / "layers")
    ends["lost", outcome(damaged, right, "layers")] += 1
    print(f"\nfiles: {dict(ends)}")  # noqa: T201


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("zarr.json", '"default_layer": "last"', '"default_layer": "early"'),
        ("zarr.json", '"model": "m"', '"model": "n"'),
        ("zarr.json", '"complete": true', '"complete": false'),
        ("zarr.json", '"schema": 2', '"schema": 1'),
        ("zarr.json", '"seal"', '"seam"'),
        ("zarr.json", '"skipped"', '"Skipped"'),
        ("layers/last/zarr.json", '"float32"', '"int32"'),
        ("layers/last/zarr.json", '"crc32c"', '"crc32d"'),
        ("readout/zarr.json", "silu", "gelu"),
    ],
)
def test_edited_metadata_is_named(damaged, file, old, new):
    right, text = content(damaged), (damaged / file).read_text()
    assert old in text
    (damaged / file).write_text(text.replace(old, new))
    assert outcome(damaged, right, new) == "named"


def test_just_what_is_damaged_is_written_again(damaged, whole):
    right, ends = rows_of(damaged), Counter()
    rng = random.Random(1)
    names = [name for name in files(damaged) if name != "zarr.json"]
    for name in rng.sample(names, min(12 * REPEATS, len(names))):
        if rng.random() < 0.5:
            (damaged / name).unlink()
        else:
            (damaged / name).write_bytes(flipped(right[name], rng)[0])
        seen = store.verify(damaged)
        assert not seen.intact, name
        blocked = "/c/" in name and name.startswith(("layers", "by_row", "forces", "done"))
        expected = [int(name.split("/c/")[1].split("/")[0])] if blocked else []
        if "structures/" not in name and not name.startswith("species"):
            assert bool(seen.structures) == bool(expected), name
        assert fill(begin(damaged)) == expected, name
        assert rows_of(damaged) == right, name
        assert store.verify(damaged).intact
        ends["block" if expected else "no row"] += 1
    print(f"\nmended: {dict(ends)}")  # noqa: T201


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Structures of some forty blocks."""
    frames = [bulk("Cu", cubic=True) * (1, 1, 1 + i % 3) for i in range(150)]
    for i, frame in enumerate(frames):
        frame.positions[0, 0] += 1e-3 * i
    path = tmp_path_factory.mktemp("source") / "in.zarr"
    store.write_structures(path, reading.read(frames)[0], source="the tests")
    return path


def start(source, output, *options, pause=0.01):
    """An export in a process of its own, once its libraries are loaded."""
    line = [sys.executable, str(Path(__file__).with_name("exporting.py")), str(source), "-o", str(output), *options]
    process = subprocess.Popen(
        line,
        env={**os.environ, "PLATONIC_TOY_PAUSE": str(pause)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n", process.stderr.read()
    return process


def ended(process):
    """Exit code and last sentence of an export, which never ends in a traceback."""
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, err.strip().splitlines()[-1] if err.strip() else ""


@pytest.fixture(scope="module")
def uninterrupted(source):
    path = source.with_name("uninterrupted.zarr")
    assert ended(start(source, path, pause=0))[0] == 0
    return path


def kill_until_done(source, path, rng, *options):
    """How often an export was killed, at random moments, before it came to its end."""
    for kills in range(100):
        process = start(source, path, *options, pause=0.005)
        try:
            process.wait(rng.uniform(0, 1.5) if kills < 3 * REPEATS else 60)
        except subprocess.TimeoutExpired:
            process.kill()
        if ended(process)[0] == 0:
            return kills
    raise AssertionError("it never came to its end")


def begin_and_kill(source, path, *options, blocks="done/c/*"):
    """An export that is killed as soon as it has written a block."""
    process = start(source, path, *options, pause=0.02)
    while not list(path.glob(blocks)):
        assert process.poll() is None, process.stderr.read()
    process.kill()
    ended(process)


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_moment_an_export_goes_on_and_its_bytes_are_the_same(
    source, uninterrupted, tmp_path, damaged, overwrite
):
    old, rng, kills = content(damaged), random.Random(3), 0
    for i in range(REPEATS):
        path = tmp_path / f"{i}.zarr"
        if overwrite:
            shutil.copytree(damaged, path)
            begin_and_kill(source, path, "--overwrite", blocks="../.*.partial/made/done/c/*")
            assert content(path) == old  # which stays until the new one is complete
        kills += kill_until_done(source, path, rng, *(["--overwrite"] if overwrite else []))
        assert rows_of(path) == rows_of(uninterrupted)
        assert store.verify(path).intact
    print(f"\nkills: {kills}")  # noqa: T201
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(REPEATS == 1, reason="ten seconds for starting workers: with PLATONIC_FAULTS=2 or more")
def test_killed_with_its_workers_an_export_goes_on_and_its_bytes_are_the_same(source, uninterrupted, tmp_path):
    begin_and_kill(source, tmp_path / "a.zarr", "--workers", "2")
    assert ended(start(source, tmp_path / "a.zarr", "--workers", "2"))[0] == 0
    assert rows_of(tmp_path / "a.zarr") == rows_of(uninterrupted)


@pytest.mark.parametrize("first", ["--overwrite", "--threads=1"])
def test_races_of_overwriting_end_with_one_complete_store(source, uninterrupted, tmp_path, first):
    """Two that overwrite; or one beside another that goes on with what stood there."""
    rng, ends = random.Random(4), Counter()
    for i in range(REPEATS):
        path = tmp_path / f"{i}.zarr"
        begin_and_kill(source, path)
        both = [start(source, path, option, pause=rng.choice([0.002, 0.01])) for option in (first, "--overwrite")]
        codes = [ended(process) for process in both]
        assert 0 in [code for code, _ in codes], codes
        for code, sentence in codes:
            assert code == 0 or (code == 2 and "was replaced" in sentence), sentence
        assert rows_of(path) == rows_of(uninterrupted)
        assert store.verify(path).intact
        ends[tuple(code for code, _ in codes)] += 1
    print(f"\nraces, by exit codes: {dict(ends)}")  # noqa: T201
    assert not list(tmp_path.glob(".*"))


def test_a_writer_whose_store_was_replaced_stops(tmp_path):
    path = tmp_path / "a.zarr"
    slow = begin(path)
    rows = slow.rows(0)
    n = rows.stop - rows.start
    assert fill(begin(path, overwrite=True)) == list(range(slow.num_blocks))
    right = rows_of(path)
    layers = {name: np.zeros((n, layer["width"])) for name, layer in LAYERS.items()}
    values = {"energy": np.zeros(n), "forces": np.zeros((n, 3)), "stress": np.zeros((n, 3, 3))}
    for act in (lambda: slow.write(0, layers, values), slow.finish, lambda: store.join(path, slow.run)):
        with pytest.raises(StoreError, match="was replaced or removed by another run"):
            act()
    assert rows_of(path) == right
    shutil.rmtree(path)
    with pytest.raises(StoreError, match="was replaced or removed by another run"):
        slow.write(0, layers, values)
    assert not path.exists()


def test_two_that_overwrite_both_leave_a_complete_store(damaged):
    old = content(damaged)
    one, two = begin(damaged, 1, overwrite=True), begin(damaged, 2, overwrite=True)
    assert one.path != two.path
    assert content(damaged) == old
    fill(two, 2)
    new = content(damaged)
    assert new != old
    fill(one, 1)
    assert content(damaged) != new
    assert store.verify(damaged).intact
    assert [p.name for p in damaged.parent.iterdir()] == ["a.zarr"]


def test_a_swap_that_was_cut_short_is_ended(damaged, whole, monkeypatch):
    """Killed between moving the old store away and the new one in; whoever comes next moves it in."""

    def cut_short(beside):
        damaged.rename(beside.folder / "replaced-1")

    writer = begin(damaged, 1, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(replacing.Beside, "swap_in", cut_short)
        patch.setattr(replacing.Beside, "remove", lambda beside: beside.lock.close())
        fill(writer, 1)
    assert not damaged.exists()
    assert content(damaged) == content(whole / "1.zarr")


def test_a_store_that_nobody_can_identify_is_replaced_but_not_gone_on_with(damaged):
    (damaged / "zarr.json").write_text("{")
    for act in (store.open, begin):
        with pytest.raises(StoreError, match=r"zarr\.json, cannot be trusted .*again with `--overwrite`"):
            act(damaged)
    assert not store.verify(damaged).intact
    fill(begin(damaged, overwrite=True))
    assert store.verify(damaged).intact


def test_flags_promise_rows_that_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    writer = begin(tmp_path / "a.zarr")
    fill(writer)
    for block in range(writer.num_blocks):
        flag = synced.index(str(writer.path / f"done/c/{block}/0"))
        for name in ("layers/last", "layers/early", "by_row/stress"):
            for file in (f"c/{block}", "c", "."):
                assert str((writer.path / name / file).resolve()) in synced[:flag]
    description = str(writer.path / "zarr.json")
    assert max(i for i, name in enumerate(synced) if name == description) > synced.index(
        str(writer.path / "energy/c/0")
    )


def test_older_stores_are_read_with_a_word(whole, tmp_path):
    """Schema 1: no checksums, no seal."""
    path = tmp_path / "old.zarr"
    shutil.copytree(whole / "0.zarr", path)
    right, _ = content(path)
    document = json.loads((path / "zarr.json").read_text())
    for name in ("run", "structures_sha256", "checksums", "seal"):
        del document["attributes"][name]
    document["attributes"]["schema"] = 1
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.warns(StoreWarning, match="was written by an older version, without checksums"):
        assert content(path)[0] == right
    assert store.verify(path).intact
    (path / "species/c/0").unlink()
    with pytest.warns(StoreWarning), pytest.raises(StoreError, match="is not the one of its content hash"):
        content(path)
    assert not store.verify(path).intact
