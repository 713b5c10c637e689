"""The small basis of an image's departures, and its coefficients from features: against the pixels themselves."""

import numpy as np
import pytest

from bayesjoint.infer import basis
from bayesjoint.infer.tiles import Tile

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
    np.testing.assert_allclose(found, other - exact, rtol=1e-6, atol=1e-8)  # some are all but nought


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


def test_parts_that_overlap_have_the_products_of_their_pixels():
    """Chi-squared of three parts together, two of which meet within the image that the first fills."""
    rng, count = np.random.default_rng(5), 40
    boxes = [(slice(0, 30), slice(0, 20)), (slice(0, 12), slice(3, 11)), (slice(8, 30), slice(5, 20))]
    tiles, pixels = [], np.zeros((count, 30, 20))
    for rows, columns in boxes:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        own = rng.normal(size=(count, 4)) @ rng.normal(size=(4, shape[0] * shape[1]))
        tiles.append(Tile((rows, columns), own))
        pixels[:, rows, columns] += own.reshape(count, *shape)
    residual = rng.normal(size=30 * 20)
    pairs = basis.pairs_that_meet([tiles])
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert basis.pairs_that_meet([[tiles[1], Tile((slice(12, 30), slice(0, 20)), own)]]).size == 0
    found = basis.bases_of_tiles(tiles, residual)
    rank = found.rank
    assert rank == 16  # of steps of as many, where four tell all
    c, slope = found.coefficients[..., :rank], found.slope[:, :rank]
    chi2 = np.sum(c**2, axis=(0, 2))
    for (p, q), product in zip(pairs, found.products(pairs, rank), strict=True):
        chi2 += 2 * np.einsum("nr,rs,ns->n", c[p], product, c[q])
    np.testing.assert_allclose(chi2, np.sum(pixels**2, axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        np.einsum("pnr,pr->n", c, slope), pixels.reshape(count, -1) @ residual, rtol=1e-6, atol=1e-4
    )
