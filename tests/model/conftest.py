"""A set of images of several sizes, PSFs and exposures, shared by the tests of programs."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers.scenes import make_image

import bayesjoint as bj


@pytest.fixture(autouse=True)
def strict_promotion():
    """JAX's own promotion here: NumPyro mixes ranks."""


def stamp_psf(sigma=1.6, size=15):
    """A Gaussian PSF as a stamp of pixels."""
    x = np.arange(size) - size // 2
    stamp = np.exp(-0.5 * (x**2 + x[:, None] ** 2) / sigma**2)
    return bj.PSF(stamp / stamp.sum())


@pytest.fixture(scope="session")
def mixed():
    """Two exposures of r of different size, one of them with a stamp as PSF, and one of W1 with larger pixels."""
    rng = np.random.default_rng(5)
    galaxy = bj.Sersic((0.2, -0.1), 0.7, 30.0, 1.2, 1.5, 40.0)
    kinds = [
        {"shape": (24, 24), "scale": 0.5, "psf": bj.gaussian_psf(2.2), "name": "r1", "band": "r"},
        {"shape": (22, 25), "scale": 0.5, "psf": stamp_psf(), "name": "r2", "band": "r"},
        {"shape": (16, 14), "scale": 1.2, "psf": bj.gaussian_psf(5.3), "name": "w", "band": "W1"},
    ]
    images = []
    for kind in kinds:
        mean = np.asarray(jax.jit(bj.render)(make_image(**kind), galaxy))
        weight = rng.uniform(0.5, 2.0, mean.shape) * (rng.random(mean.shape) > 0.1)
        noise = rng.normal(size=mean.shape) / np.sqrt(np.maximum(weight, 0.1))
        images.append(make_image(data=mean + noise, invvar=weight, **kind))
    return bj.ImageSet(images)
