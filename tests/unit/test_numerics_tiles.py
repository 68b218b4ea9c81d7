"""The search that leaves tiles out finds what the search of all rows finds, on data of every kind."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from platonic_jax import numerics
from platonic_jax.numerics import _neighbours, _tiles

METRICS = ("cosine", "l2", "inner")
NUM_ROWS = 610  # Not a multiple of the number of tiles.


def rows_of(kind):
    rng = np.random.default_rng(0)
    clustered = 3 * rng.normal(size=(20, 12))[rng.integers(20, size=NUM_ROWS)] + 0.05 * rng.normal(size=(NUM_ROWS, 12))
    match kind:
        case "clustered":
            return clustered
        case "isotropic":
            return rng.normal(size=(NUM_ROWS, 12))
        case "few columns":  # Fewer than the components that bounds are taken along.
            return rng.normal(size=(NUM_ROWS, 2))
        case "one column":
            return rng.normal(size=(NUM_ROWS, 1))
        case "offset":
            return clustered + 1e3
        case "one far row":
            return np.where(np.arange(NUM_ROWS)[:, None] == 17, 1e4, clustered)
        case "repeated rows":
            return clustered[rng.integers(40, size=NUM_ROWS)]
        case "elements":  # All rows of other elements are equally near.
            return np.eye(9)[rng.integers(9, size=NUM_ROWS)]
        case "zero rows":
            return np.where(rng.random(NUM_ROWS)[:, None] < 0.3, 0, clustered)
        case "equal rows":
            return np.ones((NUM_ROWS, 5))
    raise ValueError(kind)


KINDS = [
    "clustered",
    "isotropic",
    "few columns",
    "one column",
    "offset",
    "one far row",
    "repeated rows",
    "elements",
    "zero rows",
    "equal rows",
]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of nine or ten rows, all of which may be visited."""

    def use(**settings):
        for name, value in settings.items():
            monkeypatch.setattr(_tiles, name, value)
        _neighbours._neighbours.clear_cache()

    use(_ROWS=8, _LEAST=4, _MOST=2.0, _FIRST=2, _NEXT=3, _SPARE=3)
    yield use
    monkeypatch.undo()
    _neighbours._neighbours.clear_cache()


def both(use, x, **settings):
    """What the search finds with tiles, and without."""
    x = jnp.asarray(x, jnp.result_type(float))
    with_tiles = jax.device_get(numerics.neighbours(x, **settings))
    use(_LEAST=NUM_ROWS)
    return with_tiles, jax.device_get(numerics.neighbours(x, **settings))


def check(found, expected, tolerance=1e-6):
    (index, distance), (expected_index, expected_distance) = found, expected
    np.testing.assert_array_equal(index, expected_index)
    scale = np.max(np.abs(expected_distance), initial=1, where=np.isfinite(expected_distance))
    np.testing.assert_allclose(distance, expected_distance, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("kind", "metric"), [*((kind, "l2") for kind in KINDS), *product(["isotropic", "zero rows"], ["cosine", "inner"])]
)
def test_tiles_change_no_neighbour(kind, metric, small_tiles):
    check(*both(small_tiles, rows_of(kind), num_neighbours=9, metric=metric))


@pytest.mark.parametrize("kind", ["repeated rows", "elements", "equal rows"])
def test_ties_are_broken_by_the_key_as_without_tiles(kind, small_tiles):
    check(*both(small_tiles, rows_of(kind), num_neighbours=5, metric="l2", key=jax.random.key(3)))


@pytest.mark.parametrize("metric", METRICS)
def test_labels_marks_and_queries_are_kept(metric, small_tiles):
    rng, x = np.random.default_rng(1), rows_of("clustered")
    settings = {"num_neighbours": 7, "metric": metric}
    for more in (
        {"exclude": rng.integers(30, size=NUM_ROWS)},
        {"exclude": np.arange(NUM_ROWS) // (NUM_ROWS - 5)},  # Five rows of another label.
        {"among": rng.random(NUM_ROWS) < 0.2},
        {"among": np.arange(NUM_ROWS) < 3},
        {"queries": x[:100] + 0.01},
        {"queries": np.zeros((1, 12)), "key": jax.random.key(0)},
        {"mesh": numerics.row_mesh(jax.devices()[:1])},
    ):
        small_tiles(_LEAST=4)
        more = {name: jnp.asarray(value) if isinstance(value, np.ndarray) else value for name, value in more.items()}
        check(*both(small_tiles, x, **settings, **more))


@pytest.mark.parametrize("together", [1, 3])
def test_a_batch_of_models_finds_what_each_finds(together, small_tiles):
    small_tiles(_together=lambda: together)
    models = jnp.stack([jnp.asarray(rows_of(kind), jnp.float32) for kind in ("clustered", "isotropic")])
    search = lambda x: numerics.neighbours(x, num_neighbours=4, metric="l2")
    index, distance = jax.jit(jax.vmap(search))(models)
    small_tiles(_LEAST=NUM_ROWS)
    for model, found in zip(models, zip(index, distance, strict=True), strict=True):
        check(found, search(model))


def test_gradients_are_those_without_tiles(small_tiles):
    x = jnp.asarray(rows_of("clustered"), jnp.float32)
    total = lambda x: jnp.sum(numerics.neighbours(x, num_neighbours=4, metric="l2")[1])
    with_tiles = jax.grad(total)(x)
    assert np.any(with_tiles != 0)
    small_tiles(_LEAST=NUM_ROWS)
    np.testing.assert_allclose(with_tiles, jax.grad(total)(x), rtol=1e-5, atol=1e-5)


def test_a_row_without_numbers_leaves_none_elsewhere(small_tiles):
    x = np.where(np.arange(NUM_ROWS)[:, None] == 3, np.nan, rows_of("clustered"))
    distance = numerics.neighbours(jnp.asarray(x, jnp.float32), num_neighbours=2, metric="l2")[1]
    assert np.isnan(distance).all()


@pytest.mark.parametrize(("kind", "few"), [("clustered", True), ("isotropic", False)])
def test_tiles_are_visited_only_where_few_are_needed(kind, few, small_tiles):
    small_tiles(_MOST=0.6)
    x = numerics.centre(jnp.asarray(rows_of(kind), jnp.float32))
    searched = _tiles.Searched(x, jnp.sum(x**2, axis=1) / 2, jnp.arange(NUM_ROWS, dtype=jnp.int32))
    tiles, queries, place = _tiles.cut(searched, None, inner=False, parts=1)
    _, complete = _tiles.search(tiles, queries, size=place.shape[1], num_neighbours=3, num_candidates=6)
    assert np.mean(complete) > 0.99 if few else np.mean(complete) <= 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_one_place_and_lies_in_the_extent_of_its_tile(kind, small_tiles):
    x = numerics.centre(jnp.asarray(rows_of(kind), jnp.float32))
    searched = _tiles.Searched(x, jnp.sum(x**2, axis=1) / 2, jnp.arange(NUM_ROWS, dtype=jnp.int32))
    tiles, queries, place = _tiles.cut(searched, None, inner=False, parts=3)
    assert place.shape[0] % 3 == 0
    assert (np.sort(place[place < NUM_ROWS]) == np.arange(NUM_ROWS)).all()
    assert (np.isfinite(tiles.half_squares).sum(), tiles.place.size > NUM_ROWS) == (NUM_ROWS, True)
    features = queries.features.reshape(*place.shape, -1)[: tiles.rows.shape[0]]
    assert (features >= tiles.low.T[:, None]).all()
    assert (features <= tiles.high.T[:, None]).all()
