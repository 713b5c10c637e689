"""Difference imaging: each epoch less a reference of those before the explosion, matched in seeing, and PSF photometry.

As good as it gets: WCS, PSFs and the transient's place are known, and the kernels that match seeings are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import galsim
import numpy as np
from helpers.exposures import dithered_wcs, galsim_pixels, resampled, star
from numpy.fft import fft2, fftfreq, ifft2

from bayesjoint.data.analytic_psf import FWHM_PER_SIGMA

SIDE = 49  # pixels of the common grid
REACH = 12  # pixels about its middle in which the transient is measured
STEEPEST = 1.2  # a kernel that raises any frequency by more sharpens: then the other image is convolved


class Registered(NamedTuple):
    """An image on the common grid: pixels, their formal variance, a star at the transient's place, transform of the PSF."""

    pixels: np.ndarray
    variance: np.ndarray
    point: np.ndarray
    transfer: np.ndarray


def difference_fluxes(images: Sequence[Any], place: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Flux of a transient at a known place (arcsec East, North) in each image, and its formal error, nJy: (n_images,) each.

    Images of negative time make the reference of their band, and get NaN.
    """
    flux, error = np.full((2, len(images)), np.nan)
    for band in dict.fromkeys(image.band for image in images):
        own = [i for i, image in enumerate(images) if image.band == band]
        before = [registered(images[i], place) for i in own if images[i].time < 0]
        reference = Registered(*(np.mean(parts, axis=0) for parts in zip(*before, strict=True)))
        reference = reference._replace(variance=reference.variance / len(before))
        for i in own:
            if images[i].time >= 0:
                flux[i], error[i] = photometry(*matched(registered(images[i], place), reference))
    return flux, error


def registered(image: Any, place: tuple[float, float]) -> Registered:
    """An image under a Gaussian PSF, and a star in it, interpolated onto the common grid."""
    square, grid = (SIDE, SIDE), dithered_wcs((SIDE, SIDE), image.pixel_scale)
    pixels, spread = resampled(image.data, image.wcs, grid, square)
    light = galsim_pixels(image.wcs, image.shape, galsim.Gaussian(fwhm=image.psf.fwhm), star(1.0, *place))
    point, _ = resampled(light, image.wcs, grid, square)
    sigma = image.psf.fwhm / FWHM_PER_SIGMA / image.pixel_scale
    k = 2 * np.pi * np.hypot(fftfreq(SIDE)[:, None], fftfreq(SIDE))
    variance = spread / image.invvar.max()
    return Registered(np.nan_to_num(pixels), variance, np.nan_to_num(point), np.exp(-0.5 * (sigma * k) ** 2))


def matched(epoch: Registered, reference: Registered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The difference at the broader seeing of the two, its formal variance, and a star in it."""
    kernel = epoch.transfer / reference.transfer
    if kernel.max() < STEEPEST:
        smooth, variance = convolved(reference, kernel)
        return epoch.pixels - smooth, epoch.variance + variance, epoch.point
    smooth, variance = convolved(epoch, 1 / kernel)
    point = ifft2(fft2(epoch.point) / kernel).real
    return smooth - reference.pixels, variance + reference.variance, point


def convolved(image: Registered, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels convolved with what has this transform, and their variance, as if those before were independent."""
    squares = fft2(ifft2(kernel).real ** 2)
    return ifft2(fft2(image.pixels) * kernel).real, ifft2(fft2(image.variance) * squares).real


def photometry(difference: np.ndarray, variance: np.ndarray, point: np.ndarray) -> tuple[float, float]:
    """Flux of the star by weighted least squares, and the error that independent pixels would have."""
    middle = slice(SIDE // 2 - REACH, SIDE // 2 + REACH + 1)
    seen, star_seen = difference[middle, middle], point[middle, middle]
    weights = 1 / variance[middle, middle]
    information = np.sum(weights * star_seen**2)
    return float(np.sum(weights * star_seen * seen) / information), float(information**-0.5)
