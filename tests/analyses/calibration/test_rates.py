"""A few of the rates, held to their bands: see `rates.py` for all of them."""

import numpy as np
import pytest
from rates import simulate_compare, simulate_intervals, simulate_one_element, simulate_tests, simulate_ties
from test_studies import REPEATS, check_rate


def rejected(p_values):
    return np.array(p_values) <= 0.05


@pytest.mark.parametrize("common", [False, True], ids=["of each element", "common to the crystal"])
def test_models_that_share_only_crystals_do_not_agree_beyond_the_element(common):
    found = simulate_tests(
        share=0.9,
        common=common,
        measures=("procrustes", "mutual_knn"),
        num_structures=60,
        num_elements=3,
        repeats=REPEATS,
    )
    for p_values in found.values():
        check_rate(rejected(p_values), 0, 0.05)


def test_a_test_within_one_element_is_exact():
    for p_values in simulate_one_element(share=0.9, repeats=3 * REPEATS).values():
        check_rate(rejected(p_values), 0.05, 0.05)


def test_what_models_share_is_found():
    found = simulate_tests(share=0.9, common=True, strength=1.0, measures=("procrustes",), num_elements=3, repeats=15)
    check_rate(rejected(found["procrustes"]), 0.9, 1)


def test_a_comparison_holds_its_level_and_has_power():
    for p_values in simulate_compare(num_structures=60, repeats=10).values():
        check_rate(rejected(p_values), 0, 0.05)
    for p_values in simulate_compare(strength=2.0, num_structures=60, repeats=3).values():
        check_rate(rejected(p_values), 0.9, 1)


def test_ties_create_no_agreement():
    value, p_value = np.array(simulate_ties(num_structures=60, num_elements=3, repeats=15)).T
    assert value.mean() < 0.3
    check_rate(rejected(p_value), 0, 0.05)


def test_intervals_of_a_comparison_cover():
    for covered in simulate_intervals(repeats=20).values():
        check_rate(covered, 0.92, 0.99)
