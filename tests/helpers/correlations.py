"""Correlations that resampling gives noise, and noise with a dense covariance, made without the package's own code."""

import numpy as np
from scipy.signal import fftconvolve


def _of_kernel(kernel):
    """Correlation of white noise convolved with a kernel."""
    stamp = fftconvolve(kernel, kernel[::-1, ::-1])
    return stamp / stamp.max()


def _bilinear(fraction):
    return _of_kernel(np.outer([1 - fraction, fraction], [1 - fraction, fraction]))


def _lanczos_half():
    x = np.arange(-2.5, 3)
    kernel = np.sinc(x) * np.sinc(x / 3)
    return _of_kernel(np.outer(kernel, kernel) / kernel.sum() ** 2)


def _gaussian(sigma):
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / sigma) ** 2)
    return _of_kernel(np.outer(kernel, kernel))[5:12, 5:12]


def _finer():
    """Bilinear interpolation onto pixels half as wide, its mean over phases: the triangle's correlation with itself."""
    x = np.arange(-8, 8.001, 0.01)
    triangle = np.clip(1 - np.abs(x) / 2, 0, None)
    along = np.interp(np.arange(-3, 4), x, np.convolve(triangle, triangle, mode="same"))
    return np.outer(along, along) / along.max() ** 2


RESAMPLED = {
    "bilinear by 0.3 px": _bilinear(0.3),
    "bilinear by 0.5 px": _bilinear(0.5),
    "Lanczos-3 by 0.5 px": _lanczos_half(),
    "Gaussian of 0.7 px": _gaussian(0.7),
    "bilinear onto half the pixel": _finer(),
}


def dense_covariance(stamp, invvar):
    """Covariance (used, used) of the used pixels, in their order in the image."""
    y, x = np.nonzero(invvar > 0)
    reach = np.array(stamp.shape) // 2
    lag_y, lag_x = y[:, None] - y, x[:, None] - x
    inside = (np.abs(lag_y) <= reach[0]) & (np.abs(lag_x) <= reach[1])
    rows, columns = np.where(inside, lag_y, 0) + reach[0], np.where(inside, lag_x, 0) + reach[1]
    sigma = invvar[y, x] ** -0.5
    return np.where(inside, stamp[rows, columns], 0.0) * sigma[:, None] * sigma


def masked_weights(size, seed=0):
    """Inverse variance that varies across an image, 0 in a star, a row and a few pixels."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:size, :size]
    weight = 1.5 + np.sin(x / 9) * np.cos(y / 11)
    hidden = (np.hypot(y - size / 4, x - 0.7 * size) < 4) | (y == 20) | (rng.random((size, size)) < 0.02)
    return np.where(hidden, 0.0, weight)


def light_columns(size):
    """Images (5, size, size) of a star, its shifts, a galaxy and the sky."""
    y, x = np.mgrid[:size, :size] - np.array([0.48, 0.51])[:, None, None] * size
    star = np.exp(-(x**2 + y**2) / 2 / (2.5 / 2.355) ** 2)
    galaxy = np.exp(-np.hypot(x, y / 0.6) / 4)
    return np.stack([star, x * star, y * star, galaxy, np.ones((size, size))])
