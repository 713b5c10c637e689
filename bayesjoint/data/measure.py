"""What one image tells of its sky and of a source at a pixel: level and noise, signal to noise, centre, size and shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from bayesjoint.data.analytic_psf import FWHM_PER_SIGMA
from bayesjoint.data.frame import TangentFrame
from bayesjoint.data.noise import background
from bayesjoint.data.psf_basis import BasisPSF
from bayesjoint.data.shapes import adaptive_moments, ellipticity, half_light_radius, symmetrise

if TYPE_CHECKING:
    from bayesjoint.data.image import Image


@dataclass(frozen=True)
class Sky:
    """Background of one image, nJy per pixel, and its Gaussian PSF's sigma in pixels (pixel included)."""

    level: float
    rms: float
    number: int
    sigma: float


def sky_of(image: Image) -> Sky:
    used = image.invvar > 0
    known = float(np.median(image.invvar[used]) ** -0.5)
    try:
        level, rms, number = background(image.data, used)
    except ValueError:  # too few pixels, whose given weights must do
        level, rms, number = 0.0, known, int(used.sum())
    sigma = image.psf.fwhm_arcsec(image.pixel_scale) / image.pixel_scale / FWHM_PER_SIGMA
    if not image.psf.includes_pixel:
        sigma = np.hypot(sigma, np.sqrt(1 / 12))
    return Sky(level, rms if rms > 0 else known, number, float(sigma))


def signal_to_noise(image: Image, sky: Sky) -> np.ndarray:
    """Signal to noise (ny, nx) of a point source at each pixel: the matched filter of a Gaussian PSF."""
    weight, sigma = image.invvar, max(sky.sigma, 0.4)
    signal = ndimage.gaussian_filter(weight * (image.data - sky.level), sigma, mode="constant", truncate=3)
    power = ndimage.gaussian_filter(weight, sigma / np.sqrt(2), mode="constant", truncate=3)
    return signal / np.sqrt(np.maximum(power, 1e-3 * weight.max()) / (4 * np.pi * sigma**2))


def measure_shape(
    image: Image,
    sky: Sky,
    pixel: np.ndarray,
    frame: TangentFrame,
    used: np.ndarray | None = None,
    box: tuple[slice, slice] = (slice(0, None), slice(0, None)),
) -> tuple[np.ndarray, float, np.ndarray]:
    """Sky offset of the centre, effective radius (arcsec) and ellipticity vector of the source at a pixel.

    From the pixels (y, x) of a `box` alone, and with `used` from those of them (its shape) alone: others, of neighbours,
    are filled in from opposite the centre.
    """
    seen, corner = image.invvar[box] > 0, np.array([box[1].start, box[0].start])
    used = seen if used is None else used & seen
    light = np.where(used, image.data[box] - sky.level, 0.0)
    centre, radius, shape = shape_of_light(light, used, pixel - corner, image, sky)
    return offset_of(image, centre + corner, frame), radius, shape


def shape_of_light(
    light: np.ndarray, used: np.ndarray, pixel: np.ndarray, image: Image, sky: Sky
) -> tuple[np.ndarray, float, np.ndarray]:
    """Centre (x, y), effective radius (arcsec) and ellipticity vector of light (ny, nx) about a pixel of an image."""
    centre, _ = adaptive_moments(light, pixel, sky.sigma, steps=8, fixed=True)
    symmetric = symmetrise(light, centre, sky.rms, used)
    peak, (centre, covariance) = centre, adaptive_moments(symmetric, centre, sky.sigma)
    if np.hypot(*(centre - peak)) > 0.2 * sky.sigma:
        symmetric = symmetrise(light, centre, sky.rms, used)
        centre, covariance = adaptive_moments(symmetric, centre, sky.sigma)
    radius = half_light_radius(symmetric, centre, covariance, sky.rms)
    intrinsic = covariance - sky.sigma**2 * np.eye(2)
    to_sky = np.linalg.inv(image.jacobian)
    shape = ellipticity(to_sky @ intrinsic @ to_sky.T, floor=(0.15 * sky.sigma * image.pixel_scale) ** 2)
    corrected = np.sqrt(max(radius**2 - (1.18 * sky.sigma) ** 2, (0.25 * sky.sigma) ** 2))
    return centre, corrected * image.pixel_scale, shape


def star_reach(image: Image, sky: Sky, flux: np.ndarray, faintest: float) -> np.ndarray:
    """Radii, arcsec, beyond which no pixel of stars of these fluxes (N,) holds more than `faintest` of a pixel's noise."""
    star = star_at(image, np.array(image.shape[::-1]) / 2 - 0.5)
    y, x = (np.fft.fftfreq(number, 1 / number) for number in star.shape)
    radius = np.hypot(y[:, None], x).ravel()
    order = np.argsort(radius)
    # the largest of what lies as far out or farther
    falling = np.maximum.accumulate(star.ravel()[order][::-1])[::-1]
    level = faintest * sky.rms / np.maximum(flux, 1e-9 * sky.rms)
    seen = np.searchsorted(-falling, -level)
    return image.pixel_scale * np.where(seen > 0, radius[order][np.maximum(seen, 1) - 1], 0.0)


def star_at(image: Image, pixel: np.ndarray) -> np.ndarray:
    """The pixels about (0, 0), around the edges, of a star of unit flux as it looks at a pixel (x, y)."""
    transfer = np.asarray(image.transfer)
    if isinstance(image.psf, BasisPSF):
        transfer = np.tensordot(image.psf.nominal(pixel.astype(float)), transfer, axes=1)
    return np.fft.irfft2(transfer.sum(axis=0), s=image.fft_shape)


def pixel_of(image: Image, offset) -> np.ndarray:
    """Pixel (x, y) of a sky offset."""
    return image.pixel_map.pixel(np.asarray(offset, float))


def offset_of(image: Image, pixel: np.ndarray, frame: TangentFrame) -> np.ndarray:
    """Sky offset (east, north) of a pixel (x, y), through the full WCS."""
    return np.array(frame.offsets(*image.wcs.all_pix2world(*pixel, 0)), dtype=float)
