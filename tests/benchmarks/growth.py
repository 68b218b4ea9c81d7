"""`python -m growth WORK ATOMS`: seconds, peak memory, and, where there are, those of peers, for that many atoms.

The rows are made up as those of crystals are: each element has its environments, atoms of an environment nearly
coincide, and there are more environments where there are more atoms.
"""

import json
import resource
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import platonic_jax as pj
from platonic_jax import numerics, projection
from platonic_jax.tables import EmbeddingTable

ATOMS_OF_A_STRUCTURE = 10
ATOMS_OF_AN_ENVIRONMENT = 250


def environments(n: int, p: int, *, model: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of one model, and their elements and structures, which are the same for every model."""
    rng = np.random.default_rng(7)
    num_environments = max(88, n // ATOMS_OF_AN_ENVIRONMENT)
    element_of = rng.integers(88, size=num_environments)
    environment = rng.integers(num_environments, size=n)
    axes = np.geomspace(1, 0.03, p)
    elements, within = rng.normal(size=(88, p)) * axes, 0.3 * rng.normal(size=(num_environments, p)) * axes
    rows = (elements[element_of] + within)[environment] + 0.05 * rng.normal(size=(n, p)) * axes
    of_model = np.random.default_rng(model)
    turn = np.linalg.qr(of_model.normal(size=(p, p)))[0]
    rows = rows @ turn + 0.02 * of_model.normal(size=(n, p)) * axes + 1
    return rows.astype(np.float32), element_of[environment] + 1, np.arange(n) // ATOMS_OF_A_STRUCTURE


def table(n: int, model: int) -> EmbeddingTable:
    """Rows of one model as a table."""
    x, species, structure = environments(n, 128, model=model)
    return EmbeddingTable.from_arrays(x, species, structure, model=f"model {model}")


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def neighbours(n: int) -> dict[str, float]:
    """Ten neighbours in the space of 100 anchors; the peer searches a part of the queries, and is scaled."""
    x, _, _ = environments(n, 128)
    rows = projection.relative(jnp.asarray(x), jnp.asarray(x[:100]))
    search = lambda: numerics.neighbours(rows, num_neighbours=10)
    first = timed(search)
    seconds = {"ours": min(timed(search) for _ in range(2 if n > 10**5 else 5)), "first": first}
    if jax.default_backend() == "cpu":
        import faiss

        unit = np.asarray(numerics.normalise(rows))
        index = faiss.IndexFlatIP(unit.shape[1])
        index.add(unit)
        asked = unit[:: max(1, n // 20_000)]
        begin = time.perf_counter()
        index.search(asked, 11)
        seconds["faiss-cpu flat"] = (time.perf_counter() - begin) * n / len(asked)
    return seconds


def compare(n: int) -> dict[str, float]:
    """Three models and the element, 100 permutations, 2 redraws of 100 anchors."""
    tables = [table(n, model) for model in range(3)]
    settings = {"measures": ("procrustes", "cka", "mutual_knn"), "num_anchor_draws": 2}
    run = lambda: pj.compare(tables, **settings).measures["procrustes"].value
    return {"ours": timed(run)}


def typicality(n: int) -> dict[str, float]:
    """A tenth as many atoms judged by the rest, by two models."""
    tables = [table(n, model) for model in range(2)]
    queried = np.asarray(tables[0].structure_index) % 10 == 0
    reference, queries = ([one.select(mask) for one in tables] for mask in (~queried, queried))
    run = lambda: pj.analyses.typicality({"rest": reference}, {"tenth": queries}).queries["tenth"].ids
    return {"ours": timed(run)}


WORKS = {"neighbours": neighbours, "compare": compare, "typicality": typicality}


def main(work: str, atoms: str) -> None:
    seconds = WORKS[work](int(atoms))
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    print(json.dumps({**seconds, "peak_mb": peak / 2**20}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
