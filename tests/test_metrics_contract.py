"""Every measure holds every property that it declares, and none that it does not."""

import pytest

from platonic_jax import metrics, testing

CASES = [
    ("procrustes", {}),
    ("cka", {}),
    ("cka", {"debiased": False}),
    ("mutual_knn", {}),
    ("mutual_knn", {"metric": "l2"}),
    ("mutual_knn", {"metric": "inner"}),
    ("sinkhorn_divergence", {}),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_a_measure_is_what_it_says(name, settings, seed):
    testing.check_measure(name, seed=seed, **settings)


def test_every_measure_is_checked():
    assert {name for name, _ in CASES} == set(metrics.PROPERTIES)
