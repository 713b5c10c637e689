"""How noise of neighbouring pixels correlates: measured on blank sky, and made a correlation that noise can have."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, signal

from bayesjoint.data.image_input import same_shape
from bayesjoint.data.noise import background, blank_sky
from bayesjoint.data.possible_correlation import nearest_possible

_SIGNIFICANT = 2.0
_PIXELS_PER_LAG = 20
REACHES = (3, 5, 8, 12)
_RIM = 0.05
_RIM_ERRORS = 3.0  # more than the largest of a rim's 24 lags is likely to be by chance
_MOVED, _MOVED_ERRORS = 0.03, 5.0


@dataclass(frozen=True, eq=False)
class NoiseCorrelation:
    """Correlation of the noise of pixels by their lag; `np.asarray` gives the coefficients.

    Attributes
    ----------
    coefficients : array (2 reach + 1, 2 reach + 1)
        1 at the middle, point-symmetric; lags in pixels, [y, x].
    errors : array (2 reach + 1, 2 reach + 1)
        Standard error of each.
    pixels : int
        Pixels of blank sky that they rest on.
    """

    coefficients: np.ndarray
    errors: np.ndarray
    pixels: int

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.coefficients, dtype)

    def __repr__(self) -> str:
        y, x = np.array(self.coefficients.shape) // 2
        along = ", ".join(
            f"{self.coefficients[place]:.3f} +- {self.errors[place]:.3f} along {axis}"
            for place, axis in (((y, x + 1), "x"), ((y + 1, x), "y"))
        )
        wide = np.sqrt(self.coefficients.sum())
        wider = f"means of many pixels scatter {wide:.2f} times as much"
        return f"NoiseCorrelation({along}; {wider}; from {self.pixels} pixels)"


def noise_correlation(image: Any, mask: Any = None, reach: int | None = None) -> NoiseCorrelation:
    """Correlation of an image's noise, from its blank sky.

    Sources that stand out by 4.5 sigma are left out, with the light connected with them and two pixels around it. What
    the sky does on scales of twenty times the reach is taken away, and a surface of second order through all of it.
    Products of pairs of blank pixels are weighted by the
    inverse variances; lags that are not told from zero by twice their error count as zero. Last it is made a correlation
    that noise can have: no frequency has less than a hundredth of the mean power. Light too faint to be found counts as
    noise: it correlates, too.

    Parameters
    ----------
    image : Image
    mask : bool array (ny, nx), optional
        True where a pixel is no blank sky, beside those found.
    reach : int, optional
        Largest lag along each axis, pixels. By default 3, or 5, 8 or 12 while the outermost lags still correlate, as far as
        there are blank pixels enough.

    Returns
    -------
    NoiseCorrelation
        For `Image(..., noise_correlation=)` or `image.with_noise_correlation(...)`.

    Raises
    ------
    ValueError, TypeError
        Where too few pixels are blank, the data are unknown or not finite, or `reach` is no positive whole number.

    Warns
    -----
    UserWarning
        Where the noise correlates further than the reach, light or slopes of large scale look like noise, or what was
        measured is far from any correlation that noise can have.

    Examples
    --------
    >>> import bayesjoint as bj
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-0.2 / 3600, 0.2 / 3600]
    >>> white = np.random.default_rng(1).normal(size=(121, 121))
    >>> shifted = (white[1:] + white[:-1]) / np.sqrt(2)  # by half a pixel along y
    >>> image = bj.Image(shifted, wcs=wcs, zeropoint=31.4, psf=bj.gaussian_psf(0.8), invvar=np.ones((120, 121)))
    >>> found = noise_correlation(image, reach=2)
    >>> print(f"{found.coefficients[3, 2]:.1f} {abs(found.coefficients[2, 3]):.1f}")
    0.5 0.0
    """
    label = _label_of(image)
    if reach is not None and (
        isinstance(reach, bool) or not isinstance(reach, int | np.integer) or reach < 1
    ):
        raise ValueError(f"{label}: reach must be a whole number of pixels from 1 on, got {reach!r}")
    used = np.asarray(image.invvar) > 0
    data, invvar = np.where(used, image.data, 0.0), np.asarray(image.invvar)
    blank = _blank(data, invvar, mask, label)
    data = data - _surface(data, invvar * blank)
    blank = _blank(data, invvar, mask, label)
    data = data - _surface(data, invvar * blank)
    count, tried = int(blank.sum()), REACHES if reach is None else (reach,)
    fitting = [each for each in tried if count >= _PIXELS_PER_LAG * (2 * each + 1) ** 2]
    if not fitting:
        wanted = _PIXELS_PER_LAG * (2 * tried[0] + 1) ** 2
        raise ValueError(
            f"{label}: {count} pixels of blank sky are too few to tell how noise correlates up to {tried[0]} pixels, "
            f"wanted {wanted}: give a larger cutout, a smaller reach, or noise_correlation= as measured elsewhere"
        )
    found, errors = np.ones((2, 1, 1))
    for each in fitting:
        flat = _flattened(data, invvar * blank, 20 * each + 1)
        found, errors = _by_lag(np.sqrt(invvar) * flat, blank, each)
        if not _goes_on(found, errors):
            break
    told = np.where(np.abs(found) > _SIGNIFICANT * errors, found, 0.0)
    possible = nearest_possible(told)
    _warn(label, found, errors, possible - told)
    return NoiseCorrelation(possible, errors, count)


def _label_of(image: Any) -> str:
    """What an image is called; raises where it is none, or has no data to measure on."""
    missing = [name for name in ("name", "data", "invvar") if not hasattr(image, name)]
    if missing:
        raise TypeError(
            f"noise_correlation needs one bj.Image, got {type(image).__name__}: give the images of a set one by one, "
            "and the results to images.with_noise_correlations([...])"
        )
    label = f"image {image.name!r}"
    if image.data is None:
        raise ValueError(f"{label}: noise cannot be measured without data: give the image with its data")
    wrong = int(np.sum(~np.isfinite(image.data) & (np.asarray(image.invvar) > 0)))
    if wrong:
        raise ValueError(
            f"{label}: {wrong} of the pixels with weight are not finite: mask them, or give them no weight"
        )
    return label


def _rim(stamp: np.ndarray) -> np.ndarray:
    inner = np.zeros(stamp.shape, bool)
    inner[1:-1, 1:-1] = True
    return stamp[~inner]


def _goes_on(found: np.ndarray, errors: np.ndarray) -> bool:
    """Whether lags at a stamp's rim still correlate."""
    size = np.abs(_rim(found))
    return bool(np.any((size > _RIM) & (size > _RIM_ERRORS * _rim(errors))))


