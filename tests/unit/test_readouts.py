"""Readouts that need no model."""

import numpy as np
from sklearn.linear_model import LinearRegression

from platonic_jax import readouts


def test_energies_of_elements_are_those_of_a_linear_regression():
    rng = np.random.default_rng(0)
    composition = rng.integers(0, 4, size=(40, 5)).astype(float)
    energies = composition @ rng.normal(size=5) + 0.1 * rng.normal(size=40)
    expected = LinearRegression(fit_intercept=False).fit(composition, energies).coef_
    np.testing.assert_allclose(readouts.element_energies(composition, energies), expected, rtol=1e-9)


def test_an_element_that_is_nowhere_has_no_energy():
    found = readouts.element_energies(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([-1.0, -2.0]))
    np.testing.assert_allclose(found, [-1, 0], atol=1e-12)
