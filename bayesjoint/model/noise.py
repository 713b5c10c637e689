"""Priors of noise: how far an image's errors are off, how well its model can do, how many of its pixels are outliers."""

from __future__ import annotations

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.checks import check_range
from bayesjoint.light.noise import ContaminatedNoise, NoiseFloor, NoiseScale


def sample_noise_scale(images: ImageSet, width: float = 0.2) -> NoiseScale:
    """Sample a factor on the errors of each image: site `noise_scale`, plate "image", log-normal about 1.

    Parameters
    ----------
    images : ImageSet
    width : float
        How well the errors are known, relative.

    Examples
    --------
    In a program: ``bj.observe(images, galaxy, sky, bj.sample_noise_scale(images))``.
    """
    check_range("sample_noise_scale", "width", width, 0, jnp.inf, open_below=True)
    with numpyro.plate("image", len(images)):
        return NoiseScale(numpyro.sample("noise_scale", dist.LogNormal(0.0, width)))


def sample_noise_floor(images: ImageSet, width: float = 0.03) -> NoiseFloor:
    """Sample the systematic error of each image, a fraction of its model: site `noise_floor`, plate "image", half-normal.

    Parameters
    ----------
    images : ImageSet
    width : float
        The fraction that is expected at most, at 68 %.
    """
    check_range("sample_noise_floor", "width", width, 0, jnp.inf, open_below=True)
    with numpyro.plate("image", len(images)):
        return NoiseFloor(numpyro.sample("noise_floor", dist.HalfNormal(width)))


def sample_outliers(images: ImageSet, typical: float = 0.02) -> ContaminatedNoise:
    """Sample the fraction of outliers in each image, and how wide they scatter: cosmic rays, faint neighbours, bad pixels.

    Sites, plate "image": `outlier_fraction`, exponential-like (Beta) about `typical`; `outlier_excess`, log-normal about 9
    within a factor of e: outliers scatter by 1 + excess times as much as other pixels.

    Parameters
    ----------
    images : ImageSet
    typical : float
        Mean of the fraction's prior.
    """
    check_range("sample_outliers", "typical", typical, 0, 0.5, open_below=True)
    with numpyro.plate("image", len(images)):
        prior = dist.Beta(1.0, 1 / typical - 1)
        fraction = numpyro.sample("outlier_fraction", prior, infer={"start": typical})
        excess = numpyro.sample("outlier_excess", dist.LogNormal(jnp.log(9.0), 1.0))
    return ContaminatedNoise(fraction, 1 + excess)
