"""Run by `test_devices.py`, alone or as one of several processes: measures on many devices; prints them as JSON."""

import json
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils

from platonic_jax import metrics, numerics, projection, testing


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
    uneven, _ = numerics.neighbours(x[:-3], k=5, mesh=mesh)
    uneven = np.asarray(multihost_utils.process_allgather(uneven, tiled=True))
    alone, _ = numerics.neighbours(one(x[:-3]), k=5)
    apart = [float(np.abs(a - b).max()) for a, b in zip(plain, divided, strict=True)]
    found = {"devices": mesh.size, "apart": apart, "uneven": bool((uneven == np.asarray(alone)).all())}
    try:
        numerics.shard_rows(x[:-3], mesh)
    except ValueError as error:
        found["refused"] = str(error)
    print(json.dumps(found | {"size": [float(np.abs(a).max()) for a in plain]}))  # noqa: T201


@jax.jit
def products(x, y, anchors):
    return metrics.procrustes(x, y), metrics.cka(x, y), projection.relative(x, anchors)


def values(x, y, anchors, *, mesh):
    index, distance = numerics.neighbours(x, k=5, mesh=mesh)
    return *products(x, y, anchors), index, distance


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
