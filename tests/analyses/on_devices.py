"""Run by `test_devices.py`, alone or as one of several processes: measures on many devices; prints them as JSON."""

import json
import logging.handlers
import sys

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils

from platonic_jax import learn, metrics, numerics, projection, testing


def main(process: int, processes: int, address: str) -> None:
    if processes > 1:
        jax.distributed.initialize(address, processes, process)
    cloud = testing.make_cloud(jax.random.key(0), n=120, p=12)
    x = np.asarray(cloud.x)
    y = np.asarray(testing.noisy(cloud.x, noise=0.3, key=jax.random.key(1)))
    mesh = numerics.row_mesh()
    one = lambda a: jax.device_put(a, jax.local_devices()[0])
    plain = [np.asarray(a) for a in values(one(x), one(y), one(x[::12]), mesh=None)]
    divided = values(*(numerics.shard_rows(a, mesh) for a in (x, y)), x[::12], mesh=mesh)
    divided = [np.asarray(multihost_utils.process_allgather(a, tiled=True)) for a in divided]
    ties = {"num_neighbours": 5, "exclude": np.arange(117) // 4, "key": jax.random.key(2)}
    uneven, _ = numerics.neighbours(x[:-3], mesh=mesh, **ties)
    uneven = np.asarray(multihost_utils.process_allgather(uneven, tiled=True))
    alone, _ = numerics.neighbours(one(x[:-3]), **ties)
    apart = [float(np.abs(a - b).max()) for a, b in zip(plain, divided, strict=True)]
    found = {"devices": mesh.size, "apart": apart, "uneven": bool((uneven == np.asarray(alone)).all())}
    try:
        numerics.shard_rows(x[:-3], mesh)
    except ValueError as error:
        found["refused"] = str(error)
    if processes == 1:
        found["learned_apart"], found["learned"], found["compiled"] = learned_apart(x, y, mesh)
    print(json.dumps(found | {"size": [float(np.abs(a).max()) for a in plain]}))  # noqa: T201


@jax.jit
def products(x, y, anchors):
    return metrics.procrustes(x, y), metrics.cka(x, y), projection.relative(x, anchors)


def values(x, y, anchors, *, mesh):
    index, distance = numerics.neighbours(x, num_neighbours=5, mesh=mesh)
    return *products(x, y, anchors), index, distance


def learned_apart(x, y, mesh):
    """Largest difference between what two steps learn on many devices and on one, what they change, compilations."""
    space = learn.SharedSpace(
        [x, y],
        anchors=learn.SoftAnchors(len(x), 6, key=jax.random.key(0)),
        metrics=[learn.Metric(x), learn.Metric(y)],
        weights=learn.AnchorWeights(6),
    )
    messages = logging.handlers.BufferingHandler(capacity=10**6)
    logging.getLogger("jax").addHandler(messages)
    # Not Adam, which divides slopes by their size: of those near zero it keeps the rounding.
    settings = {"key": jax.random.key(1), "num_steps": 3, "num_rows": 64, "optimiser": optax.sgd(0.1)}
    data = learn.Data([x, y], np.arange(len(x)) // 5)
    run = lambda mesh: learn.fit(space, learn.objectives.agreement(), data, mesh=mesh, **settings).space
    alone = run(None)
    with jax.log_compiles():
        together = run(mesh)
    compiled = sum("Compiling jit(_steps)" in record.getMessage() for record in messages.buffer)
    apart = lambda a, b: max(
        float(np.abs(np.asarray(p) - np.asarray(q)).max())
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
    return apart(alone, together), apart(alone, space), compiled


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
