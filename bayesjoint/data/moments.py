"""Starting values measured on the images: where the source is, how large, how flat, how bright.

The source is found on the image that locates it best; adaptive moments give its centre and ellipse, a curve
of growth its half-light radius, and a Gaussian mixture of that shape, blurred by each image's PSF, its flux
on every image. Neighbours are cut by symmetry: light that the point opposite the centre does not have belongs
to something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np
from astropy.coordinates import SkyCoord

from bayesjoint.data.frame import TangentFrame, position_degrees
from bayesjoint.data.measure import Sky, measure_shape, pixel_of, signal_to_noise, sky_of
from bayesjoint.data.shapes import mixture_pixels, sky_ellipse

if TYPE_CHECKING:
    from bayesjoint.data.image import Image

_FIELDS = [
    "position",
    "effective_radius",
    "ellipticity",
    "flux",
    "flux_error",
    "sky",
    "sky_error",
    "sky_scatter",
    "seeing",
]
_DETECTED = 5.0
_CONSPICUOUS = 3.0
_SKY_SYSTEMATIC = 0.3  # of the pixel rms: wings of sources below the noise


@partial(jax.tree_util.register_dataclass, data_fields=_FIELDS, meta_fields=[])
@dataclass(frozen=True, eq=False)
class StartingValues:
    """What the images tell at a glance, as float64 arrays.

    Attributes
    ----------
    position : array (2,)
        Arcsec East and North in the images' frame.
    effective_radius : array ()
        Semi-major half-light radius, arcsec, PSF taken out.
    ellipticity : array (2,)
        (eta cos 2PA, eta sin 2PA) with eta = -ln q, PA East of North.
    flux, flux_error : array (n_bands,)
        nJy; flux may be negative.
    sky, sky_error, sky_scatter : array (n_images,)
        Background level, its uncertainty, and the scatter of single pixels; nJy per arcsec^2.
    seeing : array ()
        Smallest FWHM of the PSFs, arcsec.
    """

    position: np.ndarray
    effective_radius: np.ndarray
    ellipticity: np.ndarray
    flux: np.ndarray
    flux_error: np.ndarray
    sky: np.ndarray
    sky_error: np.ndarray
    sky_scatter: np.ndarray
    seeing: np.ndarray


@dataclass(frozen=True)
class _Candidate:
    """The source as one image shows it: pixel (x, y), its S/N within a PSF, and its score as the target."""

    pixel: np.ndarray
    snr: float
    score: float


def starting_values(
    images: Sequence[Image],
    bands: Sequence[str],
    frame: TangentFrame,
    position: SkyCoord | tuple[float, float] | None = None,
) -> StartingValues:
    """Measure position, size, shape, fluxes and skies on the images.

    Parameters
    ----------
    images : sequence of Image
        All with `frame` as their frame.
    bands : sequence of str
        The bands of the images, in the order wanted for fluxes.
    frame : TangentFrame
    position : SkyCoord or (ra, dec) in degrees, optional
        Where the source is; by default the most conspicuous one near the images' common centre is taken.

    Raises
    ------
    ValueError
        If `position` lies outside every image, or is not a position.
    """
    guess, reach, limit = _guess(images, frame, position)
    skies = [sky_of(image) for image in images]
    found = [_find(image, sky, guess, reach, limit) for image, sky in zip(images, skies, strict=True)]
    best = int(np.argmax([candidate.score for candidate in found]))
    centre, radius, shape = guess, None, np.zeros(2)
    if found[best].snr > _DETECTED:
        centre, radius, shape = measure_shape(images[best], skies[best], found[best].pixel, frame)
    seeing = min(image.psf.fwhm_arcsec(image.pixel_scale) for image in images)
    radius = max(radius or 0.0, 0.2 * seeing)
    fluxes = [_flux(image, sky, centre, radius, shape) for image, sky in zip(images, skies, strict=True)]
    flux, flux_error = _per_band(fluxes, [bands.index(image.band) for image in images], len(bands))
    area = np.array([float(image.pixel_area) for image in images])
    rms = np.array([sky.rms for sky in skies])
    number = np.array([sky.number for sky in skies])
    return StartingValues(
        position=np.asarray(centre, float),
        effective_radius=np.asarray(radius, float),
        ellipticity=np.asarray(shape, float),
        flux=flux,
        flux_error=flux_error,
        sky=np.array([sky.level for sky in skies]) / area,
        sky_error=np.hypot(rms / np.sqrt(number), _SKY_SYSTEMATIC * rms) / area,
        sky_scatter=rms / area,
        seeing=np.asarray(seeing, float),
    )


def _guess(images: Sequence[Image], frame: TangentFrame, position) -> tuple[np.ndarray, float, float]:
    """Where to look for the source, how far from there as a rule, and at most (arcsec)."""
    if position is None:
        corners = [_corners(image) for image in images]
        low = np.max([c.min(axis=0) for c in corners], axis=0)
        high = np.min([c.max(axis=0) for c in corners], axis=0)
        smallest = min(min(image.shape) * image.pixel_scale for image in images)
        return (low + high) / 2, smallest / 8, np.inf
    ra, dec = position_degrees(position)
    guess = np.array(frame.offsets(ra, dec), dtype=float)
    if not any(contains(image, guess) for image in images):
        raise ValueError(
            f"the position RA {ra:.5f}, Dec {dec:.5f} lies outside every image: "
            "give one on the images, in degrees (ICRS)"
        )
    reach = max(0.5 * min(image.psf.fwhm_arcsec(image.pixel_scale) for image in images), 0.5)
    return guess, reach, 4 * reach


def _corners(image: Image) -> np.ndarray:
    """Sky offsets (4, 2) of the image's corners, to first order."""
    ny, nx = image.shape
    corners = np.array([[sx * nx / 2, sy * ny / 2] for sx in (-1, 1) for sy in (-1, 1)])
    return image.centre + corners @ np.linalg.inv(image.jacobian).T


