"""The small basis of an image's departures, and its coefficients from features: against the pixels themselves."""

import numpy as np
import pytest

from bayesjoint.infer import basis

RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(90, 6)) * [1.0, 10.0, 0.1, 1.0, 5.0, 1e-3]
PIXELS = RNG.normal(size=(6, 70_000))
DEPARTURES = FEATURES @ PIXELS
RESIDUAL = RNG.normal(size=70_000)


def test_coefficients_have_the_pixels_products():
    """Between departures, and with the residual, in more pixels than a block holds."""
    coefficients, slope = basis.principal_components(DEPARTURES, RESIDUAL)
    assert coefficients.shape == (90, basis.RANK)
    np.testing.assert_allclose(coefficients @ coefficients.T, DEPARTURES @ DEPARTURES.T, rtol=1e-9, atol=1e-3)
    np.testing.assert_allclose(coefficients @ slope, DEPARTURES @ RESIDUAL, rtol=1e-8, atol=1e-4)


def test_the_map_is_that_of_the_pixels():
    coefficients, slope = basis.principal_components(DEPARTURES, RESIDUAL)
    found = basis.linear_map(FEATURES, coefficients)
    np.testing.assert_allclose(FEATURES @ found, coefficients, rtol=1e-7, atol=1e-6)
    assert np.max(np.abs(basis.log_likelihood_errors(FEATURES, found, coefficients, slope))) < 1e-3


def test_errors_are_those_of_the_log_likelihood():
    coefficients, slope = basis.principal_components(DEPARTURES, RESIDUAL)
    wrong = basis.linear_map(FEATURES[:, :5], coefficients)
    made = FEATURES[:, :5] @ wrong
    exact, other = ((c * (slope - 0.5 * c)).sum(axis=1) for c in (coefficients, made))
    found = basis.log_likelihood_errors(FEATURES[:, :5], wrong, coefficients, slope)
    np.testing.assert_allclose(found, other - exact, rtol=1e-6)


@pytest.mark.parametrize("terms", [1, 2])
def test_waves_that_say_what_others_say_are_left_out(terms):
    """Of five waves two are copies of others; real and imaginary parts, terms of the PSF and skies stay in order."""
    three = RNG.normal(size=(40, 2 * terms, 3))
    five = three[:, :, [0, 1, 0, 2, 1]]
    skies = RNG.normal(size=(40, 2))
    features = np.concatenate([five.reshape(40, -1), skies], axis=1)
    chosen = basis.telling_waves(features, terms, 5, 3)
    assert sorted(np.array([0, 1, 0, 2, 1])[chosen]) == [0, 1, 2] and np.all(np.diff(chosen) > 0)
    kept = basis.at_waves(features, terms, 5, chosen)
    np.testing.assert_array_equal(kept[:, :-2].reshape(40, 2 * terms, 3), five[:, :, chosen])
    np.testing.assert_array_equal(kept[:, -2:], skies)
