"""Gradient descent on batches of structures, evaluated on held-out ones."""

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from platonic_jax._checks import check_count, check_key, check_positive
from platonic_jax._typing import Flag, Scalar, TypedKey
from platonic_jax.learn._data import Batch, Data, Placed, draw
from platonic_jax.learn._modules import SharedSpace
from platonic_jax.learn.objectives import Objective

_TOGETHER = 10  # Steps between reports to the host, at most.
_HELD_OUT = 2**31 - 1  # Number of the batch of held-out data: none of training is numbered so.


class Fit(NamedTuple):
    """Result of training.

    Attributes:
        space: The space in its best state: of the smallest held-out loss, or the last where nothing is held out.
        losses: (steps,) the loss of each batch, before its step.
        held_out: (checks, 2) step and held-out loss.
        best_step: Steps after which the best state was reached.
        stopped: Why training ended: `"done"`, `"no better"`, or, if a loss or its gradient was not finite, a sentence
            that names the step.
    """

    space: SharedSpace
    losses: np.ndarray
    held_out: np.ndarray
    best_step: int
    stopped: str


class Step(NamedTuple):
    """Result of one step of gradient descent.

    Attributes:
        space: The space after the step.
        state: State of the optimiser.
        loss: Loss of the batch before the step.
        finite: Whether the loss and all parameters are finite.
    """

    space: SharedSpace
    state: Any
    loss: Scalar
    finite: Flag


def loss(space: SharedSpace, objective: Objective, batch: Batch) -> Scalar:
    """Compute the loss of a space on one batch.

    Args:
        space: Metrics, anchors and weights.
        objective: From `learn.objectives`, or a function of (space, rows, batch).
        batch: Atoms of every model, from `Data.batch`.
    """
    return objective(space, space(batch.clouds, temperature=batch.temperature), batch)


def parameters(space: SharedSpace) -> Any:
    """Return the learnable parameters of a space as a pytree, for the `init` of an optimiser."""
    return nnx.state(space, nnx.Param)


def step(
    space: SharedSpace, state: Any, batch: Batch, *, objective: Objective, optimiser: optax.GradientTransformation
) -> Step:
    """Take one step of gradient descent.

    It is pure, and compiles with `jax.jit` as part of any training loop, `objective` and `optimiser` being closed over.

    Args:
        space: Where to start; it is not changed.
        state: State of the optimiser, at first `optimiser.init(learn.parameters(space))`.
        batch: Atoms of every model, from `Data.batch`.
        objective: From `learn.objectives`, or a function of (space, rows, batch).
        optimiser: From optax.

    Example:
        >>> import numpy as np
        >>> from functools import partial
        >>> from platonic_jax import learn
        >>> x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
        >>> data = learn.Data([x, x[:, ::-1]], np.repeat(np.arange(20), 2))
        >>> space = learn.SharedSpace([x[:5], x[:5, ::-1]], metrics=[learn.Metric(x), learn.Metric(x[:, ::-1])])
        >>> optimiser, objective = optax.adam(1e-2), learn.objectives.agreement()
        >>> take = jax.jit(partial(learn.step, objective=objective, optimiser=optimiser))
        >>> state = optimiser.init(learn.parameters(space))
        >>> for i in range(3):
        ...     space, state, value, finite = take(space, state, data.batch(i, key=jax.random.key(0), num_rows=20))
        >>> bool(finite)
        True
    """
    definition, learned, fixed = nnx.split(space, nnx.Param, ...)
    value, slope = jax.value_and_grad(lambda learned: loss(nnx.merge(definition, learned, fixed), objective, batch))(
        learned
    )
    with jax.numpy_dtype_promotion("standard"):  # Schedules of optimisers divide integers.
        change, state = optimiser.update(slope, state, learned)
    learned = optax.apply_updates(learned, change)
    finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in [value, *jax.tree.leaves(learned)]])
    return Step(nnx.merge(definition, learned, fixed), state, value, jnp.all(finite))


