"""Every measure holds every property that it declares, and none that it does not."""

import pytest

from platonic_jax import metrics, testing

CASES = [
    ("procrustes", {}),
    ("procrustes", {"convention": "angle"}),
    ("procrustes", {"convention": "squared"}),
    ("cka", {}),
    ("cka", {"debiased": False}),
    ("distance_correlation", {}),
    ("distance_correlation", {"debiased": True}),
    ("mutual_knn", {}),
    ("mutual_knn", {"metric": "l2"}),
    ("mutual_knn", {"metric": "inner"}),
    ("cknna", {}),
    ("cknna", {"metric": "inner"}),
    ("information_imbalance", {}),
    ("information_imbalance", {"num_neighbours": 5}),
    ("gfre", {}),
    ("lfre", {}),
    ("sinkhorn_divergence", {}),
    ("wasserstein", {}),
    ("wasserstein", {"order": 2}),
    ("gromov_wasserstein", {}),
]
CLOUD_CASES = [
    ("intrinsic_dimension", {}),
    ("intrinsic_dimension", {"method": "mle"}),
    ("collapsed_fraction", {}),
]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_a_measure_is_what_it_says(name, settings, seed):
    testing.check_measure(name, seed=seed, **settings)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "settings"), CLOUD_CASES, ids=str)
def test_a_measure_of_one_cloud_is_what_it_says(name, settings, seed):
    testing.check_cloud_measure(name, seed=seed, **settings)


def test_every_measure_is_checked():
    assert {name for name, _ in CASES} == set(metrics.PROPERTIES)
    assert {name for name, _ in CLOUD_CASES} == set(metrics.CLOUD_PROPERTIES)
