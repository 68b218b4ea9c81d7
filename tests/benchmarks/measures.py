"""`python -m measures WORK`: seconds of ours and of each peer on the same data, in one process, taking turns.

`WORK --peak` runs ours alone, for its peak memory. Peers are called as their documentation does, on all cores.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from platonic_jax import anchors, learn, metrics, numerics, projection, statistics

ROUNDS = 3
SLOW = 20  # s: what takes longer is timed once.
Way = Callable[[], object]


def cloud(n: int, p: int, *, seed: int = 0, num_elements: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Rows in clusters, with falling variances and an offset: float32, and the cluster of each."""
    rng = np.random.default_rng(seed)
    axes = np.geomspace(1, 0.03, p)
    centres = rng.normal(size=(num_elements, p)) * axes
    element = rng.integers(num_elements, size=n)
    return (centres[element] + 0.3 * axes * rng.normal(size=(n, p)) + 1).astype(np.float32), element.astype(np.int32)


def pair(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """A cloud and a noisy rotation of it."""
    x, _ = cloud(n, p)
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(p, p)))[0]
    return x, (x @ turn + 0.1 * rng.normal(size=x.shape)).astype(np.float32)


def ready(fn: Callable[..., object], *arrays: object) -> Way:
    """A JAX function on arrays that are on the device already, waited for."""
    placed = jax.tree.map(jnp.asarray, arrays)
    return lambda: jax.block_until_ready(fn(*placed))


def relative() -> tuple[Way, dict[str, Way]]:
    x, _ = cloud(282_847, 256)
    chosen = x[:100]

    def in_numpy() -> np.ndarray:
        rows = x / np.linalg.norm(x, axis=1, keepdims=True)
        return rows @ (chosen / np.linalg.norm(chosen, axis=1, keepdims=True)).T

    return ready(jax.jit(projection.relative), x, chosen), {"numpy": in_numpy}


def procrustes() -> tuple[Way, dict[str, Way]]:
    from scipy.spatial import procrustes

    x, y = pair(282_847, 100)
    return ready(jax.jit(metrics.procrustes), x, y), {"scipy.spatial.procrustes": lambda: procrustes(x, y)}


def faiss_neighbours(rows: np.ndarray) -> np.ndarray:
    """Ten neighbours of each row by cosine, as faiss-cpu's exhaustive index lists them."""
    import faiss

    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index.search(rows, 11)[1][:, 1:]


def mutual_knn() -> tuple[Way, dict[str, Way]]:
    import torch
    from sklearn.neighbors import NearestNeighbors

    x, y = pair(20_000, 100)

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([len(np.intersect1d(i, j)) for i, j in zip(a, b, strict=True)]) / 10)

    def with_faiss() -> float:
        return overlap(*map(faiss_neighbours, (x, y)))

    def with_sklearn() -> float:
        found = [
            NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(rows).kneighbors()[1]
            for rows in (x, y)
        ]
        return overlap(*found)

    def with_torch() -> float:
        """n × n similarities and masks, as the metric of platonic-rep is defined."""
        masks = []
        for rows in (x, y):
            rows = torch.nn.functional.normalize(torch.from_numpy(rows), dim=1)
            near = (rows @ rows.T).fill_diagonal_(-1e8).topk(10, dim=1).indices
            masks.append(torch.zeros(len(rows), len(rows)).scatter_(1, near, 1.0))
        return float((masks[0] * masks[1]).sum(1).mean() / 10)

    def product() -> None:
        for rows in (x, y):
            for start in range(0, len(rows), 2000):
                rows[start : start + 2000] @ rows.T

    peers = {"faiss-cpu flat": with_faiss, "scikit-learn brute": with_sklearn, "torch n x n": with_torch}
    return ready(jax.jit(metrics.mutual_knn), x, y), {**peers, "the bare products in numpy": product}


def mutual_knn_of_environments() -> tuple[Way, dict[str, Way]]:
    """Rows as atoms lie, in tight clusters, seen from 100 anchors."""
    from growth import environments

    x, y = (
        np.asarray(projection.relative(rows, rows[:100]))
        for rows in (environments(20_000, 128, model=i)[0] for i in (0, 1))
    )

    return ready(jax.jit(metrics.mutual_knn), x, y), {
        "faiss-cpu flat": lambda: [faiss_neighbours(x), faiss_neighbours(y)]
    }


def permutations() -> tuple[Way, dict[str, Way]]:
    """The peer is one evaluation: its time over ours is how much of an evaluation 1,000 permutations cost."""
    (x, y), (_, element) = pair(20_000, 100), cloud(20_000, 100)

    @jax.jit
    def null(x: jax.Array, y: jax.Array, groups: jax.Array) -> jax.Array:
        from platonic_jax import numerics

        lists = [numerics.neighbours(rows, num_neighbours=10)[0] for rows in (x, y)]
        statistic = lambda order: jnp.mean(
            metrics.neighbour_overlap(lists[0], metrics.permuted_neighbours(lists[1], order))
        )
        return statistics.null_distribution(
            statistic, n=x.shape[0], groups=groups, num_permutations=1000, key=jax.random.key(0)
        )

    return ready(null, x, y, element), {"one evaluation": ready(jax.jit(metrics.mutual_knn), x, y)}


