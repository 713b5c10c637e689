"""Priors of what images may be off by: the width of their PSFs, their eigen-PSFs, their WCS and their zero points."""

from __future__ import annotations

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from bayesjoint.data.image_set import ImageSet
from bayesjoint.light.psf_state import PSFCoefficients, Seeing
from bayesjoint.light.registration import Registration


def sample_seeing(images: ImageSet, width: float = 0.03) -> Seeing:
    """Sample a factor on the FWHM of each image's PSF, to marginalise over its uncertainty.

    Site `seeing`, plate "image": log-normal about 1 with a relative `width`. The images' PSFs must be a `ScalablePSF`; the
    factor of an image whose PSF is not does nothing.

    Parameters
    ----------
    images : ImageSet
    width : float
        How well the FWHM is known, relative.

    Examples
    --------
    In a program: ``bj.observe(images, galaxy, sky, bj.sample_seeing(images, width=0.05))``.
    """
    with numpyro.plate("image", len(images)):
        return Seeing(numpyro.sample("seeing", dist.LogNormal(0.0, width)))


def sample_psf_coefficients(images: ImageSet, count: int, width: float = 1.0) -> PSFCoefficients:
    """Sample the coefficients of each image's `EigenPSF`: site `psf_coefficients`, plate "image", Normal about 0.

    Parameters
    ----------
    images : ImageSet
    count : int
        How many eigen-PSFs the images' PSFs have.
    width : float
        Standard deviation: 1 where the eigen-PSFs are scaled to what is known of the PSF.
    """
    with numpyro.plate("image", len(images)):
        prior = dist.Normal(jnp.zeros(count), width).to_event(1)
        return PSFCoefficients(numpyro.sample("psf_coefficients", prior))


def sample_registration(
    images: ImageSet,
    offset: float | None = None,
    rotation: float | None = None,
    flux_scale: float | None = None,
) -> Registration:
    """Sample how far the images' WCS and zero points are off from those of the first.

    The first image is the reference: its corrections are none. Sites, one value for each of the others: `offset`, (n_images
    - 1, 2), arcsec East and North; `rotation`, degrees; `flux_scale`, log-normal about 1.

    Parameters
    ----------
    images : ImageSet
        Two or more.
    offset, rotation, flux_scale : float, optional
        Standard deviation of the prior: arcsec in each coordinate, degrees, relative. What is not given is not sampled.

    Raises
    ------
    ValueError
        For a single image, or nothing to sample.
    """
    others = len(images) - 1
    if others < 1:
        raise ValueError("sample_registration wants two images or more: the first is the reference")
    if offset is rotation is flux_scale is None:
        raise ValueError(
            "sample_registration has nothing to sample: give offset=0.05 (arcsec), rotation= or flux_scale="
        )
    move, turn, scale = jnp.zeros((1, 2)), jnp.zeros(1), jnp.ones(1)
    with numpyro.plate("registered", others):
        if offset is not None:
            moves = numpyro.sample("offset", dist.Normal(jnp.zeros(2), offset).to_event(1))
            move = jnp.concatenate([move, moves])
        if rotation is not None:
            turn = jnp.concatenate([turn, numpyro.sample("rotation", dist.Normal(0.0, rotation))])
        if flux_scale is not None:
            scales = numpyro.sample("flux_scale", dist.LogNormal(0.0, flux_scale))
            scale = jnp.concatenate([scale, scales])
    parts = (part if len(part) > 1 else part[0] for part in (move, turn, scale))
    return Registration(*parts)
