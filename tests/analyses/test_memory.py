"""The bound on memory: sizes as text, what there is, refusals before the work, and results that do not depend on it."""

import argparse

import jax
import numpy as np
import pytest

import platonic_jax as pj
from platonic_jax import _memory, analyses, metrics, numerics, tables, testing
from platonic_jax.analyses import _jackknife, _pairs, compare
from platonic_jax.analyses._comparison import _spaces
from platonic_jax.cli import _command, main


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 1000**3), ("500 mb", 500 * 1000**2), ("2GiB", 2 * 1024**3), ("1.5 TB", 1_500_000_000_000), ("7B", 7)],
)
def test_sizes_are_read(text, size):
    assert _memory.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "4", "GB", "4G", "-1GB", "0GB", "0.1B", "nanGB", "infGB", "4 gallons", "9" * 400 + "GB"]
)
def test_other_sizes_are_refused_in_a_sentence(text, capsys):
    assert main(["compare", "a", "b", f"--memory={text}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("platonic: argument --memory: must be a size above zero, such as 4GB")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("size", "text"), [(1_500_000_000, "1.5 GB"), (3_210_000_000, "3.3 GB"), (12_000_000, "12 MB")]
)
def test_sizes_are_said_rounded_up(size, text):
    assert _memory.text_of(size) == text
    assert _memory.parse(text) >= size


def test_what_there_is_counts_control_groups(tmp_path):
    inside = tmp_path / "memory" / "job" / "step"
    inside.mkdir(parents=True)
    v2 = tmp_path / "slice" / "unit"
    v2.mkdir(parents=True)
    for folder, limit, names in (
        (inside, "1000", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
        (inside.parent, "5000", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
        (v2, "max", ("memory.max", "memory.current", "inactive_file")),
        (v2.parent, "3000", ("memory.max", "memory.current", "inactive_file")),
    ):
        for name, text in zip(names, (limit, "600", None), strict=True):
            if text:
                (folder / name).write_text(f"{text}\n")
        (folder / "memory.stat").write_text(f"anon 500\n{names[2]} 100\n")
    group = tmp_path / "cgroup"
    group.write_text("5:cpu:/job\n4:memory:/job/step\n0::/slice/unit\n")
    assert list(_memory._left_in_groups(tmp_path, group)) == [500, 4500, 2500]
    assert list(_memory._left_in_groups(tmp_path, tmp_path / "none")) == []
    assert 0 < _memory.resident() < _memory.budget()


def table(n=120, width=8, seed=0):
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(n // 4, width)), 4, axis=0) + rng.normal(size=(n, width))
    return pj.EmbeddingTable.from_arrays(x, np.tile([8, 8, 26, 26], n // 4), np.arange(n) // 4, model=f"m{seed}")


@pytest.mark.parametrize(
    "work",
    [
        lambda a, b: compare([a, b], k=5),
        lambda a, b: pj.sweep([a, b], ks=[5]),
        lambda a, b: analyses.typicality({"r": [a]}, {"q": [b]}, k=5),
        lambda a, b: analyses.readout_transfer(a, b, k=5),
        lambda a, b: analyses.analogies([a, b], k=5),
        lambda a, b: pj.train([a, b], k=5),
    ],
)
def test_work_that_cannot_fit_is_refused_before_it_starts(work):
    given = table(), table(seed=1)
    with (
        _memory.limited(10**9),
        pytest.raises(ValueError, match=r"needs about .* of memory, and 1 GB are allowed: .*`--memory"),
    ):
        work(*given)


def test_a_store_that_cannot_fit_is_not_read(tmp_path, monkeypatch):
    from commands import write_store

    path = write_store(tmp_path / "a.zarr")
    monkeypatch.setattr(_memory, "BASE", 10**9)
    with _memory.limited(10**9), pytest.raises(ValueError, match="reading `.*a.zarr` needs about"):
        tables.load(path)


def test_estimates_grow_with_the_work(monkeypatch):
    needed = []
    monkeypatch.setattr(_memory, "require", lambda data, **_: needed.append(data))
    for n, m, k, options in (
        (120, 2, 5, {}),
        (240, 2, 5, {}),
        (240, 3, 5, {}),
        (240, 3, 20, {}),
        (240, 3, 20, {"similarity": "whitened"}),
        (240, 9, 20, {"similarity": "whitened", "resolved": True}),
    ):
        _spaces.check_memory([table(n)] * m, k=k, **{"similarity": "cosine", "resolved": False, **options})
    assert needed == sorted(set(needed))


def test_results_do_not_depend_on_the_budget():
    x, y = (testing.make_cloud(jax.random.key(i), n=700, p=6).x for i in range(2))
    x = np.asarray(y) + 0.5 * np.asarray(x)
    a, b = table(480, 40), table(480, 40, seed=1)
    few_draws = {"num_permutations": 19, "num_anchor_draws": 0, "element_alone": False}
    found = []
    for size in (2**20, 2**33):
        for compiled in (_spaces.space_of, _jackknife._estimate, _jackknife._null_estimate):
            compiled.clear_cache()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_memory, "BASE", -(10**12))
            patch.setattr(_memory, "resident", lambda: 0)
            # Blocks of a few rows, so that these rows take many.
            patch.setattr(_memory, "_SMALLEST_BLOCK", 2**12)
            with _memory.limited(size):
                rows = numerics.rows_per_tile(80)
                index, _ = numerics.neighbours(x, num_neighbours=5)
                one = compare([a, b], k=20, measures=_pairs.MEASURES, nulls=["all"], **few_draws)
                imbalance = float(metrics.information_imbalance(x, y))
        found.append((rows, np.asarray(index), imbalance, one))
    (few, index, imbalance, one), (many, index_too, imbalance_too, other) = found
    assert few < 480 < many
    np.testing.assert_array_equal(index, index_too)
    assert imbalance == pytest.approx(imbalance_too, rel=1e-5)
    for name, matrix in one.measures.items():
        for field in ("value", "low", "high", "null"):
            left, right = (np.asarray(getattr(of, field)) for of in (matrix, other.measures[name]))
            np.testing.assert_allclose(left, right, atol=2e-5, err_msg=f"{name}, {field}")


def test_blocks_follow_a_budget_that_is_given_and_nothing_else(monkeypatch):
    sizes = []
    for given in (10**6, 10**9, 3 * 10**9, 10**12, None):
        with _memory.limited(given):
            sizes.append(_memory.block_bytes())
    assert sizes == sorted(sizes)
    assert (sizes[0], *sizes[-2:]) == (2**20, 2**26, 2**26)
    monkeypatch.setattr(_memory, "available", lambda: 10)
    assert _memory.block_bytes() == 2**26


def test_work_that_takes_more_than_is_allowed_ends(monkeypatch, capsys):
    codes = []
    monkeypatch.setattr(_command.os, "_exit", codes.append)
    with _command.within_memory(1000):
        deadline = 200
        while not codes and deadline:
            deadline -= 1
            _command.threading.Event().wait(0.02)
    assert codes == [2]
    assert "platonic: this work takes more than the 0.1 MB of memory that `--memory` allows" in capsys.readouterr().err


def test_every_command_that_computes_takes_the_option():
    from platonic_jax import cli

    for name, module in cli.COMMANDS.items():
        parser = argparse.ArgumentParser()
        module.add(parser)
        options = {action.dest for action in parser._actions}
        assert ("memory" in options) == ("folder" in options and name not in ("demo", "embed")), name