def lfre() -> tuple[Way, dict[str, Way]]:
    from sklearn.linear_model import Ridge
    from skmatter.metrics import local_reconstruction_error
    from skmatter.preprocessing import StandardFlexibleScaler

    x, y = pair(2_000, 64)
    train, test = np.arange(0, 2000, 2), np.arange(1, 2000, 2)
    mask = np.zeros(2000, bool)
    mask[train] = True

    def theirs(**estimator: object) -> float:
        return local_reconstruction_error(
            x, y, n_local_points=20, train_idx=train, test_idx=test, scaler=StandardFlexibleScaler(), **estimator
        )

    ours = jax.jit(lambda x, y, train: metrics.lfre(x, y, train=train))
    plain = Ridge(alpha=1e-3, fit_intercept=False)
    return ready(ours, x, y, mask), {
        "scikit-matter as it comes": theirs,
        "scikit-matter with a plain ridge": lambda: theirs(estimator=plain),
    }


def sinkhorn() -> tuple[Way, dict[str, Way]]:
    import ot

    x, y = pair(4_000, 100)
    x, y = x / np.linalg.norm(x, axis=1, keepdims=True), y / np.linalg.norm(y, axis=1, keepdims=True)
    epsilon = 0.05

    def theirs() -> float:
        weights = np.full(len(x), 1 / len(x))
        blur = epsilon * ot.dist(x, y).mean()
        cost = [
            ot.bregman.sinkhorn_log(weights, weights, ot.dist(a, b), blur, stopThr=3e-4, numItermax=10_000)
            for a, b in ((x, y), (x, x), (y, y))
        ]
        value = [
            float((plan * ot.dist(a, b)).sum()) for plan, (a, b) in zip(cost, ((x, y), (x, x), (y, y)), strict=True)
        ]
        return value[0] - (value[1] + value[2]) / 2

    ours = jax.jit(lambda x, y: metrics.sinkhorn_divergence(x, y, epsilon=epsilon, threshold=3e-4))
    return ready(ours, x, y), {"POT": theirs}


def direct() -> tuple[Way, dict[str, Way]]:
    from sklearn.cluster import KMeans

    x, _ = cloud(282_847, 128)
    return lambda: anchors.direct(x, 100), {"scikit-learn KMeans, one start": lambda: KMeans(100, n_init=1).fit(x)}


def nuclear_norms() -> tuple[Way, dict[str, Way]]:
    many = np.random.default_rng(0).normal(size=(28, 100, 100)).astype(np.float32)
    decomposed = jax.jit(lambda many: jnp.sum(jnp.linalg.svd(many, compute_uv=False), axis=1))
    peers = {"singular values in JAX": ready(decomposed, many), "numpy": lambda: np.linalg.svd(many, compute_uv=False)}
    return ready(jax.jit(numerics.nuclear_norm), many), peers


def training() -> tuple[Way, dict[str, Way]]:
    """The peer is the loss and its gradient alone, ten times on one batch that lies ready."""
    from platonic_jax.learn._data import draw
    from platonic_jax.learn._fit import _steps

    clouds = [cloud(60_000, 100, seed=seed)[0] for seed in range(5)]
    data = learn.Data(clouds, np.arange(60_000) // 10)
    space = learn.SharedSpace(
        [rows[:400] for rows in clouds],
        anchors=learn.SoftAnchors(400, 100, key=jax.random.key(0)),
        metrics=[learn.Metric(rows, rank=64) for rows in clouds],
    )
    objective, optimiser, key = learn.objectives.agreement(), optax.adam(3e-3), jax.random.key(1)
    drawn = partial(draw, key=key, num_rows=4096, temperatures=(1.0, 0.05), mesh=None)
    steps = partial(_steps, objective=objective, optimiser=optimiser, num_steps=100, draw=drawn)
    state = optimiser.init(learn.parameters(space))
    batch = data.batch(0, key=key, num_rows=4096)
    definition, learned, fixed = nnx.split(space, nnx.Param, ...)
    of_learned = lambda learned: learn.loss(nnx.merge(definition, learned, fixed), objective, batch)
    gradient = ready(jax.jit(jax.value_and_grad(of_learned)), learned)
    placed, run = data.place(None), jax.jit(steps)
    ours = lambda: jax.block_until_ready(run(space, state, placed, np.int32(0), np.int32(10)))
    return ours, {"loss and gradient": lambda: [gradient() for _ in range(10)]}


WORKS = {
    "relative projection, 282,847 x 256 to 100": relative,
    "Procrustes, 282,847 x 100": procrustes,
    "mutual neighbours, k = 10, 20,000 x 100": mutual_knn,
    "mutual neighbours, k = 10, 20,000 atoms in environments, 100 anchors": mutual_knn_of_environments,
    "1,000 permutations of mutual neighbours, 20,000 atoms": permutations,
    "LFRE, 2,000 rows of 64": lfre,
    "Sinkhorn divergence, 4,000 x 4,000 x 100": sinkhorn,
    "DIRECT, 282,847 x 128 to 100": direct,
    "nuclear norms of 28 matrices of 100 x 100": nuclear_norms,
    "ten training steps, 4,096 atoms x 5 models x 100 anchors": training,
}


def timed(way: Way) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def main(work: str, *options: str) -> None:
    ours, peers = WORKS[work]()
    if "--peak" in options:
        ours()
        print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))  # noqa: T201
        return
    ways = {"ours": ours, **peers}
    first = {name: timed(way) for name, way in ways.items()}  # Compiled, and the pages of the data touched.
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            if first[name] < SLOW:
                seconds[name].append(timed(way))
    print(json.dumps({name: min(times or [first[name]]) for name, times in seconds.items()}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
