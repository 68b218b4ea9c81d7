"""Helpers shared by the families written in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from platonic_adapters.errors import UserError
from platonic_adapters.families._common import file_checkpoint, random_checkpoint
from platonic_adapters.processes import num_cores

# Atoms a batch: more does not pay on a CPU (the caches), while a GPU wants many.
BATCH_ATOMS = {"cpu": 64, "cuda": 4096}


def set_up(device: str, threads: int | None) -> tuple[dict[str, Any], str, int]:
    """Choose the device, fix threads and precision.

    Returns:
        `Adapter.hardware`, the device (`cpu` or `cuda`) and `Adapter.batch_atoms`.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"`--device {device}` needs a GPU that this build of torch ({torch.__version__}) can use; choose"
            " `--device cpu`."
        )
    threads = threads or num_cores()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    kind = "cuda" if device.startswith("cuda") else "cpu"
    name = torch.cuda.get_device_name(device) if kind == "cuda" else kind
    hardware = {"device": name, "dtype": "float32", "precision": "highest (no TF32)", "threads": threads}
    return hardware, kind, BATCH_ATOMS[kind]


def to_numpy(x: Any) -> np.ndarray:
    """Copy a tensor to an array."""
    return x.detach().cpu().numpy().copy()


def symmetric(voigt: Any) -> np.ndarray:
    """Return the symmetric matrices (b, 3, 3) float32 of components (b, 6) in the order xx, yy, zz, xy, yz, zx."""
    xx, yy, zz, xy, yz, zx = to_numpy(voigt.float()).T
    return np.stack([xx, xy, zx, xy, yy, yz, zx, yz, zz], axis=1).reshape(-1, 3, 3)


def dense(linear: Any, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (inputs, outputs) and the bias (outputs,) of a linear map, by its values."""
    device = next(linear.parameters()).device
    with torch.no_grad():
        bias = linear(torch.zeros(1, inputs, device=device))
        weights = linear(torch.eye(inputs, device=device)) - bias
    return to_numpy(weights), to_numpy(bias[0])


def read_arrays_of_numpy() -> None:
    """Let torch's safe unpickler read arrays of numpy, by both names of the module that makes them."""
    torch.serialization.add_safe_globals(
        [
            np.ndarray,
            np.dtype,
            *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")),
            *(
                (value.__reduce__()[0], f"numpy.{core}.multiarray.{name}")
                for core in ("core", "_core")
                for name, value in (("_reconstruct", np.zeros(1)), ("scalar", np.float64(1)))
            ),
        ]
    )


def redraw(model: Any, build: Callable[[], Any], seed: int) -> None:
    """Give a SevenNet, or its like, the weights of a newly built one; neighbour counts, shift and scale are data."""
    with seeded(seed):
        drawn = dict(build().named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rsplit(".", 1)[-1] not in ("denominator", "shift", "scale"):
                parameter.copy_(drawn[name])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` inside, and leave the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def leading_scalars(irreps: Any, layer: str) -> int:
    """Return the number of scalar (l = 0) channels of a layer of SevenNet or its like, which are its first."""
    scalars = irreps.count("0e")
    if (irreps[0].ir.l, irreps[0].mul) != (0, scalars):
        raise RuntimeError(f"the scalars of {layer} are not its first channels ({irreps})")
    return scalars


def checkpoint(path: str | Path, model: Any, seed: int | None, files: Sequence[str] = ()) -> dict[str, str]:
    """`{"name", "sha256"}`: of the file, or folder of `files`; of the weights themselves where they are re-drawn."""
    path = Path(path)
    if seed is None:
        return file_checkpoint(path, files)
    state = sorted(model.state_dict().items())
    return random_checkpoint(path.name, seed, (name.encode() + to_numpy(value).tobytes() for name, value in state))
