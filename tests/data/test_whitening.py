"""Whitening against a dense Cholesky factor: error bars, chi-squared, determinant, masks, and noise drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.correlations import RESAMPLED, dense_covariance, light_columns, masked_weights
from scipy import linalg

from bayesjoint.data.possible_correlation import checked_correlation
from bayesjoint.data.whitening import chi_squared, draw_correlated, make_whitening, whiten, whitened


def dense_white(root, pixels):
    return linalg.solve_triangular(root, pixels, lower=True)


def errors_of(columns):
    return np.sqrt(np.diag(np.linalg.inv(columns.T @ columns)))


@pytest.mark.parametrize("name", RESAMPLED)
@pytest.mark.parametrize("size", [24, 40])
def test_error_bars_and_chi2_are_those_of_the_dense_covariance(name, size):
    invvar = masked_weights(size)
    stamp, used = checked_correlation(RESAMPLED[name], "r"), invvar > 0
    operator = make_whitening(stamp, invvar)
    root = np.linalg.cholesky(dense_covariance(stamp, invvar))
    columns = light_columns(size)
    found = errors_of(np.asarray(whitened(operator, invvar, columns))[:, used].T)
    np.testing.assert_allclose(found, errors_of(dense_white(root, columns[:, used].T)), rtol=0.01)
    noise = np.zeros((40, size, size))
    noise[:, used] = (root @ np.random.default_rng(1).normal(size=(used.sum(), 40))).T
    chi2 = np.sum(np.asarray(whitened(operator, invvar, noise)) ** 2, axis=(1, 2))
    exact = np.sum(dense_white(root, noise[:, used].T) ** 2, axis=0)
    print(name, size, "errors", (found / errors_of(dense_white(root, columns[:, used].T)) - 1).round(4))
    print("chi2", np.mean(chi2 / exact) - 1, np.std(chi2 - exact) / used.sum())
    assert abs(np.mean(chi2 / exact) - 1) < 0.007
    assert (
        np.std(chi2 - exact) < 0.01 * used.sum()
    )  # of the sqrt(2 / pixels), 0.04 to 0.06, by which chi2 itself scatters
    determinant = -np.sum(np.log(np.diag(root)))
    assert abs(operator.log_determinant - determinant) < 0.05 * used.sum()


def test_mild_correlations_are_whitened_almost_exactly():
    """Value for value, up to the order in which pixels are told: the covariance of what comes out is 1."""
    invvar = masked_weights(24)
    stamp, used = checked_correlation(RESAMPLED["bilinear by 0.3 px"], "r"), invvar > 0
    operator = make_whitening(stamp, invvar)
    unit = np.zeros((used.sum(), 24, 24))
    unit[:, used] = np.eye(used.sum())
    matrix = np.asarray(whitened(operator, invvar, unit))[:, used].T
    covariance = dense_covariance(stamp, invvar)
    np.testing.assert_allclose(matrix @ covariance @ matrix.T, np.eye(used.sum()), atol=0.01)
    sign, determinant = np.linalg.slogdet(matrix)
    assert sign == 1 and operator.log_determinant == pytest.approx(determinant, abs=0.5)
    assert operator.log_determinant == pytest.approx(-0.5 * np.linalg.slogdet(covariance)[1], abs=0.5)


@pytest.mark.parametrize("name", ["bilinear by 0.3 px", "Lanczos-3 by 0.5 px"])
def test_gradient_of_chi2_is_its_slope(name):
    """By both ways of differentiating, of one image and of a stack of two."""
    rng, invvar = np.random.default_rng(0), masked_weights(24)
    operator = make_whitening(checked_correlation(RESAMPLED[name], "r"), invvar)
    here, way = jnp.asarray(rng.normal(size=(2, 24, 24)))
    value, slope = jax.value_and_grad(chi_squared, 2)(operator, invvar, here)
    ahead, behind = (float(chi_squared(operator, invvar, here + s * 1e-3 * way)) for s in (1, -1))
    assert float(jnp.sum(slope * way)) == pytest.approx((ahead - behind) / 2e-3, rel=1e-7)
    tangent = jax.jvp(lambda p: chi_squared(operator, invvar, p), (here,), (way,))[1]
    assert float(tangent) == pytest.approx(float(jnp.sum(slope * way)), rel=1e-10)
    both = jax.tree.map(lambda a: np.stack([a, a]), operator)
    stacked = chi_squared(both, np.stack([invvar, invvar]), jnp.stack([here, way]))
    np.testing.assert_allclose(stacked[0], value, rtol=1e-12)


@pytest.mark.parametrize("name", ["bilinear by 0.3 px", "Lanczos-3 by 0.5 px"])
def test_float32(name):
    invvar, rng = masked_weights(40), np.random.default_rng(2)
    operator = make_whitening(checked_correlation(RESAMPLED[name], "r"), invvar)
    pixels = rng.normal(size=(40, 40))
    single = whiten(operator, invvar, jnp.asarray(pixels, jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, whitened(operator, invvar, pixels), atol=3e-5)


@pytest.mark.parametrize("value", [1e9, np.nan])
def test_masked_pixels_cannot_leak(value):
    """Nor what lies beyond a border: a part of an image whitens as if it were cut out."""
    invvar, rng = masked_weights(40), np.random.default_rng(3)
    stamp = checked_correlation(RESAMPLED["Gaussian of 0.7 px"], "r")
    pixels = np.where(invvar > 0, rng.normal(size=(40, 40)), 0.0)
    operator = make_whitening(stamp, invvar)
    spoilt = np.where(invvar > 0, pixels, value)
    assert np.array_equal(whitened(operator, invvar, spoilt), whitened(operator, invvar, pixels))
    assert np.all(np.isfinite(jax.grad(chi_squared, 2)(operator, invvar, jnp.asarray(spoilt))))
    cut = make_whitening(stamp, invvar[:25, :30])
    room = np.pad(invvar[:25, :30], ((0, 15), (0, 10)))
    hidden = whitened(make_whitening(stamp, room), room, pixels)
    np.testing.assert_allclose(
        hidden[:25, :30], whitened(cut, invvar[:25, :30], pixels[:25, :30]), atol=1e-10
    )
    assert not np.any(hidden[25:])


def test_noise_drawn_has_the_correlation():
    stamp = checked_correlation(RESAMPLED["Lanczos-3 by 0.5 px"], "r")
    operator = make_whitening(stamp, np.ones((7, 12)))
    drawn = np.asarray(draw_correlated(jax.random.key(0), operator, (40000, 7, 12), float)).reshape(40000, -1)
    wanted = dense_covariance(stamp, np.ones((7, 12)))
    assert np.abs(drawn.T @ drawn / 40000 - wanted).max() < 5 / np.sqrt(20000)
