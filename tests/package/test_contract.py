"""Every public array function keeps the contract that `contract.py` states for it, and the guide prints."""

import inspect
import warnings

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract import CONTRACT, EXEMPT, MODULES
from documents import GUIDE

N, ROW = 24, 3
DTYPES = [np.int32, np.int8, np.uint8, np.bool_, jnp.bfloat16, np.float16]
SHAPES = {"x": (4,), "y": (3,), "r": (6,), "v": (), "w": (), "b": ()}
# What moves numbers, and computes nothing.
MOVES = {"reshape", "slice", "squeeze", "transpose", "gather", "dynamic_slice", "broadcast_in_dim", "rev"}
TRACED, ON_HOST = ([name for name, case in CONTRACT.items() if case.traced == traced] for traced in (True, False))


def make(kind, n=N, seed=0):
    """Numbers from 1 to 100, which every dtype holds."""
    rng = np.random.default_rng([ord(kind), seed])
    if kind == "b":
        return np.arange(n) % 3 == 0
    if kind == "g":
        return np.full((4, 4), 3, np.float32) + 20 * np.eye(4, dtype=np.float32)
    shape = (n, *SHAPES[kind]) if kind in SHAPES else {"a": (6, 4), "m": (4, 4)}[kind]
    return np.clip(np.round(50 + 17 * rng.normal(size=shape)), 1, 100).astype(np.float32)


def arrays(case, n=N):
    return [make(kind, n, seed) for seed, kind in enumerate(case.takes)]


def coinciding(array):
    return np.concatenate([array[:5], array[:5], array[10:]]) if len(array) == N else array


def with_nan(array):
    return np.where(np.arange(len(array)).reshape(-1, *[1] * (array.ndim - 1)) == ROW, np.float32(np.nan), array)


def constant(array):
    return np.repeat(array[:1], len(array), axis=0)


def changed(case, change):
    """Arrays of rows of the embedding are changed; of a function without any, the first."""
    given = zip(case.takes, arrays(case), strict=True)
    rows = [kind in "xyrvw" for kind in case.takes]
    rows = rows if any(rows) else [True, *rows[1:]]
    return [change(array) if of_rows else array for of_rows, (_, array) in zip(rows, given, strict=True)]


def floats(result):
    return [leaf for leaf in jax.tree.leaves(result) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def test_every_public_function_has_a_contract():
    public = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in MODULES
        for name in module.__all__
        if callable(getattr(module, name)) and not inspect.isclass(getattr(module, name))
    }
    assert public == CONTRACT.keys() | EXEMPT.keys()


def test_the_guide_prints_the_contract():
    assert contract.table() in (GUIDE / "measures.md").read_text(), "put what `python contract.py` prints there"


@pytest.mark.parametrize("name", TRACED)
def test_it_is_compiled_batched_and_differentiated_whatever_the_rows(name):
    """One compilation of a batch: plain rows, rows that coincide, a row of NaN, and equal rows."""
    case = CONTRACT[name]
    variants = [changed(case, change) for change in (np.copy, coinciding, with_nan, constant)]
    batch = [jnp.stack([jnp.asarray(array) for array in given]) for given in zip(*variants, strict=True)]

    def total(*given):
        result = case.call(*given)
        unlike = [
            jnp.sum(jnp.sin(1 + jnp.arange(leaf.size, dtype=leaf.dtype)) * leaf.ravel()) for leaf in floats(result)
        ]
        return sum(unlike, start=jnp.zeros(())), result

    differentiated = case.gradient == "finite"
    fn = jax.value_and_grad(total, has_aux=True) if differentiated else lambda *given: (total(*given), None)
    (_, result), gradient = jax.jit(jax.vmap(fn))(*batch)
    plain, copies, nan, equal = ([np.asarray(leaf[i]) for leaf in floats(result)] for i in range(4))
    assert all(np.isfinite(leaf).all() for leaf in plain + copies)
    if differentiated:
        assert np.isfinite(gradient[:2]).all()
        assert np.asarray(gradient[0]).any()
    if case.nan in ("all", "row"):
        assert all((np.all if case.nan == "all" else np.any)(np.isnan(leaf)) for leaf in nan)
    if case.constant != "–":
        assert all(np.isnan(leaf).all() if case.constant == "NaN" else not np.isnan(leaf).any() for leaf in equal)


def first_uses(jaxpr, variables):
    """The equations that first compute with some variables, also within functions compiled by themselves."""
    variables = set(variables)
    for equation in jaxpr.eqns:
        if not (used := [v for v in equation.invars if not hasattr(v, "val") and v in variables]):
            continue
        if equation.primitive.name in MOVES:
            variables |= set(equation.outvars)
        elif equation.primitive.name in ("jit", "pjit"):
            inner = equation.params["jaxpr"].jaxpr
            inside = [v for v, given in zip(inner.invars, equation.invars, strict=True) if given in used]
            yield from first_uses(inner, inside)
        else:
            yield equation


@pytest.mark.parametrize("name", TRACED)
def test_every_number_becomes_a_float_before_it_is_computed_with(name):
    case = CONTRACT[name]
    numbers = [kind != "b" for kind in case.takes]
    for dtype in DTYPES:
        given = [a.astype(dtype) if number else a for a, number in zip(arrays(case), numbers, strict=True)]
        traced, shape = jax.make_jaxpr(case.call, return_shape=True)(*given)
        assert all(leaf.dtype == jnp.float32 for leaf in floats(shape)), dtype
        converted = [v for v, number in zip(traced.jaxpr.invars, numbers, strict=True) if number]
        for equation in first_uses(traced.jaxpr, converted):
            assert equation.primitive.name == "convert_element_type", dtype
            assert equation.params["new_dtype"] == jnp.float32, dtype


@pytest.mark.parametrize("name", CONTRACT)
def test_double_precision_of_numpy_gives_no_warning(name):
    case = CONTRACT[name]
    given = [a.astype(np.float64) if a.dtype != bool else a for a in arrays(case)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if case.traced:
            assert all(leaf.dtype == jnp.float32 for leaf in floats(jax.eval_shape(lambda: case.call(*given))))
        else:
            case.call(*given)


@pytest.mark.parametrize("name", ON_HOST)
def test_it_runs_on_the_host_whatever_the_dtype(name):
    case = CONTRACT[name]
    expected = case.call(*arrays(case))
    for dtype in (np.int8, jnp.bfloat16):
        np.testing.assert_array_equal(case.call(*(a.astype(dtype) for a in arrays(case))), expected)
    assert np.isfinite(case.call(*changed(case, coinciding))).all()
    if case.nan == "an error":
        with pytest.raises(ValueError, match="NaN"):
            case.call(*changed(case, with_nan))
    else:
        case.call(*changed(case, with_nan))
    case.call(*changed(case, constant))


@pytest.mark.parametrize("name", TRACED)
def test_a_million_rows_are_no_integer_too_large(name):
    case = CONTRACT[name]
    given = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (make(kind, 10**6 // 12 * 12) for kind in case.takes)]
    jax.eval_shape(case.call, *given)


@pytest.mark.parametrize("name", [name for name in CONTRACT if CONTRACT[name].rows])
def test_many_rows_give_finite_numbers(name):
    case = CONTRACT[name]
    given = [make(kind, case.rows // 12 * 12, seed) for seed, kind in enumerate(case.takes)]
    result = (jax.jit(case.call) if case.traced else case.call)(*given)
    assert all(np.isfinite(leaf).all() for leaf in floats(result))
