"""`make bench`: ours beside the peers, in one run on one machine, as `bench.json` and a table.

What counts is the ratio, peer time over ours, of the best of several turns. Peak memory is that of the whole process
that does ours alone, JAX and the data included.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
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
    parser.add_argument("--only", choices=("measures", "embedding"))
    parser.add_argument("--limit", type=int, help="crystals to embed; all 500 by default")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "bench.json")
    args = parser.parse_args()
    rows = [] if args.only == "embedding" else measures()
    rows += [] if args.only == "measures" else embedding(args.limit)
    args.output.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{args.output}: {platform.processor() or platform.machine()}, {os.cpu_count()} cores.")  # noqa: T201


if __name__ == "__main__":
    main()
