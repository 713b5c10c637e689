"""Images of Gaussian blobs on noise of 1, made without the package's own code."""

import numpy as np
from helpers.scenes import make_image


def blobs(*parts, shape=(60, 60), hole=None, seed=3, **keywords):
    """Blobs (x, y, flux, sigma) in pixels of 0.3 arcsec, under a PSF of 3 pixels; a hole (x, y, radius) is masked."""
    y, x = np.indices(shape)
    data, weights = np.random.default_rng(seed).normal(size=shape), np.ones(shape)
    for x0, y0, flux, sigma in parts:
        data += flux / (2 * np.pi * sigma**2) * np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / sigma**2)
    if hole is not None:
        weights[np.hypot(x - hole[0], y - hole[1]) < hole[2]] = 0.0
    return make_image(shape, 0.3, data=data, invvar=weights, **keywords)
