"""`make bench`: ours beside the peers, and growth with the number of atoms, in one run on one machine.

What counts is the ratio, peer time over ours, of the best of several turns. Peak memory is that of the whole process
that does ours alone, JAX and the data included. `make bench-gpu` runs what an accelerator is for, up to larger sizes.
Results are `bench.json` and `growth.json`, or the same with `_gpu`, and a table as they come; with `--picture`, growth
is drawn.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ADAPTERS = HERE.parents[1] / "adapters"
CI_500 = HERE.parents[2] / "shared/data/main/ci_500.extxyz.gz"
EMBEDDERS = ("7net-0", "chgnet-0.3.0", "random:mace-mp-0-small?seed=0")
PEERS = {"forward": "the model's own batched forward", "usual": "one structure at a time, as documented"}
TURNS = 2


def called(line: list[object], **variables: str) -> dict[str, float]:
    """What a script printed last."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **variables}
    done = subprocess.run([str(p) for p in line], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(work: str, peer: str, ours_s: float, peer_s: float, peak: float) -> dict[str, object]:
    """One entry of `bench.json`."""
    entry = {"work": work, "peer": peer, "ratio": round(peer_s / ours_s, 2), "ours_s": round(ours_s, 3)}
    return {**entry, "peer_s": round(peer_s, 3), "ours_peak_mb": round(peak)}


def measures() -> list[dict[str, object]]:
    """Every work of `measures.py`."""
    from measures import WORKS

    rows = []
    for work in WORKS:
        seconds = called([sys.executable, HERE / "measures.py", work])
        peak = called([sys.executable, HERE / "measures.py", work, "--peak"])["peak_mb"]
        ours = seconds.pop("ours")
        rows += [row(work, peer, ours, theirs, peak) for peer, theirs in seconds.items()]
        show(rows[-len(seconds) :])
    return rows


def growth(sizes: Sequence[int]) -> list[dict[str, object]]:
    """Every work of `growth.py`, in a process of its own for each size."""
    from growth import WORKS

    rows = []
    for work in WORKS:
        for atoms in sizes:
            found = called([sys.executable, HERE / "growth.py", work, atoms])
            peak = round(found.pop("peak_mb"))
            rows.append({"work": work, "atoms": atoms, "peak_mb": peak} | {k: round(v, 3) for k, v in found.items()})
            show(rows[-1:])
    return rows


def picture(rows: list[dict[str, object]], target: Path) -> None:
    """Seconds by atoms, for each work and for the peer."""
    from platonic_jax import charts, plots

    def line(work: str, way: str, name: str, **style: object) -> dict[str, object]:
        kept = [entry for entry in rows if entry["work"] == work and way in entry]
        return charts.curve(name, [e["atoms"] for e in kept], [e[way] for e in kept], markers=True, **style)

    ours = [line(work, "ours", work) for work in dict.fromkeys(entry["work"] for entry in rows)]
    peers = [line("neighbours", way, f"neighbours, {way}", style="baseline", dash=True) for way in ("faiss-cpu flat",)]
    shown = [*ours, *(peer for peer in peers if peer["x"])]
    chart = charts.lines("Time against number of atoms.", shown, x="atoms", y="seconds", log_x=True, log_y=True)
    ax = plots.draw(chart)
    plots.with_legend(ax)
    plots.save(ax.figure, target)


def embedding(limit: int | None) -> list[dict[str, object]]:
    """Our loop against the models' own forward, and against the usual way, on real crystals."""
    import tempfile

    from platonic_adapters import environments, reading, registry, store

    found, _ = reading.read(CI_500 if CI_500.exists() else "prototypes", limit=limit)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in EMBEDDERS:
            family = registry.resolve(model).family
            unknown = {84, 85, 86, 87, 88, *range(90, 119)}  # for one or another of the models
            known = [i for i in range(len(found)) if not unknown & set(found.atoms(i).numbers.tolist())]
            source = Path(folder) / f"{family.name}.zarr"
            store.write_structures(source, found.select(known), source="the benchmark")
            line = [environments.ensure(family), HERE / "in_embedding.py", model]
            turns = [
                {way: called([*line, way, source], PYTHONPATH=str(ADAPTERS)) for way in ("ours", *PEERS)}
                for _ in range(TURNS)
            ]
            best = {way: min(turn[way]["seconds"] for turn in turns) for way in turns[0]}
            peak = max(turn["ours"]["peak_mb"] for turn in turns)
            atoms = int(turns[0]["ours"]["atoms"])
            work = f"embedding of {len(known)} crystals ({atoms} atoms), {model}"
            rows += [row(work, peer, best["ours"], best[way], peak) for way, peer in PEERS.items()]
            show(rows[-len(PEERS) :])
    return rows


def show(rows: list[dict[str, object]]) -> None:
    """As rows of a table."""
    for entry in rows:
        print(" | ".join(["", *map(str, entry.values()), ""]).strip(), flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("measures", "embedding", "growth"))
    parser.add_argument("--gpu", action="store_true", help="what an accelerator is for, without the embedding")
    parser.add_argument("--limit", type=int, help="crystals to embed; all 500 by default")
    parser.add_argument("--sizes", type=int, nargs="+", help="atoms of the growth")
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="the folder of the results")
    parser.add_argument("--picture", type=Path, help="where to draw the growth")
    args = parser.parse_args()
    suffix = "_gpu" if args.gpu else ""
    sizes = args.sizes or ((10_000, 100_000, 300_000, 2_000_000) if args.gpu else (10_000, 30_000, 100_000, 300_000))
    if args.only not in ("embedding", "growth"):
        save(measures(), args.output / f"bench{suffix}.json")
    if args.only in (None, "growth"):
        rows = growth(sizes)
        save(rows, args.output / f"growth{suffix}.json")
        if args.picture:
            picture(rows, args.picture)
    if args.only in (None, "embedding") and not args.gpu:
        save(embedding(args.limit), args.output / "bench_embedding.json")
    print(f"{args.output}: {platform.processor() or platform.machine()}, {os.cpu_count()} cores.")  # noqa: T201


def save(rows: list[dict[str, object]], path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