def fit(
    space: SharedSpace,
    objective: Objective,
    data: Data,
    *,
    key: TypedKey,
    validation: Data | None = None,
    num_steps: int = 500,
    num_rows: int = 1024,
    optimiser: optax.GradientTransformation | None = None,
    learning_rate: float = 3e-3,
    temperatures: tuple[float, float] = (1.0, 0.05),
    check_every: int = 50,
    patience: int | None = None,
    checkpoints: str | Path | None = None,
    mesh: Mesh | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Fit:
    """Minimise an objective over the learnable parameters of a space.

    Batch i depends on `fold_in(key, i)` alone, and nothing else is random: the same key gives the same result, also
    where a run was killed and went on from its checkpoint.

    Args:
        space: Where to start; it is not changed.
        objective: From `learn.objectives`, or a function of (space, rows, batch).
        data: What to learn from; of the models of `space`, in its order.
        key: Typed key.
        validation: Held-out data, best of other chemical systems (`Data.split`).
        num_steps: Batches to learn from.
        num_rows: Atoms in a batch.
        optimiser: From optax; Adam with a cosine schedule when absent.
        learning_rate: Of that Adam, at first.
        temperatures: Of `SoftAnchors`, at the beginning and at the end; geometric in between.
        check_every: Steps between held-out losses, and between checkpoints.
        patience: Checks without a better held-out loss before training stops; it never does when absent.
        checkpoints: A folder where the state is kept; a run with the same arguments goes on from there. Objective and
            optimiser cannot be compared with those of the run before.
        mesh: Devices that share the rows of a batch, from `numerics.row_mesh`; they have to divide `num_rows`.
        progress: Called after every ten steps, and where there is a check, with steps done, of how many, and the loss.

    Returns:
        The space in its best state, and how it came there.

    Raises:
        ValueError: If the data do not fit the space, `checkpoints` is of a run with other arguments, or the first loss
            or its gradient is not finite.
    """
    check_key(key)
    for name, count in (("num_steps", num_steps), ("num_rows", num_rows), ("check_every", check_every)):
        check_count(name, count)
    if patience is not None:
        check_count("patience", patience)
    for temperature in temperatures:
        check_positive("temperatures", temperature)
    widths = [rows.shape[1] for rows in space.candidates]
    for name, part in (("data", data), ("validation", validation)):
        if part is not None and (got := [cloud.shape[1] for cloud in part.clouds]) != widths:
            raise ValueError(f"`{name}` must be of the models of `space`, of {widths} columns, got {got} columns.")
    if optimiser is None:
        optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
    everywhere = partial(jax.device_put, device=None if mesh is None else NamedSharding(mesh, PartitionSpec()))
    space = everywhere(space)
    settings_of_batch = {"temperatures": temperatures, "mesh": mesh}
    take_steps = jax.jit(
        partial(
            _steps,
            objective=objective,
            optimiser=optimiser,
            num_steps=num_steps,
            draw=partial(draw, key=key, num_rows=data.rows_in_batch(num_rows, mesh), **settings_of_batch),
        )
    )
    held_out_loss = jax.jit(partial(loss, objective=objective))
    now = _State(space, everywhere(optimiser.init(parameters(space))), space, [], [], 0)
    settings = {}
    if checkpoints is not None:
        settings = {
            "key": [str(jax.random.key_impl(key)), np.asarray(jax.random.key_data(key)).tolist()],
            "space": [space.similarity, _digest(jax.tree.leaves(space))],
            "data": _digest(_arrays(data)),
            "validation": validation and _digest(_arrays(validation)),
            "optimiser": [list(np.shape(leaf)) for leaf in jax.tree.leaves(now.optimiser)],
            "num_steps": num_steps,
            "num_rows": num_rows,
            "learning_rate": learning_rate,
            "temperatures": list(temperatures),
            "check_every": check_every,
        }
        now = _restored(now, Path(checkpoints), settings, everywhere)

    stopped = "done"
    placed = data.place(mesh)
    while (done := len(now.losses)) < num_steps:
        if patience is not None and sum(step > now.best_step for step, _ in now.held_out) >= patience:
            stopped = "no better"
            break
        stop = min(done + _TOGETHER, done - done % check_every + check_every, num_steps)
        taken = take_steps(now.space, now.optimiser, placed, np.int32(done), np.int32(stop))
        losses = np.asarray(taken.losses)[: int(taken.done)].astype(float).tolist()
        now = now._replace(space=taken.space, optimiser=taken.state, losses=now.losses + losses)
        if not taken.finite:
            what = "gradient" if np.isfinite(taken.losses[len(losses)]) else "loss"
            if not now.losses:
                raise ValueError(f"`objective` must have a finite {what} on the first batch: look at rows and targets.")
            stopped = f"the {what} of step {len(now.losses) + 1} was not finite: the space is the best before it"
            if validation is None:
                now = now._replace(best=now.space, best_step=len(now.losses))
            break
        if stop % check_every == 0 or stop == num_steps:
            # At the temperatures of the end, so that the losses of all steps can be compared.
            held_out = None
            if validation is not None:
                batch = validation.batch(_HELD_OUT, key=key, num_rows=num_rows, progress=1.0, **settings_of_batch)
                held_out = held_out_loss(now.space, batch=batch)
            now = _checked(now, held_out)
            if checkpoints is not None:
                _save(now, Path(checkpoints), settings)
        if progress is not None:
            progress(stop, num_steps, now.losses[-1])
    return Fit(now.best, np.array(now.losses), np.array(now.held_out).reshape(-1, 2), now.best_step, stopped)


class _Steps(NamedTuple):
    space: SharedSpace
    state: Any
    losses: Array  # Of each step, that which was not finite included.
    done: Array  # Steps whose loss and gradient were.
    finite: Flag


def _steps(
    space: SharedSpace,
    state: Any,
    data: Placed,
    start: Array,
    stop: Array,
    *,
    objective: Objective,
    optimiser: optax.GradientTransformation,
    num_steps: int,
    draw: Callable[..., Batch],
) -> _Steps:
    """Steps from `start` to `stop`, in one program; up to the first whose loss or gradient is not finite."""

    def take(now: _Steps) -> _Steps:
        number = start + now.done
        batch = draw(data, number, progress=number.astype(jnp.float32) / num_steps)
        taken = step(now.space, now.state, batch, objective=objective, optimiser=optimiser)
        space, state = jax.tree.map(lambda new, old: jnp.where(taken.finite, new, old), taken[:2], now[:2])
        losses = now.losses.at[now.done].set(taken.loss.astype(now.losses.dtype))
        return _Steps(space, state, losses, now.done + taken.finite.astype(jnp.int32), taken.finite)

    losses = jnp.zeros(_TOGETHER)
    begin = _Steps(space, state, losses, jnp.int32(0), jnp.bool(True))
    return jax.lax.while_loop(lambda now: now.finite & (start + now.done < stop), take, begin)


class _State(NamedTuple):
    space: SharedSpace
    optimiser: Any
    best: SharedSpace
    losses: list[float]
    held_out: list[tuple[int, float]]
    best_step: int


def _checked(now: _State, held_out: Scalar | None) -> _State:
    """Add the held-out loss, and the state if it is the best so far."""
    steps = len(now.losses)
    if held_out is None:
        return now._replace(best=now.space, best_step=steps)
    loss = float(held_out)
    better = np.isfinite(loss) and all(not earlier <= loss for _, earlier in now.held_out)
    now = now._replace(held_out=[*now.held_out, (steps, loss)])
    return now._replace(best=now.space, best_step=steps) if better else now


def _arrays(data: Data) -> list[np.ndarray]:
    return [*data.clouds, data.structure_index, *(data.targets[name] for name in sorted(data.targets))]


def _digest(arrays: Iterable[Any]) -> str:
    sha = hashlib.sha256()
    for array in map(np.asarray, arrays):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def _save(now: _State, folder: Path, settings: dict[str, Any]) -> None:
    """Written as a whole before it returns, or not at all; the two latest are kept."""
    from orbax import checkpoint

    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((now.space, now.optimiser, now.best))]
    record = {"losses": now.losses, "held_out": now.held_out, "best_step": now.best_step, "settings": settings}
    options = checkpoint.CheckpointManagerOptions(max_to_keep=2)
    with checkpoint.CheckpointManager(folder.absolute(), options=options) as manager:
        items = {"arrays": checkpoint.args.StandardSave(arrays), "record": checkpoint.args.JsonSave(record)}
        manager.save(len(now.losses), args=checkpoint.args.Composite(**items))


def _restored(start: _State, folder: Path, settings: dict[str, Any], place: Callable[[Any], Any]) -> _State:
    """The latest state that was kept, or `start` where there is none."""
    from orbax import checkpoint

    leaves, form = jax.tree.flatten((start.space, start.optimiser, start.best))
    with checkpoint.CheckpointManager(folder.absolute()) as manager:
        if (latest := manager.latest_step()) is None:
            return start
        read = partial(manager.restore, latest)
        record = read(args=checkpoint.args.Composite(record=checkpoint.args.JsonRestore()))["record"]
        if other := [name for name, value in settings.items() if value != record["settings"].get(name)]:
            raise ValueError(
                f"`checkpoints` must be of a run with the same arguments, got one with other {', '.join(other)}: "
                "give another folder."
            )
        like = checkpoint.args.StandardRestore([np.asarray(leaf) for leaf in leaves])
        arrays = read(args=checkpoint.args.Composite(arrays=like))["arrays"]
    space, optimiser, best = place(jax.tree.unflatten(form, arrays))
    held_out = [(step, loss) for step, loss in record["held_out"]]
    return _State(space, optimiser, best, record["losses"], held_out, record["best_step"])
