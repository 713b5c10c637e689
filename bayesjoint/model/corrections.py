"""Priors of what images may be off by: the width of their PSFs, their eigen-PSFs, their WCS and their zero points."""

from __future__ import annotations

from typing import Any

import jax
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
    reference: bool = True,
) -> Registration:
    """Sample how far the images' WCS and zero points are off from those of the first, or from the truth.

    With a `reference` the first image's corrections are none, and the sites have one value for each of the others:
    `offset`, (n_images - 1, 2), arcsec East and North; `rotation`, degrees; `flux_scale`, log-normal about 1. Without, they
    have one for each image, in the plate "image": all zero points are as likely to be off, fluxes are those of their mean
    and their errors know how far that may be off.

    Parameters
    ----------
    images : ImageSet
        Two or more where the first is the reference.
    offset, rotation, flux_scale : float, optional
        Standard deviation of the prior: arcsec in each coordinate, degrees, relative. What is not given is not sampled.
    reference : bool
        Whether the first image is right.

    Raises
    ------
    ValueError
        For a single image that is its own reference, or nothing to sample.
    """
    count = len(images) - reference
    if count < 1:
        raise ValueError("sample_registration wants two images or more: the first is the reference")
    if offset is rotation is flux_scale is None:
        raise ValueError(
            "sample_registration has nothing to sample: give offset=0.05 (arcsec), rotation= or flux_scale="
        )

    def of_all(none: jax.Array, sampled: Any) -> jax.Array:
        return jnp.concatenate([none, sampled]) if reference else sampled

    move, turn, scale = jnp.zeros((1, 2)), jnp.zeros(1), jnp.ones(1)
    with numpyro.plate("registered" if reference else "image", count):
        if offset is not None:
            prior = dist.Normal(jnp.zeros(2), offset).to_event(1)
            move = of_all(move, numpyro.sample("offset", prior))
        if rotation is not None:
            turn = of_all(turn, numpyro.sample("rotation", dist.Normal(0.0, rotation)))
        if flux_scale is not None:
            scale = of_all(scale, numpyro.sample("flux_scale", dist.LogNormal(0.0, flux_scale)))
    parts = (part if len(part) == len(images) else part[0] for part in (move, turn, scale))
    return Registration(*parts)