def contains(image: Image, offset: np.ndarray) -> bool:
    """Whether a sky offset lies on an image's pixels."""
    ny, nx = image.shape
    if not np.hypot(*(offset - image.centre)) < np.hypot(nx, ny) * image.pixel_scale:
        return False
    x, y = pixel_of(image, offset)
    return -0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5


def _find(image: Image, sky: Sky, guess: np.ndarray, reach: float, limit: float) -> _Candidate:
    """The most conspicuous source near the guess: the largest log S/N x closeness, and from there uphill."""
    snr = signal_to_noise(image, sky)
    distance = _distance(image, guess)
    near = np.where(distance <= limit, 1 / (1 + (distance / reach) ** 2), 0.0)
    score = np.log(np.maximum(snr / _CONSPICUOUS, 1)) * near
    y, x = np.unravel_index(int(np.argmax(score if score.any() else snr * near)), score.shape)
    climbable = np.where(near > 0, snr, -np.inf)
    while True:
        top, left = max(y - 1, 0), max(x - 1, 0)
        around = climbable[top : y + 2, left : x + 2]
        dy, dx = np.unravel_index(int(np.argmax(around)), around.shape)
        if (top + dy, left + dx) == (y, x) or not around.max() > snr[y, x]:
            break
        y, x = top + dy, left + dx
    fwhm = image.psf.fwhm_arcsec(image.pixel_scale)
    score_here = near[y, x] * np.log1p(max(snr[y, x], 0.0) / fwhm)
    return _Candidate(np.array([x, y], float), float(snr[y, x]), float(score_here))


def _distance(image: Image, guess: np.ndarray) -> np.ndarray:
    """Distance (ny, nx) of every pixel from a sky offset, arcsec."""
    ny, nx = image.shape
    x0, y0 = pixel_of(image, guess)
    return np.hypot(np.arange(nx) - x0, np.arange(ny)[:, None] - y0) * image.pixel_scale


def _flux(
    image: Image, sky: Sky, centre: np.ndarray, radius: float, shape: np.ndarray
) -> tuple[float, float]:
    """Flux of the source and its error on one image (nJy): the template's amplitude, neighbours left out."""
    ellipse = image.jacobian @ sky_ellipse(radius, shape) @ image.jacobian.T
    template = mixture_pixels(image.shape, pixel_of(image, centre), ellipse, sky.sigma)
    light, weight = image.data - sky.level, image.invvar.copy()
    flux, power = 0.0, 0.0
    for _ in range(2):
        power = (weight * template**2).sum()
        if not power > 1e-12 * (image.invvar.max() * (template**2).sum() + 1e-300):
            return 0.0, np.inf
        flux = (weight * template * light).sum() / power
        model = max(flux, 0.0) * template
        intruder = (light - model > 5 * sky.rms + 0.5 * model) & (template < 0.2 * template.max())
        weight = np.where(intruder, 0.0, image.invvar)
    return float(flux), float(power**-0.5)


def _per_band(
    fluxes: list[tuple[float, float]], index: list[int], n_bands: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse-variance means of the images' fluxes in each band; unseen bands get a zero of wide error."""
    values, errors = np.array(fluxes).T
    weight = np.where(np.isfinite(errors), errors, np.inf) ** -2.0
    total = np.bincount(index, weight, n_bands)
    mean = np.bincount(index, weight * values, n_bands) / np.where(total > 0, total, 1)
    widest = errors[np.isfinite(errors)].max(initial=1.0)
    return mean, np.where(total > 0, np.maximum(total, 1e-300) ** -0.5, widest)
