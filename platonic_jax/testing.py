"""Synthetic embeddings of known geometry, named tolerances, and the contract of every measure.

For the tests of this package, and for anyone who adds a measure or wants clouds whose answer is known.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from platonic_jax import metrics
from platonic_jax._checks import check_choice, check_key
from platonic_jax._typing import Scalar, TypedKey
from platonic_jax.metrics import TRANSFORMATIONS
from platonic_jax.numerics import matmul

__all__ = [
    "Cloud",
    "Tolerance",
    "check_cloud_measure",
    "check_measure",
    "independent",
    "make_cloud",
    "noisy",
    "random_rotation",
    "tolerance",
    "transformed",
]


def __dir__() -> list[str]:
    return __all__


class Tolerance(NamedTuple):
    """Difference below which two numbers count as equal, relative to the larger of them and 1.

    Attributes:
        rounding: Where the difference is the order of sums and products.
        iterative: Where an iteration was stopped at its threshold.
    """

    rounding: float
    iterative: float


def tolerance(dtype: Any) -> Tolerance:
    """The tolerances of a float dtype."""
    rounding = 200 * float(jnp.finfo(dtype).eps)
    return Tolerance(rounding=rounding, iterative=max(rounding, 1e-4))


class Cloud(NamedTuple):
    """Rows that lie as atoms do: in clusters, one an element, a few rows a structure.

    Attributes:
        x: (n, p) rows.
        species: (n,) element of each row, as an atomic number.
        structure_index: (n,) structure of each row, not decreasing.
    """

    x: Float[Array, "n p"]
    species: Int[Array, " n"]
    structure_index: Int[Array, " n"]


def make_cloud(
    key: TypedKey,
    *,
    n: int = 60,
    p: int = 6,
    num_elements: int = 4,
    atoms_per_structure: int = 5,
    spread: float = 0.3,
    dtype: Any = jnp.float32,
) -> Cloud:
    """Rows clustered by element, with variances that fall along the axes, so that no direction is like another.

    Args:
        key: Typed key.
        n: Number of rows.
        p: Number of columns.
        num_elements: Number of clusters; their centres are normal with the variances of the axes.
        atoms_per_structure: Number of consecutive rows that make a structure; the last may have fewer.
        spread: Standard deviation of the rows of a cluster, relative to that of the centres.
        dtype: Dtype of the rows.

    Returns:
        The rows, their elements and their structures.
    """
    check_key(key)
    for_centres, for_species, for_rows = jax.random.split(key, 3)
    axes = jnp.linspace(1.5, 0.5, p, dtype=dtype)[None, :]
    centres = jax.random.normal(for_centres, (num_elements, p), dtype)
    species = jax.random.randint(for_species, (n,), 0, num_elements)
    x = axes * (centres[species] + spread * jax.random.normal(for_rows, (n, p), dtype))
    return Cloud(x, species + 1, jnp.arange(n) // atoms_per_structure)


def random_rotation(key: TypedKey, p: int, *, dtype: Any = jnp.float32) -> Float[Array, "{p} {p}"]:
    """An orthogonal p × p matrix, uniform over all of them, reflections included."""
    check_key(key)
    q, r = jnp.linalg.qr(jax.random.normal(key, (p, p), dtype))
    return q * jnp.sign(jnp.diagonal(r))[None, :]


def noisy(x: Float[Array, "n p"], *, noise: float, key: TypedKey) -> Float[Array, "n p"]:
    """The rows, with normal noise of standard deviation `noise` in every column."""
    check_key(key)
    return x + noise * jax.random.normal(key, x.shape, x.dtype)


def independent(x: Float[Array, "n p"], *, key: TypedKey) -> Float[Array, "n p"]:
    """A normal cloud of the same shape, column means and column variances, independent of the rows."""
    check_key(key)
    mean, deviation = jnp.mean(x, axis=0, keepdims=True), jnp.std(x, axis=0, keepdims=True)
    return mean + deviation * jax.random.normal(key, x.shape, x.dtype)


def _translated(x: Array, key: Array) -> Array:
    return x + 3 * jax.random.normal(key, (1, x.shape[1]), x.dtype)


def _rotated(x: Array, key: Array) -> Array:
    return matmul(x, random_rotation(key, x.shape[1], dtype=x.dtype))


def _row_scaled(x: Array, key: Array) -> Array:
    return x * jax.random.uniform(key, (x.shape[0], 1), x.dtype, 0.2, 5.0)


def _sheared(x: Array, key: Array) -> Array:
    stretch = jnp.geomspace(0.1, 10.0, x.shape[1], dtype=x.dtype)
    return _rotated(_rotated(x, key) * stretch[None, :], jax.random.fold_in(key, 1))


def _shuffled(x: Array, key: Array) -> Array:
    return x[jax.random.permutation(key, x.shape[0])]


_OF_ONE: dict[str, Callable[[Array, Array], Array]] = {
    "translation": _translated,
    "rotation": _rotated,
    "scale": lambda x, key: 2.5 * x,
    "row_scale": _row_scaled,
    "linear": _sheared,
    "padding": lambda x, key: jnp.pad(x, ((0, 0), (0, 2))),
    "shuffling": _shuffled,
}


def transformed(
    name: str, x: Float[Array, "n p"], y: Float[Array, "n q"], *, key: TypedKey
) -> tuple[Float[Array, "n _"], Float[Array, "n _"]]:
    """Both clouds after one of `metrics.TRANSFORMATIONS`, drawn at random: of `x`, or of both if it is `common_…`."""
    check_choice("name", name, TRANSFORMATIONS)
    check_key(key)
    of_one = _OF_ONE[name.removeprefix("common_")]
    return of_one(x, key), of_one(y, key) if name.startswith("common_") else y


class _Forms(NamedTuple):
    """A measure as it is, under jit, and under vmap."""

    plain: Callable[..., Scalar]
    compiled: Callable[..., Scalar]
    batched: Callable[..., Array]


@cache
def _forms(name: str, settings: tuple[tuple[str, Any], ...]) -> _Forms:
    """Kept, so that one compilation serves all seeds."""
    measure = partial(getattr(metrics, name), **dict(settings))
    return _Forms(measure, jax.jit(measure), jax.jit(jax.vmap(measure)))


def _same(a: Scalar, b: float | Scalar, *, allowed: float) -> bool:
    return bool(abs(float(a) - float(b)) <= allowed * max(1.0, abs(float(b))))


def check_measure(name: str, *, dtype: Any = jnp.float32, seed: int = 0, **settings: Any) -> None:
    """Hold a measure of two clouds to its entry in `metrics.PROPERTIES`, both ways.

    On a cloud and a noisy copy of it: a cloud and itself give the best value; the order of the clouds matters or not;
    the value lies in the range, and gets worse with noise; a transformation leaves the value as it is if it is
    declared, and changes it if it is not; dtype and shape are right; compiled and batched calls give what the plain
    call gives. Where the order of the clouds matters, a transformation is tried on either of them, and one that is not
    declared has to change the value for one of them at least.

    Args:
        name: Name of the measure.
        dtype: Dtype of the clouds.
        seed: Seed of the clouds and of the transformations.
        **settings: Keyword arguments for the measure, such as `metric="l2"`.

    Raises:
        AssertionError: Naming the first property that fails.
    """
    declared = metrics.properties(name, **settings)
    measure, compiled, batched = _forms(name, tuple(settings.items()))
    for_cloud, for_noise, for_maps = jax.random.split(jax.random.key(seed), 3)
    x = make_cloud(for_cloud, dtype=dtype).x
    y, worse = noisy(x, noise=0.3, key=for_noise), noisy(x, noise=3.0, key=for_noise)
    value = measure(x, y)
    allowed = tolerance(dtype).iterative if declared.iterative else tolerance(dtype).rounding
    same = partial(_same, allowed=allowed)

    def must(holds: bool, what: str) -> None:  # noqa: FBT001
        assert holds, f"`{name}` {what} (settings: {settings or 'default'}, value: {float(value):.6g})"

    low, high = declared.range
    best = high if declared.larger_is_more_similar else low
    sign = 1 if declared.larger_is_more_similar else -1
    must(value.shape == () and value.dtype == x.dtype, "must return a scalar in the dtype of its input")
    of_itself = compiled(x, x)
    if declared.reaches_best:
        must(same(of_itself, best), "of a cloud and itself must be the best value of its range")
    for other in (x, y, worse):
        must(low - allowed <= float(compiled(x, other)) <= high + allowed, "must lie in its range")
    must(sign * float(value) < sign * float(of_itself), "must be better for a cloud and itself")
    must(sign * float(compiled(x, worse)) < sign * float(value), "must get worse with noise")
    must(same(compiled(y, x), value) == declared.symmetric, "must be symmetric if, and only if, it is declared to be")
    must(same(compiled(x, y), value), "must not change when compiled")
    both = batched(jnp.stack([x, y]), jnp.stack([y, worse]))
    must(same(both[0], value) and same(both[1], compiled(y, worse)), "must not change under vmap")

    for transformation in TRANSFORMATIONS:
        if transformation == "padding" and declared.same_space:
            continue
        after = [float(compiled(*transformed(transformation, x, y, key=for_maps)))]
        if not declared.symmetric:
            after.append(float(compiled(*reversed(transformed(transformation, y, x, key=for_maps)))))
        if transformation in declared.invariances:
            holds = all(same(value, a) for a in after)
            must(holds, f"is declared invariant to {transformation}, which changes it to {after}")
        else:
            changed = any(not _same(value, a, allowed=10 * allowed) for a in after)
            must(changed, f"is not declared invariant to {transformation}, which leaves it at {after}")


def check_cloud_measure(name: str, *, dtype: Any = jnp.float32, seed: int = 0, **settings: Any) -> None:
    """Hold a measure of one cloud to its entry in `metrics.CLOUD_PROPERTIES`, both ways.

    On a cloud of which some rows coincide: the value lies in the range; a transformation leaves it as it is if it is
    declared, and changes it if it is not; dtype and shape are right; compiled and batched calls give what the plain
    call gives.

    Args:
        name: Name of the measure.
        dtype: Dtype of the cloud.
        seed: Seed of the cloud and of the transformations.
        **settings: Keyword arguments for the measure, such as `method="mle"`.

    Raises:
        AssertionError: Naming the first property that fails.
    """
    declared = metrics.CLOUD_PROPERTIES[name]
    measure, compiled, batched = _forms(name, tuple(settings.items()))
    for_cloud, for_maps = jax.random.split(jax.random.key(seed))
    x = make_cloud(for_cloud, dtype=dtype).x
    x = x.at[:10].set(x[10:20])
    value = measure(x)
    allowed = tolerance(dtype).rounding
    same = partial(_same, allowed=allowed)

    def must(holds: bool, what: str) -> None:  # noqa: FBT001
        assert holds, f"`{name}` {what} (settings: {settings or 'default'}, value: {float(value):.6g})"

    low, high = declared.range
    must(value.shape == () and value.dtype == x.dtype, "must return a scalar in the dtype of its input")
    must(low <= float(value) <= high, "must lie in its range")
    must(same(compiled(x), value), "must not change when compiled")
    must(same(batched(jnp.stack([x, 2 * x**2]))[0], value), "must not change under vmap")
    for transformation, of_one in _OF_ONE.items():
        after = compiled(of_one(x, for_maps))
        if transformation in declared.invariances:
            must(same(value, after), f"is declared invariant to {transformation}, which changes it to {after}")
        else:
            changed = not _same(value, after, allowed=10 * allowed)
            must(changed, f"is not declared invariant to {transformation}, which leaves it at {after}")