def _warn(label: str, found: np.ndarray, errors: np.ndarray, moved: np.ndarray) -> None:
    """Of what makes a correlation doubtful."""
    reach, rim = len(found) // 2, _rim(found)
    if np.all(rim > _SIGNIFICANT * _rim(errors)):
        warnings.warn(
            f"{label}: all lags of {reach} pixels correlate, by {rim.mean():.3f} in the mean: large-scale light or slopes "
            "look like noise: mask more, or subtract a model; where it is noise, give a larger cutout",
            stacklevel=3,
        )
    elif _goes_on(found, errors):
        warnings.warn(
            f"{label}: noise correlates further than {reach} pixels (by {rim[np.abs(rim).argmax()]:.2f} there), and error "
            "bars will be too small: give a larger reach=, or a larger cutout with more blank sky",
            stacklevel=3,
        )
    far = (np.abs(moved) > _MOVED) & (np.abs(moved) > _MOVED_ERRORS * errors)
    if far.any():
        warnings.warn(
            f"{label}: the coefficients measured are not those of any noise, and were changed by up to "
            f"{np.abs(moved[far]).max():.2f}: give a larger reach=, or mask more",
            stacklevel=3,
        )


def _surface(data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The surface of second order (ny, nx) that fits data best."""
    up, along = (np.vander(np.linspace(-1, 1, n), 5, increasing=True) for n in data.shape)
    moments, sums = up.T @ weight @ along, up.T @ (weight * data) @ along
    terms = [(i, j) for i in range(3) for j in range(3 - i)]
    matrix = [[moments[i + k, j + m] for k, m in terms] for i, j in terms]
    coefficients = np.zeros((3, 3))
    coefficients[tuple(np.transpose(terms))] = np.linalg.lstsq(
        np.array(matrix), np.array([sums[term] for term in terms])
    )[0]
    return up[:, :3] @ coefficients @ along[:, :3].T


def _blank(data: np.ndarray, invvar: np.ndarray, mask: Any, label: str) -> np.ndarray:
    """Used pixels of blank sky that are not masked, looked for in units of their noise."""
    used = invvar > 0
    if np.ptp(data[used]) == 0:
        raise ValueError(
            f"{label}: noise cannot be told from pixels that are all alike: give data with noise"
        )
    unmasked = np.ones(used.shape, bool)
    if mask is not None:
        unmasked = ~same_shape(mask, used.shape, "mask", label).astype(bool)
    level = background(data, used & unmasked)[0]
    return blank_sky(np.sqrt(invvar) * (data - level), used & unmasked)


def _flattened(data: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Data less their weighted mean in boxes of `size` pixels; 0 where the weight is."""
    sums = [ndimage.uniform_filter(a, size, mode="constant") for a in (data * weight, weight)]
    return np.where(weight > 0, data - sums[0] / np.maximum(sums[1], 1e-12 * weight.max()), 0.0)


def _by_lag(pixels: np.ndarray, blank: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlation coefficients by lag, and their standard errors (Bartlett 1946, J. R. Stat. Soc. Suppl. 8, 27)."""
    ny, nx = pixels.shape
    products, pairs = np.zeros((2, 2 * reach + 1, 2 * reach + 1))
    for dy in range(reach + 1):
        for dx in range(-reach, reach + 1):
            one = slice(dy, ny), slice(max(dx, 0), nx + min(dx, 0))
            other = slice(0, ny - dy), slice(max(-dx, 0), nx + min(-dx, 0))
            both = blank[one] & blank[other]
            for place in ((reach + dy, reach + dx), (reach - dy, reach - dx)):
                products[place] = np.sum((pixels[one] * pixels[other])[both])
                pairs[place] = both.sum()
    found = products / np.maximum(pairs, 1) / (products[reach, reach] / pairs[reach, reach])
    apart = signal.fftconvolve(found, found[::-1, ::-1])  # sum over m of r(m) r(m + k)
    near, twice = apart[reach:-reach, reach:-reach], apart[::2, ::2]
    variance = (1 + 2 * found**2) * np.sum(found**2) + twice - 4 * found * near
    errors = np.sqrt(np.maximum(variance, 0.0) / np.maximum(pairs, 1))
    errors[reach, reach] = 0.0
    return found, errors
